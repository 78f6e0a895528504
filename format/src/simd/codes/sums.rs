//! Sums of rows of codes, each times a weight: `out += weights · codes`.
//!
//! A block of sums stays in registers while all rows pass: tall where many sums are wanted, wide where few are. Goto and van
//! de Geijn, *Anatomy of High-Performance Matrix Multiplication*, 2008, <https://doi.org/10.1145/1356052.1356053>.

use super::super::compiled;
use super::{CodeRows, LANES};

compiled! {
    /// Adds to row `q` of `out` every row of the codes times its weight in row `q` of `weights`. Rows of both begin a stride
    /// apart; there are as many as `out` has.
    fn add_rows(codes: CodeRows<'_>, weights: &[f32], weight_stride: usize, out: &mut [f32], out_stride: usize)
    by avx512::add_rows, avx2::add_rows; {
        for (q, out) in out.chunks_mut(out_stride.max(1)).enumerate() {
            plain(codes, &weights[q * weight_stride..][..codes.n_rows], &mut out[..codes.width]);
        }
    }
}

/// One row of weights.
#[inline(always)]
fn plain(codes: CodeRows<'_>, weights: &[f32], out: &mut [f32]) {
    let mut first = 0;
    let (wide, rest) = out.as_chunks_mut::<{ 4 * LANES }>();
    for sums in wide {
        add_columns(codes, first, weights, sums);
        first += sums.len();
    }
    let (narrow, rest) = rest.as_chunks_mut::<LANES>();
    for sums in narrow {
        add_columns(codes, first, weights, sums);
        first += sums.len();
    }
    for (column, sum) in rest.iter_mut().enumerate() {
        for (i, weight) in weights.iter().enumerate() {
            *sum += f32::from(codes.row(i)[first + column]) * weight;
        }
    }
}

/// `N` columns from `first` on.
#[inline(always)]
fn add_columns<const N: usize>(codes: CodeRows<'_>, first: usize, weights: &[f32], out: &mut [f32; N]) {
    let mut sums = *out;
    for (i, weight) in weights.iter().enumerate() {
        let row = &codes.row(i)[first..][..N];
        for column in 0..N {
            sums[column] += f32::from(row[column]) * weight;
        }
    }
    *out = sums;
}

/// The columns that do not fill a register.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn last_columns(codes: CodeRows<'_>, weights: &[f32], weight_stride: usize, out: &mut [f32], out_stride: usize) {
    let whole = codes.width / LANES * LANES;
    if whole < codes.width {
        let last = codes.columns(whole..codes.width);
        for (q, out) in out.chunks_mut(out_stride.max(1)).enumerate() {
            plain(last, &weights[q * weight_stride..][..codes.n_rows], &mut out[whole..codes.width]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::super::super::registers::{of_codes, of_floats, to_sixteen};
    use super::{CodeRows, LANES, last_columns};
    use std::arch::x86_64::{
        _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_fmadd_ps, _mm512_set1_ps, _mm512_setzero_ps,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn add_rows(
        codes: CodeRows<'_>,
        weights: &[f32],
        weight_stride: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        last_columns(codes, weights, weight_stride, out, out_stride);
        let (mut weights, mut out) = (weights, out);
        while !out.is_empty() {
            let n = match out.len().div_ceil(out_stride.max(1)) {
                n @ 0..4 => n,
                4..12 => 4,
                _ => 12,
            };
            match n {
                1 => strips::<1, 8>(codes, weights, weight_stride, out, out_stride),
                2 => strips::<2, 4>(codes, weights, weight_stride, out, out_stride),
                3 => strips::<3, 4>(codes, weights, weight_stride, out, out_stride),
                4 => strips::<4, 4>(codes, weights, weight_stride, out, out_stride),
                _ => strips::<12, 2>(codes, weights, weight_stride, out, out_stride),
            }
            weights = weights.get(n * weight_stride..).unwrap_or_default();
            out = out.get_mut(n * out_stride..).unwrap_or_default();
        }
    }

    /// `M` rows of weights with all whole vectors, `V` of them at a time.
    #[target_feature(enable = "avx512f")]
    fn strips<const M: usize, const V: usize>(
        codes: CodeRows<'_>,
        weights: &[f32],
        weight_stride: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let (n, mut v) = (codes.width / LANES, 0);
        while v + V <= n {
            block::<M, V>(codes, v, weights, weight_stride, out, out_stride);
            v += V;
        }
        while V > 4 && v + 4 <= n {
            block::<M, 4>(codes, v, weights, weight_stride, out, out_stride);
            v += 4;
        }
        while v < n {
            block::<M, 1>(codes, v, weights, weight_stride, out, out_stride);
            v += 1;
        }
    }

    #[target_feature(enable = "avx512f")]
    fn block<const M: usize, const V: usize>(
        codes: CodeRows<'_>,
        v: usize,
        weights: &[f32],
        weight_stride: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let codes = codes.columns(v * LANES..(v + V) * LANES);
        let mut of = [&weights[..0]; M];
        for m in 0..M {
            of[m] = &weights[m * weight_stride..][..codes.n_rows];
        }
        let mut sums = [[_mm512_setzero_ps(); V]; M];
        for (i, row) in (0..codes.n_rows).map(|i| (i, codes.row(i))) {
            let row = &row.as_chunks::<LANES>().0[..V];
            let mut wide = [_mm512_setzero_ps(); V];
            for v in 0..V {
                wide[v] = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(of_codes(row[v])));
            }
            for m in 0..M {
                let weight = _mm512_set1_ps(of[m][i]);
                for v in 0..V {
                    sums[m][v] = _mm512_fmadd_ps(weight, wide[v], sums[m][v]);
                }
            }
        }
        for m in 0..M {
            let out = &mut out[m * out_stride + v * LANES..].as_chunks_mut::<LANES>().0[..V];
            for v in 0..V {
                out[v] = to_sixteen(_mm512_add_ps(of_floats(out[v]), sums[m][v]));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::super::super::registers::{of_eight_floats, to_eight};
    use super::super::widened;
    use super::{CodeRows, LANES, last_columns};
    use std::arch::x86_64::{_mm256_add_ps, _mm256_fmadd_ps, _mm256_set1_ps, _mm256_setzero_ps};

    /// Numbers of one register.
    const WIDTH: usize = 8;
    /// Registers of a row at a time: with four rows eight of sixteen hold sums.
    const V: usize = LANES / WIDTH;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn add_rows(
        codes: CodeRows<'_>,
        weights: &[f32],
        weight_stride: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        last_columns(codes, weights, weight_stride, out, out_stride);
        let (mut weights, mut out) = (weights, out);
        while !out.is_empty() {
            let n = match out.len().div_ceil(out_stride.max(1)) {
                n @ 0..4 => n,
                _ => 4,
            };
            for first in (0..codes.width / LANES).map(|v| v * LANES) {
                match n {
                    1 => block::<1>(codes, first, weights, weight_stride, out, out_stride),
                    2 => block::<2>(codes, first, weights, weight_stride, out, out_stride),
                    3 => block::<3>(codes, first, weights, weight_stride, out, out_stride),
                    _ => block::<4>(codes, first, weights, weight_stride, out, out_stride),
                }
            }
            weights = weights.get(n * weight_stride..).unwrap_or_default();
            out = out.get_mut(n * out_stride..).unwrap_or_default();
        }
    }

    /// The columns of two registers, from `first` on.
    #[target_feature(enable = "avx2,fma")]
    fn block<const M: usize>(
        codes: CodeRows<'_>,
        first: usize,
        weights: &[f32],
        weight_stride: usize,
        out: &mut [f32],
        out_stride: usize,
    ) {
        let codes = codes.columns(first..first + LANES);
        let mut of = [&weights[..0]; M];
        for m in 0..M {
            of[m] = &weights[m * weight_stride..][..codes.n_rows];
        }
        let mut sums = [[_mm256_setzero_ps(); V]; M];
        for (i, row) in (0..codes.n_rows).map(|i| (i, codes.row(i))) {
            let row = &row.as_chunks::<WIDTH>().0[..V];
            let mut wide = [_mm256_setzero_ps(); V];
            for v in 0..V {
                wide[v] = widened(row[v]);
            }
            for m in 0..M {
                let weight = _mm256_set1_ps(of[m][i]);
                for v in 0..V {
                    sums[m][v] = _mm256_fmadd_ps(weight, wide[v], sums[m][v]);
                }
            }
        }
        for m in 0..M {
            let out = &mut out[m * out_stride + first..].as_chunks_mut::<WIDTH>().0[..V];
            for v in 0..V {
                out[v] = to_eight(_mm256_add_ps(of_eight_floats(out[v]), sums[m][v]));
            }
        }
    }
}
