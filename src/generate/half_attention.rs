//! Attention over rows of f16: softmax(queries · keysᵀ) · values, for one KV head after the other.
//!
//! A few queries (a decode step) are compared with the keys as they lie: bytes decide. For many (prefill) the keys of a head
//! are laid in panels of sixteen tokens first, once for all query heads that share them, and a block of queries is kept in
//! the processor's cache while keys and values pass. Scores of a block are whole rows, so softmax needs no correction; rows
//! that none of its queries sees are not computed.
//!
//! Queries are `[n_heads, n_new, head_dim]`; those of the query heads that share a KV head lie one after the other.

use super::heads::HeadShape;
use super::kv_cache::HalfRows;
use super::pages::Mix;
use super::simd::{Columns, Halves, LANES, Target, add_products, dots};
use super::sources::HeadPlace;
use super::visibility::{Visibility, WeightSums};
use std::ops::Range;

/// Queries up to which keys are read as they lie.
pub(super) const FEW: usize = 8;
/// Queries that are computed together: four blocks of twelve.
const BLOCK: usize = 48;
/// Rows of values that pass while sums stay in registers.
const TILE: usize = 256;

/// What one layer's queries attend with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeing<'a> {
    pub(super) layer: usize,
    pub(super) seen: &'a Visibility,
    /// Who wants to know all weights.
    pub(super) watch: Option<&'a WeightSums>,
}

/// The mix of values for each query.
pub(super) fn attend(query: &[f32], asked: HeadShape, rows: HalfRows<'_>, seeing: Seeing<'_>) -> Mix {
    let HeadShape { n_tokens: n_new, n_heads, head_dim } = asked;
    let padded = rows.width * LANES;
    let query = padded_rows(query, head_dim, padded);
    let mut out = vec![0.0; n_new * n_heads * head_dim];
    let per_head = rows.capacity * rows.width;
    let n_kv_heads = rows.keys.len() / per_head.max(1);
    let group = n_heads / n_kv_heads.max(1);
    let (mut scratch, mut sums) = (Scratch::default(), Vec::with_capacity(n_new * n_heads));
    for kv_head in 0..n_kv_heads {
        let head = Head {
            keys: &rows.keys[kv_head * per_head..][..per_head],
            values: &rows.values[kv_head * per_head..][..per_head],
            width: rows.width,
            place: HeadPlace { layer: seeing.layer, kv_head },
            seeing,
            n_new,
            scale: 1.0 / (head_dim as f32).sqrt(),
            target: Target::best(),
        };
        let queries = &query[kv_head * group * n_new * padded..][..group * n_new * padded];
        let mixed = head.attend(queries, rows.n_rows, &mut scratch);
        for (i, mixed) in mixed.chunks_exact(padded).enumerate() {
            let (query_head, token) = (kv_head * group + i / n_new, i % n_new);
            out[(token * n_heads + query_head) * head_dim..][..head_dim].copy_from_slice(&mixed[..head_dim]);
        }
        sums.append(&mut scratch.sums);
    }
    Mix { numbers: out, sums }
}

/// Each `width` numbers of `x` followed by zeros, `padded` in all.
fn padded_rows(x: &[f32], width: usize, padded: usize) -> Vec<f32> {
    if width == padded {
        return x.to_vec();
    }
    let mut out = vec![0.0; x.len() / width * padded];
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(padded)) {
        out[..width].copy_from_slice(x);
    }
    out
}

/// Memory that one KV head leaves to the next.
#[derive(Default)]
struct Scratch {
    /// `[n_rows / 16, padded head_dim]`
    panels: Vec<Halves>,
    scores: Vec<f32>,
    mixed: Vec<f32>,
    /// Of each query the logarithm of what softmax divided by.
    sums: Vec<f32>,
}

/// One KV head; keys and values are `[capacity, width]`.
struct Head<'a> {
    keys: &'a [Halves],
    values: &'a [Halves],
    width: usize,
    place: HeadPlace,
    seeing: Seeing<'a>,
    /// Of the queries every so many are one query head's.
    n_new: usize,
    scale: f32,
    target: Target,
}

impl Head<'_> {
    /// The mix for `queries`, `[n_queries, padded]`.
    fn attend<'s>(&self, queries: &[f32], n_rows: usize, scratch: &'s mut Scratch) -> &'s [f32] {
        let padded = self.width * LANES;
        let n_queries = queries.len() / padded;
        scratch.mixed.clear();
        scratch.mixed.resize(queries.len(), 0.0);
        if n_queries <= FEW {
            self.few(queries, 0..n_queries, scratch);
            return &scratch.mixed;
        }
        self.lay_panels(n_rows, &mut scratch.panels);
        for first in (0..n_queries).step_by(BLOCK) {
            let block = first..n_queries.min(first + BLOCK);
            self.many(&queries[block.start * padded..block.end * padded], block, scratch);
        }
        &scratch.mixed
    }

    /// The queries with these numbers.
    fn few(&self, queries: &[f32], numbers: Range<usize>, scratch: &mut Scratch) {
        let (padded, n_queries) = (self.width * LANES, numbers.len());
        let all = self.union(numbers.clone());
        scratch.scores.clear();
        scratch.scores.resize(n_queries * all.len(), 0.0);
        let keys = &self.keys[all.start * self.width..all.end * self.width];
        dots(self.target, queries.as_chunks().0, keys, self.width, &mut scratch.scores);
        self.weigh(&mut scratch.scores, numbers, &all, &mut scratch.sums);
        self.mix(&scratch.scores, all.len(), all.clone(), &mut scratch.mixed[..n_queries * padded]);
    }

    /// One block of queries, those with these numbers.
    fn many(&self, queries: &[f32], numbers: Range<usize>, scratch: &mut Scratch) {
        let padded = self.width * LANES;
        let seen = self.union(numbers.clone());
        let panels = seen.start / LANES..seen.end.div_ceil(LANES);
        let all = panels.start * LANES..panels.end * LANES;
        let columns = Columns {
            numbers: &scratch.panels[panels.start * padded..],
            inner: 1,
            outer: padded,
            n_inner: padded,
            n_vectors: panels.len(),
        };
        scratch.scores.clear();
        scratch.scores.resize(numbers.len() * all.len(), 0.0);
        add_products(self.target, queries, padded, columns, &mut scratch.scores, all.len());
        let first = numbers.start;
        self.weigh(&mut scratch.scores, numbers, &all, &mut scratch.sums);
        let mixed = &mut scratch.mixed[first * padded..][..queries.len()];
        // Panels are whole, rows are not: those behind the last one may hold anything, and zero times infinity is no number.
        self.mix(&scratch.scores[seen.start - all.start..], all.len(), seen, mixed);
    }

    /// Turns scores of the rows `all` into weights: zero where a query does not see.
    fn weigh(&self, scores: &mut [f32], numbers: Range<usize>, all: &Range<usize>, sums: &mut Vec<f32>) {
        for (scores, number) in scores.chunks_exact_mut(all.len().max(1)).zip(numbers) {
            sums.push(self.seeing.seen.weigh(scores, all.start, number % self.n_new, self.place, self.scale));
            if let Some(watch) = self.seeing.watch {
                watch.add(scores, all.start, self.place);
            }
        }
    }

    /// The rows from the first to the last that any of these queries sees.
    fn union(&self, numbers: Range<usize>) -> Range<usize> {
        let ranges = numbers.map(|number| self.seeing.seen.range(number % self.n_new));
        ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
    }

    /// Adds the values of `rows`, each times its weight; the weights of one query begin `stride` after those of the one before.
    fn mix(&self, weights: &[f32], stride: usize, rows: Range<usize>, mixed: &mut [f32]) {
        for first in (0..rows.len()).step_by(TILE) {
            let n_inner = TILE.min(rows.len() - first);
            let columns = Columns {
                numbers: &self.values[(rows.start + first) * self.width..],
                inner: self.width,
                outer: 1,
                n_inner,
                n_vectors: self.width,
            };
            add_products(self.target, &weights[first..], stride, columns, mixed, self.width * LANES);
        }
    }

    /// Keys as `[n_rows / 16, padded]` vectors of sixteen tokens each.
    fn lay_panels(&self, n_rows: usize, panels: &mut Vec<Halves>) {
        panels.clear();
        panels.resize(n_rows.div_ceil(LANES) * self.width * LANES, [0; LANES]);
        let blocks = self.keys.chunks_exact(LANES * self.width);
        for (panel, keys) in panels.chunks_exact_mut(self.width * LANES).zip(blocks) {
            for (token, key) in keys.chunks_exact(self.width).enumerate() {
                for (channel, &number) in panel.iter_mut().zip(key.as_flattened()) {
                    channel[token] = number;
                }
            }
        }
    }
}
