//! Rows of heads, turned by RoPE where they are keys, narrowed to f16 and written where they lie in the KV cache.
//!
//! One pass over what is read and one over what is written: a KV log of hundreds of megabytes is attached by this loop.

use super::{Halves, LANES, compiled};
use crate::generate::heads::{HeadShape, Numbers, Rows};
use crate::generate::rope::Angles;
use half::f16;

/// The widest head that exists, in numbers; `ModelConfig` has checked it.
const MAX_HEAD: usize = 1 << 12;

compiled! {
    /// Writes `x`, `[n_tokens, n_heads, head_dim]`, turned by `angles` (of which the first is that of the token `first`) where
    /// given, into rows of `out`, `[n_heads, rows.capacity, head_dim / 16]`. `fits` becomes false when a number is no finite f16.
    fn narrow_heads(
        x: Numbers<'_>,
        shape: HeadShape,
        angles: Option<(&Angles, usize)>,
        out: &mut [Halves],
        rows: Rows,
        fits: &mut bool,
    )
    by avx512::narrow_heads, avx2::narrow_heads; {
        let narrow = |numbers: &[f32], out: &mut [Halves]| {
            let mut all = true;
            for (numbers, out) in numbers.chunks(LANES).zip(out) {
                for (x, out) in numbers.iter().zip(out) {
                    all &= x.abs() <= f16::MAX.to_f32();
                    *out = f16::from_f32(*x).to_bits();
                }
            }
            all
        };
        match x {
            Numbers::Single(x) => by_scratch(x, |x| *x, shape, angles, out, rows, fits, narrow),
            Numbers::Half(x) => by_scratch(x, |x| widen(*x), shape, angles, out, rows, fits, narrow),
        }
    }
}

#[inline(always)]
fn widen(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

/// Calls `each` with the numbers of each head, cosines and sines of its token, and the place it goes to.
#[inline(always)]
fn each_head<T>(
    x: &[T],
    shape: HeadShape,
    angles: Option<(&Angles, usize)>,
    out: &mut [Halves],
    rows: Rows,
    mut each: impl FnMut(&[T], Option<(&[f32], &[f32])>, &mut [Halves]),
) {
    let (d, width) = (shape.head_dim, shape.head_dim.div_ceil(LANES));
    for (token, heads) in x.chunks_exact(shape.n_heads * d).enumerate().take(shape.n_tokens) {
        let turn = angles.map(|(angles, first)| angles.of(first + token, d / 2));
        for (head, numbers) in heads.chunks_exact(d).enumerate() {
            let at = (head * rows.capacity + rows.first + token) * width;
            each(numbers, turn, &mut out[at..at + width]);
        }
    }
}

/// Each head widened and turned as f32, then given to `narrow`, which says whether all of its numbers fit.
#[allow(clippy::too_many_arguments, reason = "those of `narrow_heads`, and how")]
#[inline(always)]
fn by_scratch<T>(
    x: &[T],
    widen: impl Fn(&T) -> f32,
    shape: HeadShape,
    angles: Option<(&Angles, usize)>,
    out: &mut [Halves],
    rows: Rows,
    fits: &mut bool,
    mut narrow: impl FnMut(&[f32], &mut [Halves]) -> bool,
) {
    let mut scratch = [0.0; MAX_HEAD];
    each_head(x, shape, angles, out, rows, |numbers, turn, out| {
        let scratch = &mut scratch[..numbers.len()];
        scratch.iter_mut().zip(numbers).for_each(|(out, x)| *out = widen(x));
        if let Some((cos, sin)) = turn {
            let (low, high) = scratch.split_at_mut(cos.len());
            for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                (*low, *high) = (*low * cos - *high * sin, *high * cos + *low * sin);
            }
        }
        *fits &= narrow(scratch, out);
    });
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::super::registers::{floats, halves, narrowed};
    use super::{Angles, Halves, HeadShape, LANES, Numbers, Rows, by_scratch, each_head, f16, widen};
    use std::arch::x86_64::{
        __m512, __mmask16, _CMP_NLE_UQ, _MM_FROUND_TO_NEAREST_INT, _mm512_abs_ps, _mm512_cmp_ps_mask, _mm512_cvtph_ps,
        _mm512_cvtps_ph, _mm512_fmadd_ps, _mm512_fmsub_ps, _mm512_mul_ps, _mm512_set1_ps,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn narrow_heads(
        x: Numbers<'_>,
        shape: HeadShape,
        angles: Option<(&Angles, usize)>,
        out: &mut [Halves],
        rows: Rows,
        fits: &mut bool,
    ) {
        let is_whole = shape.head_dim.is_multiple_of(if angles.is_some() { 2 * LANES } else { LANES });
        match x {
            Numbers::Single(x) if is_whole => {
                whole(x, |x| floats(*x), shape, angles, out, rows, fits);
            }
            Numbers::Half(x) if is_whole => {
                let load = |x: &[[u8; 2]; LANES]| _mm512_cvtph_ps(halves(x.map(u16::from_le_bytes)));
                whole(x, load, shape, angles, out, rows, fits);
            }
            Numbers::Single(x) => by_scratch(x, |x| *x, shape, angles, out, rows, fits, narrow_one),
            Numbers::Half(x) => by_scratch(x, |x| widen(*x), shape, angles, out, rows, fits, narrow_one),
        }
    }

    /// Heads of whole vectors, and of whole pairs of them where they are turned.
    #[target_feature(enable = "avx512f")]
    fn whole<T>(
        x: &[T],
        load: impl Fn(&[T; LANES]) -> __m512,
        shape: HeadShape,
        angles: Option<(&Angles, usize)>,
        out: &mut [Halves],
        rows: Rows,
        fits: &mut bool,
    ) {
        let mut beyond: __mmask16 = 0;
        each_head(x, shape, angles, out, rows, |numbers, turn, out| {
            let numbers = numbers.as_chunks::<LANES>().0;
            let Some((cos, sin)) = turn else {
                for (numbers, out) in numbers.iter().zip(out) {
                    *out = narrow(load(numbers), &mut beyond);
                }
                return;
            };
            let (low, high) = numbers.split_at(numbers.len() / 2);
            let (out_low, out_high) = out.split_at_mut(low.len());
            let angles = cos.as_chunks::<LANES>().0.iter().zip(sin.as_chunks::<LANES>().0);
            let outs = out_low.iter_mut().zip(out_high);
            for (((low, high), (cos, sin)), (out_low, out_high)) in low.iter().zip(high).zip(angles).zip(outs) {
                let (low, high, cos, sin) = (load(low), load(high), floats(*cos), floats(*sin));
                *out_low = narrow(_mm512_fmsub_ps(low, cos, _mm512_mul_ps(high, sin)), &mut beyond);
                *out_high = narrow(_mm512_fmadd_ps(high, cos, _mm512_mul_ps(low, sin)), &mut beyond);
            }
        });
        *fits &= beyond == 0;
    }

    #[target_feature(enable = "avx512f")]
    fn narrow(x: __m512, beyond: &mut __mmask16) -> Halves {
        *beyond |= _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(_mm512_abs_ps(x), _mm512_set1_ps(f16::MAX.to_f32()));
        narrowed(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x))
    }

    /// A head of any width.
    fn narrow_one(numbers: &[f32], out: &mut [Halves]) -> bool {
        let mut fits = true;
        for (numbers, out) in numbers.chunks(LANES).zip(out) {
            for (x, out) in numbers.iter().zip(out) {
                fits &= x.abs() <= f16::MAX.to_f32();
                *out = f16::from_f32(*x).to_bits();
            }
        }
        fits
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::super::registers::{array_of_pairs, float_pairs, half_pairs, narrowed_pairs};
    use super::{Angles, Halves, HeadShape, LANES, Numbers, Rows, by_scratch, f16};
    use std::arch::x86_64::{_MM_FROUND_TO_NEAREST_INT, _mm256_cvtph_ps, _mm256_cvtps_ph};

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn narrow_heads(
        x: Numbers<'_>,
        shape: HeadShape,
        angles: Option<(&Angles, usize)>,
        out: &mut [Halves],
        rows: Rows,
        fits: &mut bool,
    ) {
        let narrow = |numbers: &[f32], out: &mut [Halves]| {
            let mut all = true;
            for (numbers, out) in numbers.chunks(LANES).zip(out) {
                let mut lanes = [0.0; LANES];
                for (lane, x) in lanes.iter_mut().zip(numbers) {
                    *lane = *x;
                    all &= x.abs() <= f16::MAX.to_f32();
                }
                let halves = float_pairs(lanes).map(|x| _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x));
                *out = narrowed_pairs(halves);
            }
            all
        };
        match x {
            Numbers::Single(x) => by_scratch(x, |x| *x, shape, angles, out, rows, fits, narrow),
            Numbers::Half(x) => {
                let mut widened = vec![0.0; x.len().next_multiple_of(LANES)];
                for (x, out) in x.chunks(LANES).zip(widened.as_chunks_mut::<LANES>().0) {
                    let mut bits = [0; LANES];
                    bits.iter_mut().zip(x).for_each(|(bits, x)| *bits = u16::from_le_bytes(*x));
                    *out = array_of_pairs(half_pairs(bits).map(|half| _mm256_cvtph_ps(half)));
                }
                by_scratch(&widened[..x.len()], |x| *x, shape, angles, out, rows, fits, narrow);
            }
        }
    }
}
