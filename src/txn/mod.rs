//! Reading and writing: [`Snapshot`], one commit to read; [`Transaction`], a snapshot that can be written to.

mod records;
mod snapshot;
mod transaction;

pub use snapshot::{KvLogInfo, Snapshot};
pub use transaction::Transaction;
