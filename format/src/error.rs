//! What can go wrong with bytes: they are corrupt, of a newer version, or the call was wrong.

use std::fmt;

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, FormatError>;

/// Why bytes or a call were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes are not what was written.
    #[error("corrupt at byte {offset}: {field}: {detail}")]
    Corrupt {
        /// Byte offset in the segment.
        offset: u64,
        /// The field of FORMAT.md that is wrong.
        field: &'static str,
        /// What was found and what was expected.
        detail: String,
    },
    /// The segment needs a reader that knows more.
    #[error("unsupported {field}: {detail}; read it with a newer lagdb")]
    Unsupported {
        /// The field of FORMAT.md that is not known.
        field: &'static str,
        /// What was found.
        detail: String,
    },
    /// A log has other tokens than the caller demanded.
    #[error("token {index} is {}, {} was expected", id(*found), id(*expected))]
    TokenMismatch {
        /// The first token that differs, from 0.
        index: usize,
        /// Its id in the log; `None` behind the log's end.
        found: Option<u32>,
        /// The id that was demanded; `None` behind the end of those.
        expected: Option<u32>,
    },
    /// The call does not fit the data.
    #[error("invalid {what}: {detail}")]
    Invalid {
        /// The argument.
        what: &'static str,
        /// Why it does not fit.
        detail: String,
    },
}

fn id(id: Option<u32>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

impl FormatError {
    /// A wrong argument.
    pub fn invalid(what: &'static str, detail: impl fmt::Display) -> Self {
        Self::Invalid { what, detail: detail.to_string() }
    }

    /// Wrong bytes.
    pub fn corrupt(offset: u64, field: &'static str, detail: impl fmt::Display) -> Self {
        Self::Corrupt { offset, field, detail: detail.to_string() }
    }

    /// The same error found in bytes that begin at `offset` of the segment.
    pub(crate) fn at(self, base: u64) -> Self {
        match self {
            Self::Corrupt { offset, field, detail } => {
                Self::Corrupt { offset: base.saturating_add(offset), field, detail }
            }
            other => other,
        }
    }
}
