//! Keeping a database well: count what it holds, verify every byte, compact.
//!
//! Verification also works on a database that does not open: [`verify`](fn@verify) takes a path, and reads only.

mod compact;
mod stats;
mod verify;

pub use compact::Compaction;
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
