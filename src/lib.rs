//! lagdb: an embedded, transactional memory for agents.

pub mod error;
#[cfg(feature = "generate")]
pub mod generate;

pub use error::{Error, ErrorKind, Result};
pub use lagdb_format as format;
