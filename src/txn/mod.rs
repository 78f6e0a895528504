//! Reading and writing: [`Snapshot`], one commit to read; [`Transaction`], a snapshot that can be written to.

mod content;
mod derived;
mod exposures;
mod outcomes;
mod purge;
mod records;
mod snapshot;
mod status;
mod transaction;

pub(crate) use derived::{Derived, rebuild, rebuild_if_older, refuse_older};
pub use snapshot::{KvLogInfo, Snapshot};
pub use transaction::Transaction;
pub(crate) use transaction::{put_embedding, remove_embedding};
