//! What to look for: near to an embedding, with and without some properties.

use crate::Id;
use crate::record::{Embedding, Outcome, Record, RecordKind, StrategyKind};

/// Hits when no limit is given.
const DEFAULT_LIMIT: usize = 10;

/// What to look for. Every condition narrows the answer.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) near: Embedding,
    pub(super) limit: usize,
    pub(super) floor: f32,
    pub(super) outcome: Option<Outcome>,
    pub(super) kind: Option<StrategyKind>,
    pub(super) labels: Vec<String>,
    pub(super) without: Vec<Without>,
}

/// What is left out.
#[derive(Clone, Debug)]
pub(super) enum Without {
    Record(RecordKind, u64),
    Task(String),
    Group(String),
}

impl Query {
    /// The records nearest to `embedding`, ten at most.
    pub fn near(embedding: Embedding) -> Self {
        Self {
            near: embedding,
            limit: DEFAULT_LIMIT,
            floor: -1.0,
            outcome: None,
            kind: None,
            labels: Vec::new(),
            without: Vec::new(),
        }
    }

    /// At most so many hits.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Only hits of at least this cosine, -1 to 1.
    #[must_use]
    pub fn floor(mut self, min_similarity: f32) -> Self {
        self.floor = min_similarity;
        self
    }

    /// Trajectories: by the latest judgment. Strategies: with evidence from a trajectory that has this outcome now, so that
    /// a contrast is found under both; whether that evidence supports or contradicts the strategy is not asked, for a
    /// failed run can support one.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// Only strategies of this kind; no trajectory has a kind.
    #[must_use]
    pub fn kind(mut self, kind: StrategyKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only records with this label; said twice, with both.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// Without this record; without a trajectory also means without the strategies that have evidence from it.
    #[must_use]
    pub fn exclude<R: Record>(mut self, id: Id<R>) -> Self {
        self.without.push(Without::Record(R::KIND, id.as_u64()));
        self
    }

    /// Without trajectories of this very task text, and without strategies that have evidence from one.
    #[must_use]
    pub fn exclude_task(mut self, task: impl Into<String>) -> Self {
        self.without.push(Without::Task(task.into()));
        self
    }

    /// Without trajectories of this rollout group, and without strategies that have evidence from one: what an
    /// evaluation that leaves one task out needs.
    #[must_use]
    pub fn exclude_group(mut self, group: impl Into<String>) -> Self {
        self.without.push(Without::Group(group.into()));
        self
    }
}
