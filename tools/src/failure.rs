//! How a command ends badly: one message for people, one exit code for programs.

use crate::train::TrainError;
use lagdb::{Error, ErrorKind};
use std::path::PathBuf;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database, the model or the call.
    #[error(transparent)]
    Lagdb(#[from] Error),
    /// A line of an input file is not what was expected.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The input file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// An input file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The input file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The output could not be written.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
    /// The check ran and found problems; they have been printed.
    #[error("{0}")]
    ProblemsFound(String),
    /// Training stopped early.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Ctrl-C; everything committed so far stays.
    #[error("interrupted; {0}")]
    Interrupted(String),
}

/// Result of a command.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// 1: wrong input or call; 3: corrupt data; 4: locked, try later; 5: the machine (disk, permissions);
    /// 130: interrupted. (2 is clap's, for the command line itself.)
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Lagdb(error) => match error.kind() {
                ErrorKind::Corrupt => 3,
                ErrorKind::Retry => 4,
                ErrorKind::Environment => 5,
                _ => 1,
            },
            Self::Line { .. } => 1,
            Self::ProblemsFound(_) => 3,
            Self::Read { .. } | Self::Write(_) | Self::Train(_) => 5,
            Self::Interrupted(_) => 130,
        }
    }
}
