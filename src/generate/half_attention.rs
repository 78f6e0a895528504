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
use super::parallel;
use super::simd::{Columns, Halves, LANES, Target, add_products, dots};
use super::sources::HeadPlace;
use super::visibility::{Visibility, WeightSums};
use std::ops::Range;

/// Queries up to which keys are read as they lie.
pub(super) const FEW: usize = 8;
/// Queries that are computed together: four blocks of twelve.
const BLOCK: usize = 48;
/// Rows of values that pass while sums stay in registers.
pub(super) const TILE: usize = 256;

/// What one layer's queries attend with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seeing<'a> {
    pub(super) layer: usize,
    pub(super) seen: &'a Visibility,
    /// Who wants to know all weights.
    pub(super) watch: Option<&'a WeightSums>,
}

/// The mix of values for each query.
///
/// KV heads, and blocks of many queries with one, are computed on several threads; every number is the same with one.
pub(super) fn attend(query: &[f32], asked: HeadShape, rows: HalfRows<'_>, seeing: Seeing<'_>) -> Mix {
    attend_cut(query, asked, rows, seeing, None)
}

/// The same with so many parts of each KV head's queries.
fn attend_cut(query: &[f32], asked: HeadShape, rows: HalfRows<'_>, seeing: Seeing<'_>, n_cuts: Option<usize>) -> Mix {
    let HeadShape { n_tokens: n_new, n_heads, head_dim } = asked;
    let padded = rows.width * LANES;
    let query = padded_rows(query, head_dim, padded);
    let per_head = rows.capacity * rows.width;
    let n_kv_heads = rows.keys.len() / per_head.max(1);
    let n_queries = n_heads / n_kv_heads.max(1) * n_new;
    let n_products = 2 * n_heads * n_new * rows.n_rows * padded;
    let n_blocks = n_queries.div_ceil(BLOCK);
    let n_cuts = n_cuts.unwrap_or_else(|| match seeing.watch {
        None => parallel::cuts(n_kv_heads, n_products, n_blocks),
        Some(_) => 1, // weights of a head are summed query after query, not as threads come
    });
    let parts = parallel::each(n_kv_heads * n_cuts, n_products, |scratch: &mut Scratch, part| {
        let (kv_head, cut) = (part / n_cuts, part % n_cuts);
        let head = Head {
            keys: &rows.keys[kv_head * per_head..][..per_head],
            values: &rows.values[kv_head * per_head..][..per_head],
            width: rows.width,
            place: HeadPlace { layer: seeing.layer, kv_head },
            seeing,
            n_new,
            few: n_queries <= FEW,
            scale: 1.0 / (head_dim as f32).sqrt(),
            target: Target::best(),
        };
        let of_cut = |cut: usize| (cut * n_blocks / n_cuts * BLOCK).min(n_queries);
        let numbers = of_cut(cut)..of_cut(cut + 1);
        let first = kv_head * n_queries;
        head.attend(
            &query[(first + numbers.start) * padded..(first + numbers.end) * padded],
            numbers,
            rows.n_rows,
            scratch,
        )
    });
    let mut mix = Mix { numbers: vec![0.0; n_new * n_heads * head_dim], sums: Vec::with_capacity(n_new * n_heads) };
    let mixed = parts.iter().flat_map(|part| part.numbers.chunks_exact(padded));
    for (i, mixed) in mixed.enumerate() {
        let (head, token) = (i / n_new, i % n_new);
        mix.numbers[(token * n_heads + head) * head_dim..][..head_dim].copy_from_slice(&mixed[..head_dim]);
    }
    mix.sums.extend(parts.iter().flat_map(|part| &part.sums));
    mix
}

/// Each `width` numbers of `x` followed by zeros, `padded` in all.
pub(super) fn padded_rows(x: &[f32], width: usize, padded: usize) -> Vec<f32> {
    if width == padded {
        return x.to_vec();
    }
    let mut out = vec![0.0; x.len() / width * padded];
    for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(padded)) {
        out[..width].copy_from_slice(x);
    }
    out
}

/// Memory that one part leaves to the next.
#[derive(Default)]
struct Scratch {
    /// `[n_rows / 16, padded head_dim]`
    panels: Vec<Halves>,
    scores: Vec<f32>,
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
    /// Whether it has so few queries that keys are read as they lie, however they are cut.
    few: bool,
    scale: f32,
    target: Target,
}

impl Head<'_> {
    /// The mix for `queries`, `[n_queries, padded]`, which have these numbers among those of the head.
    fn attend(&self, queries: &[f32], numbers: Range<usize>, n_rows: usize, scratch: &mut Scratch) -> Mix {
        let padded = self.width * LANES;
        let mut part = Mix { numbers: vec![0.0; queries.len()], sums: Vec::with_capacity(numbers.len()) };
        if self.few {
            self.few(queries, numbers, &mut scratch.scores, &mut part);
            return part;
        }
        self.lay_panels(n_rows, &mut scratch.panels);
        for (block, queries) in queries.chunks(BLOCK * padded).enumerate() {
            let first = numbers.start + block * BLOCK;
            self.many(queries, first..numbers.end.min(first + BLOCK), scratch, &mut part);
        }
        part
    }

    /// The queries with these numbers, all of the part.
    fn few(&self, queries: &[f32], numbers: Range<usize>, scores: &mut Vec<f32>, part: &mut Mix) {
        let all = self.union(numbers.clone());
        scores.clear();
        scores.resize(numbers.len() * all.len(), 0.0);
        let keys = &self.keys[all.start * self.width..all.end * self.width];
        dots(self.target, queries.as_chunks().0, keys, self.width, scores);
        self.weigh(scores, numbers, &all, &mut part.sums);
        self.mix(scores, all.len(), all.clone(), &mut part.numbers);
    }

    /// The next block of queries of the part, those with these numbers.
    fn many(&self, queries: &[f32], numbers: Range<usize>, scratch: &mut Scratch, part: &mut Mix) {
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
        let first = part.sums.len();
        self.weigh(&mut scratch.scores, numbers, &all, &mut part.sums);
        let mixed = &mut part.numbers[first * padded..][..queries.len()];
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

#[cfg(test)]
mod tests {
    use super::{HalfRows, HeadShape, LANES, Seeing, attend, attend_cut};
    use crate::generate::visibility::{Visibility, WeightSums};
    use half::f16;

    /// Another machine has more threads and cuts otherwise: what it computes is the same to the last bit.
    #[test]
    fn cuts_change_no_bit() {
        let (n_kv_heads, group, head_dim, capacity, n_rows, n_new) = (2, 3, 24_usize, 320, 317, 37);
        let width = head_dim.div_ceil(LANES);
        let number = |i: usize| ((i * 7919 % 2003) as f32 - 1001.0) / 700.0;
        let halves = |salt: usize| -> Vec<[u16; LANES]> {
            let of = |i: usize| std::array::from_fn(|lane| f16::from_f32(number(salt + i * LANES + lane)).to_bits());
            (0..n_kv_heads * capacity * width).map(of).collect()
        };
        let (keys, values) = (halves(1), halves(99));
        let rows = HalfRows { keys: &keys, values: &values, capacity, n_rows, width };
        let positions: Vec<u32> = (0..n_rows as u32).collect();
        let tokens: Vec<usize> = (n_rows - n_new..n_rows).collect();
        for window in [None, Some(50)] {
            let seen = Visibility::new(&positions, &tokens, window, Default::default());
            let seeing = Seeing { layer: 0, seen: &seen, watch: None };
            let asked = HeadShape { n_tokens: n_new, n_heads: n_kv_heads * group, head_dim };
            let query: Vec<f32> = (0..n_new * n_kv_heads * group * head_dim).map(|i| number(i * 3)).collect();
            let bits =
                |mix: super::Mix| -> Vec<u32> { mix.numbers.iter().chain(&mix.sums).map(|x| x.to_bits()).collect() };
            let whole = bits(attend_cut(&query, asked, rows, seeing, Some(1)));
            assert!(whole.iter().any(|bits| *bits != 0));
            for n_cuts in [2, 3] {
                assert_eq!(bits(attend_cut(&query, asked, rows, seeing, Some(n_cuts))), whole, "{n_cuts} {window:?}");
            }
            assert_eq!(bits(attend(&query, asked, rows, seeing)), whole);
            // What each row weighs is summed in one order too: summed as threads came, two captures of a text differed.
            let sums = |n_cuts: Option<usize>| -> Vec<u32> {
                let watch = WeightSums::new(1, n_kv_heads, n_rows);
                attend_cut(&query, asked, rows, Seeing { watch: Some(&watch), ..seeing }, n_cuts);
                watch.into_sums().iter().map(|x| x.to_bits()).collect()
            };
            for _ in 0..20 {
                assert_eq!(sums(None), sums(Some(1)), "{window:?}");
            }
        }
    }
}
