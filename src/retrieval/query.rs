//! What to look for: near to an embedding, let through by filters, ranked by more than nearness if asked.

use super::Filter;
use crate::record::{Embedding, Outcome, Record, RecordKind, StrategyKind};
use crate::{Error, Id, Result};

/// Hits when no limit is given.
const DEFAULT_LIMIT: usize = 10;
/// Candidates per hit that are ranked by more than nearness.
const POOL_PER_HIT: usize = 8;

/// What to look for. Every condition narrows the answer.
///
/// Without weights, hits are ranked by their similarity alone. With weights or diversity, the most similar candidates
/// ([`pool`](Self::pool)) are ranked by the weighted sum of their signals.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) near: Option<Embedding>,
    pub(super) limit: usize,
    pub(super) floor: f32,
    pub(super) filters: Vec<Filter>,
    pub(super) utility: f32,
    pub(super) recency: Option<Recency>,
    pub(super) diversity: Option<f32>,
    pub(super) pool: Option<usize>,
}

/// How age counts. The clock is the caller's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Recency {
    pub(super) weight: f32,
    pub(super) now_ms: u64,
    pub(super) half_life_ms: u64,
}

impl Query {
    /// The records nearest to `embedding`, ten at most.
    pub fn near(embedding: Embedding) -> Self {
        Self { near: Some(embedding), ..Self::newest() }
    }

    /// Records that filters let through, the latest put first, ten at most; no embedding is needed.
    pub fn newest() -> Self {
        Self {
            near: None,
            limit: DEFAULT_LIMIT,
            floor: -1.0,
            filters: Vec::new(),
            utility: 0.0,
            recency: None,
            diversity: None,
            pool: None,
        }
    }

    /// At most so many hits.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Only hits of at least this cosine, -1 to 1; perhaps none.
    #[must_use]
    pub fn floor(mut self, min_similarity: f32) -> Self {
        self.floor = min_similarity;
        self
    }

    /// Only records that `filter` lets through.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Adds `weight` times the utility of a record to its score: what is known of its success, 0 to 1. For a strategy the
    /// rate of success that it has at least, with a probability of 95 %; for a trajectory 1 when it was judged a success,
    /// 0 when a failure, half when in part or unknown; a success with a score from 0 to 1 lies between half and 1.
    #[must_use]
    pub fn utility(mut self, weight: f32) -> Self {
        self.utility = weight;
        self
    }

    /// Adds `weight` times the recency of a record to its score: 1 at `now_ms`, half of it every `half_life_ms`; 0 where
    /// its time is not known.
    #[must_use]
    pub fn recency(mut self, weight: f32, now_ms: u64, half_life_ms: u64) -> Self {
        self.recency = Some(Recency { weight, now_ms, half_life_ms });
        self
    }

    /// Prefers hits that are unlike those before them (maximal marginal relevance; Carbonell and Goldstein, 1998,
    /// <https://doi.org/10.1145/290941.291025>): each maximises `lambda` times its score less `1 - lambda` times its
    /// greatest similarity to a hit before it. 1 is relevance alone, 0 diversity alone.
    #[must_use]
    pub fn mmr(mut self, lambda: f32) -> Self {
        self.diversity = Some(lambda);
        self
    }

    /// How many candidates, the most similar ones, are ranked by more than similarity; eight per hit unless said.
    #[must_use]
    pub fn pool(mut self, n: usize) -> Self {
        self.pool = Some(n);
        self
    }

    /// As [`Filter::outcome`].
    #[must_use]
    pub fn outcome(self, outcome: Outcome) -> Self {
        self.filter(Filter::outcome(outcome))
    }

    /// As [`Filter::kind`].
    #[must_use]
    pub fn kind(self, kind: StrategyKind) -> Self {
        self.filter(Filter::kind(kind))
    }

    /// As [`Filter::label`]; said twice, with both.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        self.filter(Filter::label(label))
    }

    /// Without this record; without a trajectory also means without the strategies that have evidence from it.
    #[must_use]
    pub fn exclude<R: Record>(self, id: Id<R>) -> Self {
        let out = Filter::id(id);
        self.filter(match R::KIND {
            RecordKind::Trajectory => !(out | Filter::evidence(Id::from_u64(id.as_u64()))),
            RecordKind::Strategy => !out,
        })
    }

    /// Without trajectories of this very task text, and without strategies that have evidence from one.
    #[must_use]
    pub fn exclude_task(self, task: impl Into<String>) -> Self {
        self.filter(!Filter::task(task))
    }

    /// Without trajectories of this rollout group, and without strategies that have evidence from one: what an
    /// evaluation that leaves one task out needs.
    #[must_use]
    pub fn exclude_group(self, group: impl Into<String>) -> Self {
        self.filter(!Filter::group(group))
    }

    /// Whether more counts than nearness.
    pub(super) fn is_weighed(&self) -> bool {
        self.utility != 0.0 || self.recency.is_some() || self.diversity.is_some()
    }

    /// How many candidates are looked at one by one.
    pub(super) fn n_candidates(&self) -> usize {
        let default = if self.is_weighed() { self.limit.saturating_mul(POOL_PER_HIT) } else { self.limit };
        self.pool.unwrap_or(default).max(self.limit)
    }

    /// Whether it may be asked.
    pub(super) fn check(&self) -> Result<()> {
        let weights = [("utility", self.utility), ("recency", self.recency.map_or(0.0, |recency| recency.weight))];
        if let Some((what, weight)) = weights.into_iter().find(|(_, weight)| !weight.is_finite()) {
            return Err(Error::invalid(what, format!("a weight of {weight}")));
        }
        if self.floor.is_nan() {
            return Err(Error::invalid("floor", "is not a number"));
        }
        if self.recency.is_some_and(|recency| recency.half_life_ms == 0) {
            return Err(Error::invalid("recency", "a half-life of 0 ms"));
        }
        if let Some(lambda) = self.diversity.filter(|lambda| !(0.0..=1.0).contains(lambda)) {
            return Err(Error::invalid("mmr", format!("{lambda}; 0 to 1 are allowed")));
        }
        self.filters.iter().try_for_each(Filter::check)
    }
}
