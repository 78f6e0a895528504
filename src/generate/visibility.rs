//! The one mask: which rows of the KV cache a new token sees.
//!
//! Rows lie in the order in which they were attached or computed, with strictly increasing positions, so what a
//! query sees is one range of rows: it ends with the query itself, and starts at row 0 or, under a sliding window,
//! at the first row with `position(query) - position(key) < window`. A range per query replaces a mask tensor, and
//! attached KV logs need no case of their own: a log was computed before its neighbours existed, so logs do not see
//! each other, and everything after them sees them all.

use super::vector;
use std::ops::Range;

/// For each of the new tokens, the rows it sees.
#[derive(Clone, Debug)]
pub(super) struct Visibility {
    ranges: Vec<Range<usize>>,
}

impl Visibility {
    /// The last `n_new` of `positions` (one per row) are the queries.
    pub(super) fn new(positions: &[u32], n_new: usize, window: Option<u32>) -> Self {
        let first = positions.len() - n_new;
        let range = |row: usize| {
            let start = match window {
                None => 0,
                Some(window) => positions[..row].partition_point(|&key| positions[row] - key >= window),
            };
            start..row + 1
        };
        Self { ranges: (first..positions.len()).map(range).collect() }
    }

    /// The rows that new token `i` sees.
    pub(super) fn range(&self, i: usize) -> Range<usize> {
        self.ranges.get(i).cloned().unwrap_or(0..0)
    }

    /// Softmax of `scores / sqrt(head_dim)` over the rows each query sees, zero elsewhere.
    ///
    /// `scores` is `[n_heads, n_new, n_rows]`.
    pub(super) fn softmax(&self, scores: &[f32], n_rows: usize, scale: f32) -> Vec<f32> {
        let mut weights = vec![0.0; scores.len()];
        let rows = scores.chunks_exact(n_rows).zip(weights.chunks_exact_mut(n_rows));
        for ((scores, weights), seen) in rows.zip(self.ranges.iter().cycle()) {
            softmax(&scores[seen.clone()], scale, &mut weights[seen.clone()]);
        }
        weights
    }
}

/// Softmax of `scale * scores` into `weights`.
fn softmax(scores: &[f32], scale: f32, weights: &mut [f32]) {
    let max = vector::max(scores);
    for (weight, score) in weights.iter_mut().zip(scores) {
        *weight = vector::exp((score - max) * scale);
    }
    let factor = 1.0 / vector::sum(weights);
    for weight in weights {
        *weight *= factor;
    }
}
