//! Dot products of a few rows of numbers with many rows of codes.
//!
//! Eight sums are in registers at once, of up to four rows of numbers, so that none waits for another; their lanes are added up
//! together.

use super::super::compiled;
use super::{CodeRows, LANES};

compiled! {
    /// Adds to `out[q * out_stride + i]` the dot product of row `q` of `numbers` and row `i` of the codes; both are as wide.
    fn add_dots(codes: CodeRows<'_>, numbers: &[f32], out: &mut [f32], out_stride: usize)
    by avx512::add_dots, avx2::add_dots; {
        plain(codes, numbers, out, out_stride);
    }
}

#[inline(always)]
fn plain(codes: CodeRows<'_>, numbers: &[f32], out: &mut [f32], out_stride: usize) {
    let rows = numbers.chunks_exact(codes.width.max(1));
    for (numbers, out) in rows.zip(out.chunks_mut(out_stride.max(1))) {
        let (blocks, rest) = numbers.as_chunks::<LANES>();
        for (i, out) in out.iter_mut().enumerate().take(codes.n_rows) {
            let (code_blocks, rest_codes) = codes.row(i).as_chunks::<LANES>();
            let mut sums = [0.0_f32; LANES];
            for (codes, numbers) in code_blocks.iter().zip(blocks) {
                for lane in 0..LANES {
                    sums[lane] += f32::from(codes[lane]) * numbers[lane];
                }
            }
            for ((sum, code), x) in sums.iter_mut().zip(rest_codes).zip(rest) {
                *sum += f32::from(*code) * x;
            }
            *out += sum_of(sums);
        }
    }
}

/// By halves, so that few sums wait for each other.
#[inline(always)]
fn sum_of(mut sums: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
    }
    sums[0]
}

compiled! {
    /// `scaled = numbers * step`, and `sum` becomes that of `numbers * base`: what a row of numbers is to codes and to what
    /// code 0 stands for.
    fn scale(numbers: &[f32], base: &[f32], step: &[f32], scaled: &mut [f32], sum: &mut f32) {
        for ((scaled, x), step) in scaled.iter_mut().zip(numbers).zip(step) {
            *scaled = x * step;
        }
        let (blocks, rest) = numbers.as_chunks::<LANES>();
        let (bases, rest_bases) = base.as_chunks::<LANES>();
        let mut sums = [0.0_f32; LANES];
        for (numbers, base) in blocks.iter().zip(bases) {
            for lane in 0..LANES {
                sums[lane] += numbers[lane] * base[lane];
            }
        }
        for ((sum, x), base) in sums.iter_mut().zip(rest).zip(rest_bases) {
            *sum += x * base;
        }
        *sum = sum_of(sums);
    }
}

/// Sums that are in registers at once.
#[cfg(target_arch = "x86_64")]
const SUMS: usize = 8;

/// Calls one of three functions for the next one, two or four rows of numbers, until none is left.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn by_fours(
    width: usize,
    numbers: &[f32],
    out: &mut [f32],
    out_stride: usize,
    mut call: impl FnMut(usize, &[f32], &mut [f32]),
) {
    let (mut numbers, mut out) = (numbers, out);
    while numbers.len() >= width.max(1) {
        let n = match numbers.len() / width {
            1 => 1,
            2 | 3 => 2,
            _ => 4,
        };
        let (now, later) = numbers.split_at(n * width);
        call(n, now, &mut *out);
        numbers = later;
        out = out.get_mut(n * out_stride..).unwrap_or_default();
    }
}

/// Adds sums of `Q` rows of numbers with `K` rows of codes, from row `first` on, where there are as many.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn put<const Q: usize, const K: usize>(
    sums: [f32; SUMS],
    first: usize,
    n_rows: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    for q in 0..Q {
        let out = &mut out[q * out_stride + first..];
        if first + K <= n_rows {
            let out = &mut out[..K];
            for k in 0..K {
                out[k] += sums[q * K + k];
            }
        } else {
            out.iter_mut().zip(&sums[q * K..]).take(n_rows - first).for_each(|(out, sum)| *out += sum);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::super::super::registers::{of_codes, of_floats, to_sixteen};
    use super::{CodeRows, LANES, SUMS, by_fours, plain, put};
    use std::arch::x86_64::{
        __m512, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_fmadd_ps, _mm512_setzero_ps,
        _mm512_shuffle_f32x4, _mm512_shuffle_ps,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn add_dots(codes: CodeRows<'_>, numbers: &[f32], out: &mut [f32], out_stride: usize) {
        if !codes.width.is_multiple_of(LANES) {
            return plain(codes, numbers, out, out_stride);
        }
        by_fours(codes.width, numbers, out, out_stride, |n, numbers, out| match n {
            1 => few::<1, 8>(codes, numbers, out, out_stride),
            2 => few::<2, 4>(codes, numbers, out, out_stride),
            _ => few::<4, 2>(codes, numbers, out, out_stride),
        });
    }

    /// `Q` rows of numbers with all rows of codes, `K` at a time.
    #[target_feature(enable = "avx512f")]
    fn few<const Q: usize, const K: usize>(codes: CodeRows<'_>, numbers: &[f32], out: &mut [f32], out_stride: usize) {
        let width = codes.width / LANES;
        let vectors = numbers.as_chunks::<LANES>().0;
        let mut of = [vectors; Q];
        for q in 0..Q {
            of[q] = &vectors[q * width..][..width];
        }
        for first in (0..codes.n_rows).step_by(K) {
            // Behind the last row it once more, for nothing.
            let row = |k: usize| &codes.row((first + k).min(codes.n_rows - 1)).as_chunks::<LANES>().0[..width];
            let rows: [_; K] = std::array::from_fn(row);
            let mut sums = [_mm512_setzero_ps(); SUMS];
            for i in 0..width {
                for k in 0..K {
                    let wide = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(of_codes(rows[k][i])));
                    for q in 0..Q {
                        sums[q * K + k] = _mm512_fmadd_ps(wide, of_floats(of[q][i]), sums[q * K + k]);
                    }
                }
            }
            put::<Q, K>(sum_each(sums), first, codes.n_rows, out, out_stride);
        }
    }

    /// The sum of each register's lanes: halves of two are added beside each other, then quarters of four, and so on.
    #[target_feature(enable = "avx512f")]
    fn sum_each(x: [__m512; SUMS]) -> [f32; SUMS] {
        #[target_feature(enable = "avx512f")]
        fn halves(a: __m512, b: __m512) -> __m512 {
            _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b))
        }
        #[target_feature(enable = "avx512f")]
        fn quarters(ab: __m512, cd: __m512) -> __m512 {
            _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd))
        }
        let low = quarters(halves(x[0], x[1]), halves(x[2], x[3]));
        let high = quarters(halves(x[4], x[5]), halves(x[6], x[7]));
        let pairs = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(low, high), _mm512_shuffle_ps::<0xee>(low, high));
        let ones = _mm512_add_ps(_mm512_shuffle_ps::<0x88>(pairs, pairs), _mm512_shuffle_ps::<0xdd>(pairs, pairs));
        // Quarter `i` has register `i` first and register `i + 4` second.
        let found = to_sixteen(ones);
        [found[0], found[4], found[8], found[12], found[1], found[5], found[9], found[13]]
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::super::super::registers::{of_eight_floats, to_eight};
    use super::super::widened;
    use super::{CodeRows, LANES, SUMS, by_fours, plain, put};
    use std::arch::x86_64::{
        __m256, _mm256_add_ps, _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_permute2f128_ps, _mm256_setzero_ps,
    };

    /// Numbers of one register.
    const WIDTH: usize = 8;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn add_dots(codes: CodeRows<'_>, numbers: &[f32], out: &mut [f32], out_stride: usize) {
        if !codes.width.is_multiple_of(LANES) {
            return plain(codes, numbers, out, out_stride);
        }
        by_fours(codes.width, numbers, out, out_stride, |n, numbers, out| match n {
            1 => few::<1, 8>(codes, numbers, out, out_stride),
            2 => few::<2, 4>(codes, numbers, out, out_stride),
            _ => few::<4, 2>(codes, numbers, out, out_stride),
        });
    }

    /// `Q` rows of numbers with all rows of codes, `K` at a time.
    #[target_feature(enable = "avx2,fma")]
    fn few<const Q: usize, const K: usize>(codes: CodeRows<'_>, numbers: &[f32], out: &mut [f32], out_stride: usize) {
        let width = codes.width / WIDTH;
        let vectors = numbers.as_chunks::<WIDTH>().0;
        let mut of = [vectors; Q];
        for q in 0..Q {
            of[q] = &vectors[q * width..][..width];
        }
        for first in (0..codes.n_rows).step_by(K) {
            // Behind the last row it once more, for nothing.
            let row = |k: usize| &codes.row((first + k).min(codes.n_rows - 1)).as_chunks::<WIDTH>().0[..width];
            let rows: [_; K] = std::array::from_fn(row);
            let mut sums = [_mm256_setzero_ps(); SUMS];
            for i in 0..width {
                for k in 0..K {
                    let wide = widened(rows[k][i]);
                    for q in 0..Q {
                        sums[q * K + k] = _mm256_fmadd_ps(wide, of_eight_floats(of[q][i]), sums[q * K + k]);
                    }
                }
            }
            put::<Q, K>(sum_each(sums), first, codes.n_rows, out, out_stride);
        }
    }

    /// The sum of each register's lanes.
    #[target_feature(enable = "avx2,fma")]
    fn sum_each(x: [__m256; SUMS]) -> [f32; SUMS] {
        // Each half has the sums of its own lanes of four registers.
        let low = _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]));
        let high = _mm256_hadd_ps(_mm256_hadd_ps(x[4], x[5]), _mm256_hadd_ps(x[6], x[7]));
        let halves = (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high));
        to_eight(_mm256_add_ps(halves.0, halves.1))
    }
}
