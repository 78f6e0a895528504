//! The one mask, and the one softmax: which rows of the KV cache a token sees, and how much of each.
//!
//! A token sees its own row and those before it; under a sliding window only those with `position(query) - position(key) <
//! window`. Rows lie in the order in which they were attached or computed, so where positions go up with them, what a query
//! sees is one range of rows. Attached KV logs need no case of their own: a log was computed before its neighbours existed, so
//! logs do not see each other, and everything after them sees them all. How loud they are is told by their [`Sources`].

use super::simd::{Target, softmax};
use super::sources::{HeadPlace, Sources};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// For each of some tokens, the rows it sees.
#[derive(Clone, Debug)]
pub(super) struct Visibility {
    ranges: Vec<Range<usize>>,
    /// Where positions do not go up: that of each row, of each token, and the window.
    strays: Option<Strays>,
    sources: Arc<Sources>,
}

#[derive(Clone, Debug)]
struct Strays {
    rows: Vec<u32>,
    tokens: Vec<u32>,
    window: u32,
}

/// Weights summed over queries, for each layer, KV head and row: `[n_layers, n_kv_heads, n_rows]`.
#[derive(Debug)]
pub(super) struct WeightSums {
    pub(super) n_kv_heads: usize,
    pub(super) n_rows: usize,
    sums: Mutex<Vec<f32>>,
}

impl Visibility {
    /// The tokens are `tokens`, rows of which `positions` has every one.
    pub(super) fn new(positions: &[u32], tokens: &[usize], window: Option<u32>, sources: Arc<Sources>) -> Self {
        let Some(window) = window else {
            return Self { ranges: tokens.iter().map(|&row| 0..row + 1).collect(), strays: None, sources };
        };
        if positions.is_sorted() {
            let first = |row: usize| positions[..row].partition_point(|&key| positions[row] - key >= window);
            return Self { ranges: tokens.iter().map(|&row| first(row)..row + 1).collect(), strays: None, sources };
        }
        let strays =
            Strays { rows: positions.to_vec(), tokens: tokens.iter().map(|&row| positions[row]).collect(), window };
        Self { ranges: tokens.iter().map(|&row| 0..row + 1).collect(), strays: Some(strays), sources }
    }

    /// The rows from the first to the last that token `i` sees.
    pub(super) fn range(&self, i: usize) -> Range<usize> {
        self.ranges.get(i).cloned().unwrap_or(0..0)
    }

    /// Turns the scores that token `i` has of the rows from `first` on into weights, which are zero where it does not see:
    /// softmax of `scale * score`, as the sources adjust it. Returns the logarithm of the sum of what softmax divides.
    pub(super) fn weigh(&self, scores: &mut [f32], first: usize, i: usize, head: HeadPlace, scale: f32) -> f32 {
        let seen = self.range(i);
        let seen = seen.start - first..seen.end - first;
        let (of_seen, first_seen) = (&mut scores[seen.clone()], first + seen.start);
        if let Some(strays) = &self.strays {
            let is_far = |row: usize| strays.tokens[i].saturating_sub(strays.rows[row]) >= strays.window;
            let far = (first_seen..).zip(&mut *of_seen).filter(|(row, _)| is_far(*row));
            far.for_each(|(_, score)| *score = f32::NEG_INFINITY);
        }
        self.sources.adjust(of_seen, first_seen, head, scale);
        let mut total = f32::NEG_INFINITY;
        softmax(Target::best(), of_seen, scale, &mut total);
        scores[..seen.start].fill(0.0);
        scores[seen.end..].fill(0.0);
        total
    }
}

impl WeightSums {
    pub(super) fn new(n_layers: usize, n_kv_heads: usize, n_rows: usize) -> Self {
        Self { n_kv_heads, n_rows, sums: Mutex::new(vec![0.0; n_layers * n_kv_heads * n_rows]) }
    }

    /// Adds one query's weights of the rows from `first` on.
    pub(super) fn add(&self, weights: &[f32], first: usize, head: HeadPlace) {
        let start = (head.layer * self.n_kv_heads + head.kv_head) * self.n_rows + first;
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums[start..].iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
    }

    /// All of them.
    pub(super) fn into_sums(self) -> Vec<f32> {
        self.sums.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
