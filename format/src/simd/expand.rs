//! Codes to numbers: `base + code * step`, where a channel or a group of a token has its own base and step.
//!
//! Steps have eleven significant bits and codes at most eight, so the product is exact and only the sum is rounded:
//! a machine that fuses the two would give the same bits.
//!
//! Codes of eight bits are a byte each, `[n_tokens, n_kv_heads, head_dim]`. Codes of four bits are packed by head: byte `i`
//! of a head has channel `i` in its low half and channel `i + (head_dim + 1) / 2` in its high half.

use super::compiled;

/// Numbers that a processor handles at once, at most.
const LANES: usize = 16;

compiled! {
    /// Eight-bit codes of whole rows; `base` and `step` are one per channel.
    fn expand_8_by_channel(codes: &[u8], base: &[f32], step: &[f32], out: &mut [f32]) {
        let width = base.len().max(1);
        for (codes, out) in codes.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            for (((x, code), base), step) in out.iter_mut().zip(codes).zip(base).zip(step) {
                *x = base + f32::from(*code) * step;
            }
        }
    }
}

compiled! {
    /// Eight-bit codes of whole heads; `base` and `step` are one per `group` numbers of a head.
    fn expand_8_by_token(codes: &[u8], head_dim: usize, group: usize, base: &[f32], step: &[f32], out: &mut [f32]) {
        let (mut base, mut step) = (base.iter(), step.iter());
        for (codes, out) in codes.chunks_exact(head_dim.max(1)).zip(out.chunks_exact_mut(head_dim.max(1))) {
            for (codes, out) in codes.chunks(group.max(1)).zip(out.chunks_mut(group.max(1))) {
                let (Some(base), Some(step)) = (base.next(), step.next()) else { return };
                for (x, code) in out.iter_mut().zip(codes) {
                    *x = base + f32::from(*code) * step;
                }
            }
        }
    }
}

compiled! {
    /// Four-bit codes of whole rows; `base` and `step` are one per channel.
    fn expand_4_by_channel(codes: &[u8], head_dim: usize, base: &[f32], step: &[f32], out: &mut [f32]) {
        let (width, head_bytes) = (base.len().max(1), head_dim.div_ceil(2).max(1));
        let row_bytes = width / head_dim.max(1) * head_bytes;
        for (codes, out) in codes.chunks_exact(row_bytes.max(1)).zip(out.chunks_exact_mut(width)) {
            let channels = base.chunks(head_dim.max(1)).zip(step.chunks(head_dim.max(1)));
            let heads = codes.chunks_exact(head_bytes).zip(out.chunks_mut(head_dim.max(1)));
            for ((codes, out), (base, step)) in heads.zip(channels) {
                let (low, high) = out.split_at_mut(head_bytes.min(out.len()));
                let (low_base, high_base) = base.split_at(low.len());
                let (low_step, high_step) = step.split_at(low.len());
                each(codes, low_base, low_step, low, |code| code & 15);
                each(codes, high_base, high_step, high, |code| code >> 4);
            }
        }
    }
}

/// `out = base + half(code) * step`, sixteen at a time.
#[inline(always)]
fn each(codes: &[u8], base: &[f32], step: &[f32], out: &mut [f32], half: impl Fn(u8) -> u8) {
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    let n = blocks.len() * LANES;
    let blocks = blocks.iter_mut().zip(codes.as_chunks::<LANES>().0);
    for ((out, codes), (base, step)) in blocks.zip(base.as_chunks::<LANES>().0.iter().zip(step.as_chunks::<LANES>().0))
    {
        for (((x, code), base), step) in out.iter_mut().zip(codes).zip(base).zip(step) {
            *x = base + f32::from(half(*code)) * step;
        }
    }
    let tails = codes.iter().zip(base.iter().zip(step)).skip(n);
    for (x, (code, (base, step))) in rest.iter_mut().zip(tails) {
        *x = base + f32::from(half(*code)) * step;
    }
}

compiled! {
    /// Four-bit codes of whole heads; `base` and `step` are one per `group` numbers of a head.
    fn expand_4_by_token(codes: &[u8], head_dim: usize, group: usize, base: &[f32], step: &[f32], out: &mut [f32]) {
        let (head_dim, group) = (head_dim.max(1), group.max(1));
        let (head_bytes, n_groups) = (head_dim.div_ceil(2), head_dim.div_ceil(group));
        let groups = base.chunks_exact(n_groups).zip(step.chunks_exact(n_groups));
        let heads = codes.chunks_exact(head_bytes).zip(out.chunks_exact_mut(head_dim));
        for ((codes, out), (base, step)) in heads.zip(groups) {
            if let ([base], [step]) = (base, step) {
                let (low, high) = out.split_at_mut(head_bytes);
                spread(codes, *base, *step, low, |code| code & 15);
                spread(codes, *base, *step, high, |code| code >> 4);
            } else {
                unpack_head(codes, out);
                for (out, (base, step)) in out.chunks_mut(group).zip(base.iter().zip(step)) {
                    out.iter_mut().for_each(|x| *x = base + *x * step);
                }
            }
        }
    }
}

/// `out = base + half(code) * step`, sixteen at a time.
#[inline(always)]
fn spread(codes: &[u8], base: f32, step: f32, out: &mut [f32], half: impl Fn(u8) -> u8) {
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    let n = blocks.len() * LANES;
    for (out, codes) in blocks.iter_mut().zip(codes.as_chunks::<LANES>().0) {
        for (x, code) in out.iter_mut().zip(codes) {
            *x = base + f32::from(half(*code)) * step;
        }
    }
    for (x, code) in rest.iter_mut().zip(codes.iter().skip(n)) {
        *x = base + f32::from(half(*code)) * step;
    }
}

/// The codes of one head as numbers.
#[inline(always)]
fn unpack_head(codes: &[u8], out: &mut [f32]) {
    let (low, high) = out.split_at_mut(codes.len().min(out.len()));
    for (x, code) in low.iter_mut().zip(codes) {
        *x = f32::from(code & 15);
    }
    for (x, code) in high.iter_mut().zip(codes) {
        *x = f32::from(code >> 4);
    }
}

compiled! {
    /// Eight-bit codes out of their upper and lower halves, both packed as four-bit codes.
    fn join_halves(upper: &[u8], lower: &[u8], head_dim: usize, codes: &mut [u8]) {
        let head_dim = head_dim.max(1);
        let head_bytes = head_dim.div_ceil(2);
        let halves = upper.chunks_exact(head_bytes).zip(lower.chunks_exact(head_bytes));
        for ((upper, lower), codes) in halves.zip(codes.chunks_exact_mut(head_dim)) {
            let (low, high) = codes.split_at_mut(head_bytes);
            for ((code, upper), lower) in low.iter_mut().zip(upper).zip(lower) {
                *code = (upper & 15) << 4 | lower & 15;
            }
            for ((code, upper), lower) in high.iter_mut().zip(upper).zip(lower) {
                *code = upper & 0xf0 | lower >> 4;
            }
        }
    }
}
