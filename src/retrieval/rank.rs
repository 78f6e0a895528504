//! In which order candidates answer: signals, their weighted sum, and diversity.

use super::Query;
use crate::record::{Embedding, Judgment, Outcome, Record};
use crate::{Id, Result, Snapshot};
use std::cmp::Ordering;

/// What speaks for a record; what was not asked for is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signals {
    /// Cosine to the query, -1 to 1.
    pub similarity: Option<f32>,
    /// What is known of its success, 0 to 1.
    pub utility: Option<f32>,
    /// How young it is, 0 to 1.
    pub recency: Option<f32>,
}

impl Signals {
    /// The signals of a record.
    pub(super) fn of<R: Record>(
        snapshot: &Snapshot,
        query: &Query,
        id: Id<R>,
        record: &R,
        similarity: Option<f32>,
    ) -> Result<Self> {
        let utility = if query.utility == 0.0 { None } else { Some(utility(snapshot, id, record)?) };
        let recency = query.recency.map(|recency| {
            let age_ms = record.time_ms().map(|ms| recency.now_ms.saturating_sub(ms) as f64);
            age_ms.map_or(0.0, |age_ms| (-age_ms / recency.half_life_ms as f64).exp2() as f32)
        });
        Ok(Self { similarity, utility, recency })
    }

    /// Their weighted sum; similarity has the weight 1.
    pub(super) fn score(&self, query: &Query) -> f32 {
        let weighted = |weight: f32, signal: Option<f32>| weight * signal.unwrap_or(0.0);
        self.similarity.unwrap_or(0.0)
            + weighted(query.utility, self.utility)
            + weighted(query.recency.map_or(0.0, |recency| recency.weight), self.recency)
    }
}

fn utility<R: Record>(snapshot: &Snapshot, id: Id<R>, record: &R) -> Result<f32> {
    if record.as_strategy().is_some() {
        return Ok(snapshot.counters(id.as_u64())?.success_lower() as f32);
    }
    let trajectory = Id::from_u64(id.as_u64());
    Ok(match snapshot.outcome(trajectory)? {
        Outcome::Success => success(snapshot.judgments(trajectory)?.last()),
        Outcome::Partial | Outcome::Unknown => 0.5,
        Outcome::Failure => 0.0,
    })
}

/// A reward for doing nothing is weaker evidence than one for doing the right thing: a score within 0 and 1 says how weak.
fn success(judgment: Option<&Judgment>) -> f32 {
    let score = judgment.and_then(|judgment| judgment.score).filter(|score| (0.0..=1.0).contains(score));
    score.map_or(1.0, |score| 0.5 + 0.5 * score as f32)
}

/// Higher first.
pub(super) fn better(a: f32, b: f32) -> Ordering {
    b.total_cmp(&a)
}

/// The order in which maximal marginal relevance takes what has these scores and embeddings, `n` of them at most. What
/// has no embedding is like nothing else.
pub(super) fn diverse(scores: &[f32], embeddings: &[Option<Embedding>], lambda: f32, n: usize) -> Result<Vec<usize>> {
    // Before the first is taken it is the same for all.
    let mut likeness = vec![-1.0f32; scores.len()];
    let mut left: Vec<usize> = (0..scores.len()).collect();
    let mut taken = Vec::new();
    while taken.len() < n && !left.is_empty() {
        let worth = |i: usize| {
            let of = |numbers: &[f32]| numbers.get(i).copied().unwrap_or(0.0);
            lambda * of(scores) - (1.0 - lambda) * of(&likeness)
        };
        // The first of equals, which is the one with the better score.
        let best = left.iter().enumerate().min_by(|(_, a), (_, b)| better(worth(**a), worth(**b)));
        let Some((at, &chosen)) = best else { break };
        left.remove(at);
        taken.push(chosen);
        for &other in &left {
            let pair =
                embeddings.get(chosen).and_then(Option::as_ref).zip(embeddings.get(other).and_then(Option::as_ref));
            let similarity = pair.map_or(Ok(0.0), |(a, b)| a.similarity(b))?;
            if let Some(likeness) = likeness.get_mut(other) {
                *likeness = likeness.max(similarity);
            }
        }
    }
    Ok(taken)
}
