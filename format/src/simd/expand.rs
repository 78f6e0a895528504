//! Codes to numbers: `base + code * step`, where a channel or a group of a token has its own base and step.
//!
//! Steps have eleven significant bits and codes at most eight, so the product is exact and only the sum is rounded:
//! a machine that fuses the two would give the same bits.
//!
//! Codes of eight bits are a byte each, `[n_tokens, n_kv_heads, head_dim]`. Codes of four bits are packed by head: byte `i`
//! of a head has channel `i` in its low half and channel `i + (head_dim + 1) / 2` in its high half.

use super::compiled;

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
            match head_dim {
                64 => channels::<32, 64>(codes, base, step, out),
                128 => channels::<64, 128>(codes, base, step, out),
                _ => {
                    let heads = codes.chunks_exact(head_bytes).zip(out.chunks_mut(head_dim.max(1)));
                    let ranges = base.chunks(head_dim.max(1)).zip(step.chunks(head_dim.max(1)));
                    for ((codes, out), (base, step)) in heads.zip(ranges) {
                        unpack_head(codes, out);
                        for ((x, base), step) in out.iter_mut().zip(base).zip(step) {
                            *x = base + *x * step;
                        }
                    }
                }
            }
        }
    }
}

/// A row of heads whose width the compiler knows.
#[inline(always)]
fn channels<const HALF: usize, const HEAD: usize>(codes: &[u8], base: &[f32], step: &[f32], out: &mut [f32]) {
    let heads = codes.as_chunks::<HALF>().0.iter().zip(out.as_chunks_mut::<HEAD>().0);
    let ranges = base.as_chunks::<HEAD>().0.iter().zip(step.as_chunks::<HEAD>().0);
    for ((codes, out), (base, step)) in heads.zip(ranges) {
        for i in 0..HALF {
            out[i] = base[i] + f32::from(codes[i] & 15) * step[i];
        }
        for i in 0..HALF {
            out[HALF + i] = base[HALF + i] + f32::from(codes[i] >> 4) * step[HALF + i];
        }
    }
}

compiled! {
    /// A byte for each four-bit code.
    fn split_halves(packed: &[u8], head_dim: usize, codes: &mut [u8]) {
        match head_dim {
            64 => split_heads::<32>(packed, codes),
            128 => split_heads::<64>(packed, codes),
            _ => {
                let heads = packed.chunks_exact(head_dim.div_ceil(2).max(1)).zip(codes.chunks_exact_mut(head_dim.max(1)));
                for (packed, codes) in heads {
                    let (low, high) = codes.split_at_mut(packed.len().min(codes.len()));
                    low.iter_mut().zip(packed).for_each(|(code, packed)| *code = packed & 15);
                    high.iter_mut().zip(packed).for_each(|(code, packed)| *code = packed >> 4);
                }
            }
        }
    }
}

/// Heads of twice as many codes as bytes, which the compiler knows.
#[inline(always)]
fn split_heads<const HALF: usize>(packed: &[u8], codes: &mut [u8]) {
    let (packed, codes) = (packed.as_chunks::<HALF>().0, codes.as_chunks_mut::<HALF>().0);
    for (packed, codes) in packed.iter().zip(codes.as_chunks_mut::<2>().0) {
        *codes = [packed.map(|packed| packed & 15), packed.map(|packed| packed >> 4)];
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
