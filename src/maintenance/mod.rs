//! Keeping a database well: count what it holds, verify every byte, compact, keep within a budget, purge, back up
//! and restore.
//!
//! Verification also works on a database that does not open: [`verify`](fn@verify) takes a path, and reads only.

mod background;
mod backup;
mod compact;
mod debt;
mod evict;
mod expire;
mod merge;
mod purge;
mod reembed;
mod reindex;
mod stats;
mod verify;

pub use background::{Upkeep, UpkeepHandle, UpkeepReport};
pub use backup::{Backup, restore, restore_on};
pub use compact::Compaction;
pub use debt::{Debt, SegmentDebt};
pub use evict::{DiskBudget, Eviction};
pub use expire::Expiry;
pub use purge::PurgeReceipt;
pub use reembed::{Content, Embed, Reembedding, ToEmbed};
pub use stats::Stats;
pub use verify::{Problem, VerifyReport, verify, verify_on};

/// How far a long operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, in a word or two.
    pub stage: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is; 0 when that is not known.
    pub total: u64,
}

/// Who is told how far it is.
pub type OnProgress<'a> = dyn FnMut(Progress) + 'a;
