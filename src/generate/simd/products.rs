//! `out += a · b` with rows of f32 in `a` and columns of f16 or of eight bits in `b`, sixteen columns to a vector.
//!
//! Both products of attention are of this form: queries with keys (sixteen tokens to a vector, one vector per channel) and
//! weights with values (sixteen channels to a vector, one vector per token). A block of rows and vectors stays in registers
//! while the inner dimension runs, as in Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, 2008,
//! <https://doi.org/10.1145/1356052.1356053>.

use super::{Codes, Halves, LANES, compiled};
use half::f16;

/// The right factor: vector `v` of inner index `k` is `numbers[k * inner + v * outer]`.
#[derive(Clone, Copy, Debug)]
pub(in crate::generate) struct Columns<'a, T = Halves> {
    pub(in crate::generate) numbers: &'a [T],
    pub(in crate::generate) inner: usize,
    pub(in crate::generate) outer: usize,
    /// Length of the inner dimension.
    pub(in crate::generate) n_inner: usize,
    /// How many vectors.
    pub(in crate::generate) n_vectors: usize,
}

compiled! {
    /// Adds `a · b` to `out`. Rows of `a` begin `a_stride` apart and have `n_inner` numbers, rows of `out` begin
    /// `out_stride` apart and have `16 * n_vectors`; there are as many as `out` holds.
    fn add_products(a: &[f32], a_stride: usize, b: Columns<'_>, out: &mut [f32], out_stride: usize)
    by avx512::add_products, avx2::add_products; {
        plain(a, a_stride, b, out, out_stride, |bits: Halves| bits.map(|bits| f16::from_bits(bits).to_f32()));
    }
}

compiled! {
    /// As [`add_products`], of codes.
    fn add_byte_products(a: &[f32], a_stride: usize, b: Columns<'_, Codes>, out: &mut [f32], out_stride: usize)
    by avx512::add_byte_products, avx2::add_byte_products; {
        plain(a, a_stride, b, out, out_stride, |codes: Codes| codes.map(f32::from));
    }
}

#[inline(always)]
fn plain<T: Copy>(
    a: &[f32],
    a_stride: usize,
    b: Columns<'_, T>,
    out: &mut [f32],
    out_stride: usize,
    widen: impl Fn(T) -> [f32; LANES],
) {
    for (row, out) in out.chunks_mut(out_stride.max(1)).enumerate() {
        let a = &a[row * a_stride..][..b.n_inner];
        for (v, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate().take(b.n_vectors) {
            let mut sums = *out;
            for (k, x) in a.iter().enumerate() {
                let column = widen(b.numbers[k * b.inner + v * b.outer]);
                for lane in 0..LANES {
                    sums[lane] += x * column[lane];
                }
            }
            *out = sums;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::super::registers::{array, floats, halves, wide};
    use super::{Codes, Columns, LANES};
    use std::arch::x86_64::{
        __m512, _mm512_add_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_set1_ps, _mm512_setzero_ps,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn add_products(a: &[f32], a_stride: usize, b: Columns<'_>, out: &mut [f32], out_stride: usize) {
        all(a, a_stride, b, out, out_stride, |bits| _mm512_cvtph_ps(halves(bits)));
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn add_byte_products(
        a: &[f32],
        a_stride: usize,
        b: Columns<'_, Codes>,
        out: &mut [f32],
        out_stride: usize,
    ) {
        all(a, a_stride, b, out, out_stride, |codes| wide(codes));
    }

    /// Of 32 registers 24 hold sums: tall blocks for many rows, wide ones for few.
    #[target_feature(enable = "avx512f")]
    fn all<T: Copy>(
        a: &[f32],
        a_stride: usize,
        b: Columns<'_, T>,
        out: &mut [f32],
        out_stride: usize,
        widen: impl Fn(T) -> __m512 + Copy,
    ) {
        let n_rows = out.len().div_ceil(out_stride.max(1));
        match n_rows {
            0 => {}
            1 => strips::<1, 8, T>(a, a_stride, b, out, out_stride, widen),
            2 => strips::<2, 8, T>(a, a_stride, b, out, out_stride, widen),
            3 => strips::<3, 8, T>(a, a_stride, b, out, out_stride, widen),
            4..12 => strips::<4, 4, T>(a, a_stride, b, out, out_stride, widen),
            _ => strips::<12, 2, T>(a, a_stride, b, out, out_stride, widen),
        }
    }

    #[target_feature(enable = "avx512f")]
    fn strips<const M: usize, const V: usize, T: Copy>(
        a: &[f32],
        a_stride: usize,
        b: Columns<'_, T>,
        out: &mut [f32],
        out_stride: usize,
        widen: impl Fn(T) -> __m512 + Copy,
    ) {
        let mut v = 0;
        while v + V <= b.n_vectors {
            rows::<M, V, T>(a, a_stride, b, v, out, out_stride, widen);
            v += V;
        }
        while V > 4 && v + 4 <= b.n_vectors {
            rows::<M, 4, T>(a, a_stride, b, v, out, out_stride, widen);
            v += 4;
        }
        while v < b.n_vectors {
            rows::<M, 1, T>(a, a_stride, b, v, out, out_stride, widen);
            v += 1;
        }
    }

    /// All rows of the vectors from `v` on.
    #[target_feature(enable = "avx512f")]
    fn rows<const M: usize, const V: usize, T: Copy>(
        a: &[f32],
        a_stride: usize,
        b: Columns<'_, T>,
        v: usize,
        out: &mut [f32],
        out_stride: usize,
        widen: impl Fn(T) -> __m512 + Copy,
    ) {
        let mut a = a;
        let mut blocks = out.chunks_mut(M * out_stride);
        for out in &mut blocks {
            if out.len() > (M - 1) * out_stride {
                block::<M, V, T>(a, a_stride, b, v, out, out_stride, widen);
            } else {
                let mut a = a;
                for out in out.chunks_mut(out_stride) {
                    block::<1, V, T>(a, a_stride, b, v, out, out_stride, widen);
                    a = a.get(a_stride..).unwrap_or_default();
                }
            }
            a = a.get(M * a_stride..).unwrap_or_default();
        }
    }

    #[target_feature(enable = "avx512f")]
    fn block<const M: usize, const V: usize, T: Copy>(
        a: &[f32],
        a_stride: usize,
        b: Columns<'_, T>,
        v: usize,
        out: &mut [f32],
        out_stride: usize,
        widen: impl Fn(T) -> __m512 + Copy,
    ) {
        let mut sums = [[_mm512_setzero_ps(); V]; M];
        let mut rows = [&a[..0]; M];
        for m in 0..M {
            rows[m] = &a[m * a_stride..][..b.n_inner];
        }
        let mut columns = [b.numbers; V];
        for (i, column) in columns.iter_mut().enumerate() {
            *column = &b.numbers[(v + i) * b.outer..];
        }
        for k in 0..b.n_inner {
            let mut vectors = [_mm512_setzero_ps(); V];
            for i in 0..V {
                vectors[i] = widen(columns[i][k * b.inner]);
            }
            for m in 0..M {
                let x = _mm512_set1_ps(rows[m][k]);
                for i in 0..V {
                    sums[m][i] = _mm512_fmadd_ps(x, vectors[i], sums[m][i]);
                }
            }
        }
        for m in 0..M {
            let out = out[m * out_stride..].as_chunks_mut::<LANES>().0;
            for i in 0..V {
                let out = &mut out[v + i];
                *out = array(_mm512_add_ps(floats(*out), sums[m][i]));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::super::registers::{array_of_pairs, float_pairs, half_pairs, wide_pairs};
    use super::{Codes, Columns, LANES};
    use std::arch::x86_64::{__m256, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_set1_ps};

    /// Rows of sums: of 16 registers they take eight.
    const ROWS: usize = 4;

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn add_products(a: &[f32], a_stride: usize, b: Columns<'_>, out: &mut [f32], out_stride: usize) {
        all(a, a_stride, b, out, out_stride, |bits| half_pairs(bits).map(|half| _mm256_cvtph_ps(half)));
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn add_byte_products(
        a: &[f32],
        a_stride: usize,
        b: Columns<'_, Codes>,
        out: &mut [f32],
        out_stride: usize,
    ) {
        all(a, a_stride, b, out, out_stride, |codes| wide_pairs(codes));
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn all<T: Copy>(
        a: &[f32],
        a_stride: usize,
        b: Columns<'_, T>,
        out: &mut [f32],
        out_stride: usize,
        widen: impl Fn(T) -> [__m256; 2] + Copy,
    ) {
        let mut a = a;
        for out in out.chunks_mut(ROWS * out_stride.max(1)) {
            let whole = out.len() > (ROWS - 1) * out_stride;
            for v in 0..b.n_vectors {
                if whole {
                    block::<ROWS, T>(a, a_stride, b, v, out, out_stride, widen);
                } else {
                    let mut a = a;
                    for out in out.chunks_mut(out_stride) {
                        block::<1, T>(a, a_stride, b, v, out, out_stride, widen);
                        a = a.get(a_stride..).unwrap_or_default();
                    }
                }
            }
            a = a.get(ROWS * a_stride..).unwrap_or_default();
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn block<const M: usize, T: Copy>(
        a: &[f32],
        a_stride: usize,
        b: Columns<'_, T>,
        v: usize,
        out: &mut [f32],
        out_stride: usize,
        widen: impl Fn(T) -> [__m256; 2],
    ) {
        let mut rows = [&a[..0]; M];
        let mut sums = [float_pairs([0.0; LANES]); M];
        for m in 0..M {
            rows[m] = &a[m * a_stride..][..b.n_inner];
            sums[m] = float_pairs(out[m * out_stride..].as_chunks::<LANES>().0[v]);
        }
        let column = &b.numbers[v * b.outer..];
        for k in 0..b.n_inner {
            let [low, high] = widen(column[k * b.inner]);
            for m in 0..M {
                let x = _mm256_set1_ps(rows[m][k]);
                sums[m] = [_mm256_fmadd_ps(x, low, sums[m][0]), _mm256_fmadd_ps(x, high, sums[m][1])];
            }
        }
        for m in 0..M {
            out[m * out_stride..].as_chunks_mut::<LANES>().0[v] = array_of_pairs(sums[m]);
        }
    }
}
