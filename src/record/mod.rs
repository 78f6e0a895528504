//! What is remembered, as plain data: trajectories, judgments, strategies with their provenance, embeddings.
//!
//! A record is checked once, by [`check`](Record::check) when it is put; how it becomes bytes is [`codec`]'s business
//! alone. Nothing here knows of files or tables.

pub mod action;
pub mod beta;
pub mod codec;
pub mod embedding;
pub mod exposure;
pub mod judgment;
pub mod limits;
pub mod stats;
pub mod status;
pub mod strategy;
pub mod trajectory;
pub mod trust;

pub use action::{Action, Condition, Level};
pub use embedding::{Embedding, EmbeddingSpace};
pub use exposure::{Delivery, DeliveryPoint, Exposure, Offered};
pub use judgment::{Judgment, JudgmentSource, Outcome};
pub use stats::{Estimate, StrategyStats, Tally};
pub use status::Status;
pub use strategy::{Evidence, Polarity, Provenance, Strategy, StrategyKind};
pub use trajectory::{Rollout, Step, Trajectory};
pub use trust::Trust;

use crate::Result;
use codec::{Undecodable, Versioned};

/// The kinds of records that have an [`Id`](crate::Id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// [`Trajectory`].
    Trajectory,
    /// [`Strategy`].
    Strategy,
}

impl RecordKind {
    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trajectory => "trajectory",
            Self::Strategy => "strategy",
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Trajectory {}
    impl Sealed for super::Strategy {}
}

/// A record that can be put, found and got by id: [`Trajectory`] or [`Strategy`].
pub trait Record: sealed::Sealed + Clone + Send + Sync + Sized + 'static {
    /// Which of the kinds this type is.
    const KIND: RecordKind;

    /// Whether the record may be stored.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) naming the field that is empty, too long or contradictory.
    fn check(&self) -> Result<()>;

    /// Labels for filters.
    fn labels(&self) -> &[String];

    /// The record without what becomes of it after it is put: what makes two of them the same.
    #[doc(hidden)]
    #[must_use]
    fn content(&self) -> Self {
        self.clone()
    }
    /// What it is about, if that was said.
    fn domain(&self) -> Option<&str>;

    /// How far it may be believed.
    fn trust(&self) -> Trust;

    /// When it began or was made, ms since 1970, if that is known.
    fn time_ms(&self) -> Option<u64>;

    /// Until when it holds, or is kept, ms since 1970, if that is limited.
    fn expires_at_ms(&self) -> Option<u64>;

    /// Whether its time is over at `now_ms`.
    #[doc(hidden)]
    fn is_over(&self, now_ms: u64) -> bool {
        self.expires_at_ms().is_some_and(|ms| ms <= now_ms)
    }

    /// The record, to be believed so far.
    #[doc(hidden)]
    #[must_use]
    fn with_trust(self, trust: Trust) -> Self;

    /// Bytes in the newest version of the codec.
    #[doc(hidden)]
    fn encode(&self) -> Versioned;

    /// The record in bytes of any version.
    #[doc(hidden)]
    fn decode(schema: u16, bytes: &[u8]) -> std::result::Result<Self, Undecodable>;

    /// The record as a strategy, if it is one.
    #[doc(hidden)]
    fn as_strategy(&self) -> Option<&Strategy> {
        None
    }

    /// The record as a trajectory, if it is one.
    #[doc(hidden)]
    fn as_trajectory(&self) -> Option<&Trajectory> {
        None
    }
}
