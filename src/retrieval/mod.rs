//! Finding records: [`Query`] says near to what and with which properties, [`Snapshot::search`] answers with [`Hit`]s.
//!
//! | question | answered by |
//! |---|---|
//! | which records count? | [`Filter`] |
//! | what is like this, or new? | [`Query`], [`Snapshot::search`] |
//! | why did this come up, and that not? | [`Snapshot::explain`] |
//! | what should I know before I do this? | [`Snapshot::guard`] |
//! | what did those who solved it do, and the others not? | [`Snapshot::contrast`] |
//!
//! [`Snapshot::search`]: crate::Snapshot::search
//! [`Snapshot::explain`]: crate::Snapshot::explain
//! [`Snapshot::guard`]: crate::Snapshot::guard
//! [`Snapshot::contrast`]: crate::Snapshot::contrast

mod contrast;
mod duplicate;
mod explain;
mod filter;
mod guard;
mod nearest;
mod over;
mod property;
mod query;
mod rank;
mod search;

pub use contrast::Contrast;
pub use explain::{Considered, Explanation, Fate, Kept, Path};
pub use filter::Filter;
pub use guard::Lesson;
pub use nearest::Nearest;
pub use query::Query;
pub use rank::Signals;
pub use search::Hit;
