//! How a command ends badly: one message for people, one exit code for programs.

use crate::train::TrainError;
use lagdb::{Error, ErrorKind};
use std::io;
use std::path::PathBuf;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database, the model or the call.
    #[error(transparent)]
    Lagdb(#[from] Error),
    /// A part of an input file is not what was expected.
    #[error("{}, {part}: {problem}", path.display())]
    Input {
        /// The input file.
        path: PathBuf,
        /// `line 3` or `element 3`, from 1.
        part: String,
        /// What is wrong.
        problem: String,
    },
    /// An input file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The input file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
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
            // A name that is not there, or is no file, is a wrong call; a disk that fails is not.
            Self::Lagdb(Error::Io { source, .. }) | Self::Read { source, .. } if is_wrong_name(source) => 1,
            Self::Lagdb(error) => match error.kind() {
                ErrorKind::Corrupt => 3,
                ErrorKind::Retry => 4,
                ErrorKind::Environment => 5,
                _ => 1,
            },
            Self::Input { .. } => 1,
            Self::ProblemsFound(_) => 3,
            Self::Read { .. } | Self::Write(_) | Self::Train(_) => 5,
            Self::Interrupted(_) => 130,
        }
    }
}

fn is_wrong_name(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory)
}
