//! Finding records: [`Query`] says near to what and with which properties, [`Snapshot::search`] answers with [`Hit`]s.
//!
//! [`Snapshot::search`]: crate::Snapshot::search

mod duplicate;
mod query;
mod search;

pub use query::Query;
pub use search::Hit;
