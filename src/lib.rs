//! lagdb: an embedded, transactional memory for agents.

//pub mod embed;
pub mod catalog;
pub mod error;
#[cfg(feature = "generate")]
pub mod generate;
pub mod id;
pub mod medium;
pub mod record;

pub use error::{Error, ErrorKind, Result};
pub use id::{CommitId, Id, SegmentId};
pub use lagdb_format as format;
pub use record::*;
