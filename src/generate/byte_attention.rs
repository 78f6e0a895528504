//! Attention over rows of eight bits: a few queries, as a decode step has, read the codes as they lie; for many, as in prefill,
//! the rows of a layer are widened to f16 once and attended to as such.
//!
//! Widening to f16 rounds a number by a sixteenth of the step that its code has, or less.

use super::byte_rows::{ByteHead, ByteRows};
use super::half_attention::{self, FEW, Seeing, TILE};
use super::heads::HeadShape;
use super::kv_cache::HalfRows;
use super::pages::Mix;
use super::parallel;
use super::simd::{BLOCK, Columns, Halves, LANES, Target, add_byte_products, byte_dots, scale_weights, widen_rows};
use super::sources::HeadPlace;
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// Rows of one layer, of which the first `n_rows` are in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a> {
    pub(super) rows: &'a ByteRows,
    pub(super) n_rows: usize,
    pub(super) n_kv_heads: usize,
}

/// The mix of values for each query; they are `[n_heads, n_new, head_dim]`.
pub(super) fn attend(query: &[f32], asked: HeadShape, bytes: Bytes<'_>, seeing: Seeing<'_>) -> Mix {
    let HeadShape { n_tokens: n_new, n_heads, head_dim } = asked;
    let n = n_heads / bytes.n_kv_heads * n_new;
    if n > FEW {
        return half_attention::attend(query, asked, widened(bytes, head_dim, &mut Vec::new()), seeing);
    }
    let (width, scale) = (bytes.rows.width(), 1.0 / (head_dim as f32).sqrt());
    let queries = half_attention::padded_rows(query, head_dim, width);
    let ranges = (0..n_new).map(|token| seeing.seen.range(token));
    let seen = ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
    let n_products = 2 * n_heads * n_new * seen.len() * width;
    let of_heads = parallel::each(bytes.n_kv_heads, n_products, |scores: &mut Vec<f32>, kv_head| {
        let place = HeadPlace { layer: seeing.layer, kv_head };
        let queries = queries[kv_head * n * width..(kv_head + 1) * n * width].as_chunks().0;
        let ByteHead { codes, scales } = bytes.rows.head(false, kv_head, seen.clone());
        scores.clear();
        scores.resize(n * seen.len(), 0.0);
        byte_dots(Target::best(), queries, codes.as_chunks().0, scales, width / LANES, scores);
        let weigh = |(i, scores): (usize, &mut [f32])| {
            let sum = seeing.seen.weigh(scores, seen.start, i % n_new, place, scale);
            seeing.watch.inspect(|watch| watch.add(scores, seen.start, place));
            sum
        };
        let sums: Vec<f32> = scores.chunks_exact_mut(seen.len().max(1)).enumerate().map(weigh).collect();
        let mut mixed = vec![0.0; n * width];
        add_values(scores, bytes.rows.head(true, kv_head, seen.clone()), width, &mut mixed);
        (sums, mixed)
    });
    let mut mix = Mix { numbers: vec![0.0; query.len()], sums: Vec::with_capacity(n_heads * n_new) };
    for (i, mixed) in of_heads.iter().flat_map(|(_, mixed)| mixed.chunks_exact(width)).enumerate() {
        let (head, token) = (i / n_new, i % n_new);
        mix.numbers[(token * n_heads + head) * head_dim..][..head_dim].copy_from_slice(&mixed[..head_dim]);
    }
    mix.sums.extend(of_heads.iter().flat_map(|(sums, _)| sums));
    mix
}

/// Adds every row of `values`, times its weight in each of the rows of `weights`, to the rows of `mixed`.
fn add_values(weights: &[f32], values: ByteHead<'_>, width: usize, mixed: &mut [f32]) {
    let (codes, n_scales) = (values.codes.as_chunks().0, width.div_ceil(BLOCK));
    let (n_rows, inner, n) = (values.codes.len() / width, width / LANES, mixed.len() / width);
    let mut scaled = vec![0.0; n * TILE.min(n_rows)];
    for first in (0..n_rows).step_by(TILE) {
        let n_inner = TILE.min(n_rows - first);
        let scales = &values.scales[first * n_scales..(first + n_inner) * n_scales];
        for block in 0..n_scales {
            let scaled = &mut scaled[..n * n_inner];
            scale_weights(Target::best(), &weights[first..], n_rows, &scales[block..], n_scales, scaled);
            let vectors = block * (BLOCK / LANES)..inner.min((block + 1) * (BLOCK / LANES));
            let columns = Columns {
                numbers: &codes[first * inner + vectors.start..],
                inner,
                outer: 1,
                n_inner,
                n_vectors: vectors.len(),
            };
            add_byte_products(Target::best(), scaled, n_inner, columns, &mut mixed[vectors.start * LANES..], width);
        }
    }
}

/// The same rows in f16, which lie in `room`.
fn widened<'a>(bytes: Bytes<'_>, head_dim: usize, room: &'a mut Vec<Halves>) -> HalfRows<'a> {
    let Bytes { rows, n_rows, n_kv_heads } = bytes;
    let (capacity, width) = (n_rows.next_multiple_of(LANES), head_dim.div_ceil(LANES));
    room.resize(2 * n_kv_heads * capacity * width, [0; LANES]);
    // A tile at a time, which stays in the processor's cache.
    let mut wide = vec![0.0; TILE.min(n_rows) * rows.width()];
    for (number, head) in room.chunks_exact_mut((capacity * width).max(1)).enumerate() {
        for (first, head) in (0..n_rows).step_by(TILE).zip(head.chunks_mut(TILE * width)) {
            let tile = first..n_rows.min(first + TILE);
            let ByteHead { codes, scales } = rows.head(number >= n_kv_heads, number % n_kv_heads, tile);
            widen_rows(Target::best(), codes, rows.width(), scales, &mut wide);
            let wide = wide.chunks_exact(rows.width()).take(codes.len() / rows.width());
            for (row, out) in wide.zip(head.chunks_exact_mut(width)) {
                let out: &mut [f16] = out.as_flattened_mut().reinterpret_cast_mut();
                out[..head_dim].convert_from_f32_slice(&row[..head_dim]);
            }
        }
    }
    let (keys, values) = room.split_at(n_kv_heads * capacity * width);
    HalfRows { keys, values, capacity, n_rows, width }
}
