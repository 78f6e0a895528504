//! Rows of f32 heads, turned by RoPE where they are keys, narrowed to f16 and written where they lie in the KV cache.
//!
//! One pass over what is read and one over what is written: a KV log of hundreds of megabytes is attached by this loop.

use super::{Halves, LANES, compiled};
use crate::generate::heads::{HeadShape, Rows};
use crate::generate::rope::Angles;
use half::f16;

/// The widest head that exists, in numbers; `ModelConfig` has checked it.
const MAX_HEAD: usize = 1 << 12;

compiled! {
    /// Writes `x`, `[n_tokens, n_heads, head_dim]`, turned by `angles` where given, into rows of `out`,
    /// `[n_heads, rows.capacity, head_dim / 16]`. `fits` becomes false when a number is no finite f16.
    fn narrow_heads(x: &[f32], shape: HeadShape, angles: Option<&Angles>, out: &mut [Halves], rows: Rows, fits: &mut bool)
    by avx512::narrow_heads; {
        each_head(x, shape, angles, out, rows, |numbers, out| {
            for (numbers, out) in numbers.chunks(LANES).zip(out) {
                for (x, out) in numbers.iter().zip(out) {
                    *fits &= x.abs() <= f16::MAX.to_f32();
                    *out = f16::from_f32(*x).to_bits();
                }
            }
        });
    }
}

/// Calls `narrow` with the numbers of each head and the place they go to.
#[inline(always)]
fn each_head(
    x: &[f32],
    shape: HeadShape,
    angles: Option<&Angles>,
    out: &mut [Halves],
    rows: Rows,
    mut narrow: impl FnMut(&[f32], &mut [Halves]),
) {
    let (d, width) = (shape.head_dim, shape.head_dim.div_ceil(LANES));
    let mut turned = [0.0; MAX_HEAD];
    for (token, heads) in x.chunks_exact(shape.n_heads * d).enumerate().take(shape.n_tokens) {
        for (head, numbers) in heads.chunks_exact(d).enumerate() {
            let at = (head * rows.capacity + rows.first + token) * width;
            let out = &mut out[at..at + width];
            match angles {
                None => narrow(numbers, out),
                Some(angles) => {
                    angles.turn(token, numbers, &mut turned[..d]);
                    narrow(&turned[..d], out);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::super::registers::{floats, narrowed};
    use super::{Angles, Halves, HeadShape, LANES, Rows, each_head, f16};
    use std::arch::x86_64::{
        _CMP_NLE_UQ, _MM_FROUND_TO_NEAREST_INT, _mm512_abs_ps, _mm512_cmp_ps_mask, _mm512_cvtps_ph, _mm512_set1_ps,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn narrow_heads(
        x: &[f32],
        shape: HeadShape,
        angles: Option<&Angles>,
        out: &mut [Halves],
        rows: Rows,
        fits: &mut bool,
    ) {
        let largest = _mm512_set1_ps(f16::MAX.to_f32());
        let mut beyond = 0;
        each_head(x, shape, angles, out, rows, |numbers, out| {
            let (whole, rest) = numbers.as_chunks::<LANES>();
            for (numbers, out) in whole.iter().zip(&mut *out) {
                let numbers = floats(*numbers);
                beyond |= _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(_mm512_abs_ps(numbers), largest);
                *out = narrowed(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(numbers));
            }
            if let Some(out) = out.get_mut(whole.len()) {
                for (x, out) in rest.iter().zip(out) {
                    beyond |= u16::from(x.is_nan() || x.abs() > f16::MAX.to_f32());
                    *out = f16::from_f32(*x).to_bits();
                }
            }
        });
        *fits &= beyond == 0;
    }
}
