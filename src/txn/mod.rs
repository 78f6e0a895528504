//! Reading and writing: [`Snapshot`], one commit to read; [`Transaction`], a snapshot that can be written to.

mod content;
mod outcomes;
mod purge;
mod records;
mod snapshot;
mod transaction;

pub(crate) use records::{lineage, own_fields, table_of};
pub use snapshot::{KvLogInfo, Snapshot};
pub use transaction::Transaction;
