//! Attention over rows of eight bits: a few queries, as a decode step has, read the codes as they lie; for many, as in prefill,
//! the rows of a layer are widened to f16 once and attended to as such.
//!
//! Widening to f16 rounds a number by a sixteenth of the step that its code has, or less.

use super::byte_rows::{ByteHead, ByteRows};
use super::half_attention::{self, FEW, Seeing};
use super::heads::HeadShape;
use super::kv_cache::HalfRows;
use super::pages::Mix;
use super::simd::{Halves, LANES, Target, add_rows, dot_rows, widen_rows};
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
    let group = n_heads / bytes.n_kv_heads;
    if group * n_new > FEW {
        return half_attention::attend(query, asked, widened(bytes, head_dim, &mut Vec::new()), seeing);
    }
    let (width, scale) = (bytes.rows.width(), 1.0 / (head_dim as f32).sqrt());
    let mut mix = Mix { numbers: vec![0.0; query.len()], sums: Vec::with_capacity(n_heads * n_new) };
    let (mut asking, mut mixed, mut scores) = (vec![0.0; width], vec![0.0; width], Vec::new());
    for (i, query) in query.chunks_exact(head_dim).enumerate() {
        let (head, token) = (i / n_new, i % n_new);
        let place = HeadPlace { layer: seeing.layer, kv_head: head / group };
        let seen = seeing.seen.range(token);
        asking[..head_dim].copy_from_slice(query);
        scores.clear();
        scores.resize(seen.len(), 0.0);
        let ByteHead { codes, scales } = bytes.rows.head(false, place.kv_head, seen.clone());
        dot_rows(Target::best(), &asking, codes, width, scales, &mut scores);
        mix.sums.push(seeing.seen.weigh(&mut scores, seen.start, token, place, scale));
        seeing.watch.inspect(|watch| watch.add(&scores, seen.start, place));
        let ByteHead { codes, scales } = bytes.rows.head(true, place.kv_head, seen);
        mixed.fill(0.0);
        add_rows(Target::best(), &scores, codes, width, scales, &mut mixed);
        mix.numbers[(token * n_heads + head) * head_dim..][..head_dim].copy_from_slice(&mixed[..head_dim]);
    }
    mix
}

/// The same rows in f16, which lie in `room`.
fn widened<'a>(bytes: Bytes<'_>, head_dim: usize, room: &'a mut Vec<Halves>) -> HalfRows<'a> {
    let Bytes { rows, n_rows, n_kv_heads } = bytes;
    let (capacity, width) = (n_rows.next_multiple_of(LANES), head_dim.div_ceil(LANES));
    room.resize(2 * n_kv_heads * capacity * width, [0; LANES]);
    let mut wide = vec![0.0; n_rows * rows.width()];
    for (number, head) in room.chunks_exact_mut((capacity * width).max(1)).enumerate() {
        let ByteHead { codes, scales } = rows.head(number >= n_kv_heads, number % n_kv_heads, 0..n_rows);
        widen_rows(Target::best(), codes, rows.width(), scales, &mut wide);
        for (row, out) in wide.chunks_exact(rows.width()).zip(head.chunks_exact_mut(width)) {
            let out: &mut [f16] = out.as_flattened_mut().reinterpret_cast_mut();
            out[..head_dim].convert_from_f32_slice(&row[..head_dim]);
        }
    }
    let (keys, values) = room.split_at(n_kv_heads * capacity * width);
    HalfRows { keys, values, capacity, n_rows, width }
}
