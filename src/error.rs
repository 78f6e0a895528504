//! Everything that can go wrong, and what the caller should do about it.
//!
//! Few variants with named fields. [`Error::kind`] says what to do: fix the call, retry, look at the environment,
//! or accept that data is lost. Corruption is one variant and always names the file, what was wrong, and where it is known
//! the byte.

use lagdb_format::FormatError;
use std::path::{Path, PathBuf};

/// Result of everything in lagdb.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller should do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call is wrong; the same call will fail again.
    Invalid,
    /// Someone else holds what is needed; try again later.
    Retry,
    /// Disk, permissions or memory; look at the machine.
    Environment,
    /// Stored bytes are wrong; restore or repair.
    Corrupt,
}

/// Why an operation was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Stored bytes are not what was written.
    #[error("{}: corrupt{}: {what}", file.display(), at_byte(*offset))]
    Corrupt {
        /// File, relative to the database directory.
        file: PathBuf,
        /// Byte offset in the file, where it is known; redb does not tell it.
        offset: Option<u64>,
        /// The field, and what was found.
        what: String,
    },
    /// The operating system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another process has the database open.
    #[error("{} is open in {owner}; close it there, or work on a backup", path.display())]
    Locked {
        /// The database directory.
        path: PathBuf,
        /// Who holds the lock, as that process described itself.
        owner: String,
    },
    /// The database is read beside a process that writes it, and is not any more what was being read.
    #[error("the database moved on while it was read: {what}; open it again")]
    Outdated {
        /// What is gone.
        what: String,
    },
    /// A KV log was made by another model.
    #[error("the KV log was made by another model: {field} differs (log {found}, model {expected})")]
    ModelMismatch {
        /// The field of the fingerprint.
        field: &'static str,
        /// Fingerprint id of the KV log.
        found: String,
        /// Fingerprint id of the model.
        expected: String,
    },
    /// A model was given, or asked for, a KV log or tokens of its own, and it speaks in text alone.
    #[error("{model} takes and gives no KV logs")]
    KvLogsUnsupported {
        /// The model.
        model: String,
    },
    /// A model gave no reply, or none that can be read.
    #[error("no reply from {model}: {problem}")]
    Reply {
        /// The model.
        model: String,
        /// What went wrong.
        problem: String,
    },
    /// An embedding of one space was used where another is needed.
    #[error("embedding space {found} where {expected} is needed")]
    SpaceMismatch {
        /// The space of the given embedding.
        found: String,
        /// The space that the database uses.
        expected: String,
    },
    /// A file of a model directory is missing or not understood.
    #[error("model file {}: {problem}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is missing or unknown.
        problem: String,
    },
    /// A model computed something that is no finite number: a weight is damaged, or a number overflowed.
    #[error("the model computed {what} that are no finite numbers, at token {row}")]
    NotFinite {
        /// What was computed.
        what: &'static str,
        /// The row of the session.
        row: usize,
    },
    /// Someone asked that what was being computed be computed no further.
    #[error("cancelled before the first token")]
    Cancelled,
    /// More tokens than the model can attend to.
    #[error("{n_tokens} tokens exceed the context limit of {limit}")]
    ContextLimit {
        /// Tokens asked for: attached, prompt and new ones.
        n_tokens: usize,
        /// The model's limit.
        limit: usize,
    },
    /// The call does not fit the data.
    #[error("invalid {what}: {detail}")]
    Invalid {
        /// The argument.
        what: &'static str,
        /// Why it does not fit.
        detail: String,
    },
    /// The database was written by a newer lagdb.
    #[error("{}: {what} is not known to this version; open it with a newer lagdb", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The field and what was found.
        what: String,
    },
    /// An earlier failure left this handle unusable.
    #[error("the database stopped after an earlier failure ({cause}); close and open it again")]
    Poisoned {
        /// The earlier failure.
        cause: String,
    },
    /// The tensor library failed.
    #[cfg(feature = "generate")]
    #[error("tensor computation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Corrupt { .. } | Self::NotFinite { .. } => ErrorKind::Corrupt,
            Self::Io { .. } | Self::Poisoned { .. } | Self::Reply { .. } => ErrorKind::Environment,
            #[cfg(feature = "generate")]
            Self::Tensor(_) => ErrorKind::Environment,
            Self::Locked { .. } | Self::Outdated { .. } | Self::Cancelled => ErrorKind::Retry,
            _ => ErrorKind::Invalid,
        }
    }

    /// A wrong argument.
    pub fn invalid(what: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Invalid { what, detail: detail.to_string() }
    }

    /// A refused system call.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_path_buf(), source }
    }

    /// A [`FormatError`] met in `file`.
    pub fn from_format(error: FormatError, file: impl AsRef<Path>) -> Self {
        let file = file.as_ref().to_path_buf();
        match error {
            FormatError::Corrupt { offset, field, detail } => {
                Self::Corrupt { file, offset: Some(offset), what: format!("{field}: {detail}") }
            }
            FormatError::Unsupported { field, detail } => Self::Unsupported { file, what: format!("{field} {detail}") },
            FormatError::Invalid { what, detail } => Self::Invalid { what, detail },
            mismatch @ FormatError::TokenMismatch { .. } => {
                Self::Invalid { what: "token ids of the KV log", detail: mismatch.to_string() }
            }
            other => Self::Invalid { what: "segment", detail: other.to_string() },
        }
    }
}

fn at_byte(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at byte {offset}"))
}
