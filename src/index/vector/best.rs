//! The best few of what is offered, and what is said of a record that is found.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A record and its cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scored {
    pub(crate) document: u32,
    pub(crate) score: f32,
}

/// The best few of what was offered; equal scores by lower id.
pub(super) struct Best {
    limit: usize,
    /// The worst of them on top.
    heap: BinaryHeap<Worst>,
}

struct Worst(Scored);

impl Worst {
    /// Better first: higher score, then lower id.
    fn rank(&self, other: &Self) -> Ordering {
        other.0.score.total_cmp(&self.0.score).then(self.0.document.cmp(&other.0.document))
    }
}

impl PartialEq for Worst {
    fn eq(&self, other: &Self) -> bool {
        self.rank(other).is_eq()
    }
}

impl Eq for Worst {}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Worst {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank(other)
    }
}

impl Best {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    pub(super) fn offer(&mut self, scored: Scored) {
        if self.heap.len() < self.limit {
            self.heap.push(Worst(scored));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && Worst(scored) < *worst
        {
            *worst = Worst(scored);
        }
    }

    /// The score below which nothing gets in any more.
    pub(super) fn threshold(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() >= self.limit => worst.0.score,
            _ => f32::NEG_INFINITY,
        }
    }

    pub(super) fn into_sorted(self) -> Vec<Scored> {
        self.heap.into_sorted_vec().into_iter().map(|worst| worst.0).collect()
    }
}
