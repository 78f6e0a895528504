//! Dot products of a few f32 queries with many keys as they lie in the cache, a row each: of f16, or of eight bits.
//!
//! A decode step has few queries: each key is widened once for up to four of them, and no key is moved. Eight sums are in
//! registers at once, so that none waits for another, and their lanes are added up together.

use super::{BLOCK, Codes, Halves, LANES, compiled};
use half::f16;

/// Vectors of a key that have a scale together.
const SCALED: usize = BLOCK / LANES;

compiled! {
    /// `out[q][row] = queries[q] · keys[row]`: queries and keys have `width` vectors, rows of `out` are as long as there are
    /// keys.
    fn dots(queries: &[[f32; LANES]], keys: &[Halves], width: usize, out: &mut [f32])
    by avx512::dots, avx2::dots; {
        let n_keys = keys.len() / width.max(1);
        plain(queries, width, n_keys, out, |row, i| keys[row * width + i].map(|bits| f16::from_bits(bits).to_f32()));
    }
}

compiled! {
    /// As [`dots`], of keys of eight bits, which have a scale for every [`BLOCK`] of them.
    fn byte_dots(queries: &[[f32; LANES]], keys: &[Codes], scales: &[f32], width: usize, out: &mut [f32])
    by avx512::byte_dots, avx2::byte_dots; {
        let (n_keys, n_scales) = (keys.len() / width.max(1), width.div_ceil(SCALED));
        plain(queries, width, n_keys, out, |row, i| {
            let scale = scales[row * n_scales + i / SCALED];
            keys[row * width + i].map(|code| f32::from(code) * scale)
        });
    }
}

#[inline(always)]
fn plain(
    queries: &[[f32; LANES]],
    width: usize,
    n_keys: usize,
    out: &mut [f32],
    key: impl Fn(usize, usize) -> [f32; LANES],
) {
    for (query, out) in queries.chunks_exact(width.max(1)).zip(out.chunks_exact_mut(n_keys.max(1))) {
        for (row, out) in out.iter_mut().enumerate() {
            let mut sums = [0.0_f32; LANES];
            for (i, query) in query.iter().enumerate() {
                let key = key(row, i);
                for lane in 0..LANES {
                    sums[lane] += query[lane] * key[lane];
                }
            }
            *out = sums.iter().sum();
        }
    }
}

/// Sums that are in registers at once.
#[cfg(target_arch = "x86_64")]
const SUMS: usize = 8;
/// Keys that pass for all queries before the next ones: they stay in the nearest cache.
#[cfg(target_arch = "x86_64")]
const TILE: usize = 64;

/// Calls `few` with some keys and the next one, two or four queries, how many these are and where their sums begin, until every
/// key was compared with every query.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn each_few<'q>(
    queries: &'q [[f32; LANES]],
    width: usize,
    n_keys: usize,
    mut few: impl FnMut(usize, &'q [[f32; LANES]], std::ops::Range<usize>, usize),
) {
    let n_queries = queries.len() / width.max(1);
    for first_key in (0..n_keys).step_by(TILE) {
        let mut first = 0;
        while first < n_queries {
            let n = match n_queries - first {
                1 => 1,
                2 | 3 => 2,
                _ => 4,
            };
            let of_few = &queries[first * width..(first + n) * width];
            few(n, of_few, first_key..n_keys.min(first_key + TILE), first * n_keys);
            first += n;
        }
    }
}

/// Writes the sums of `Q` queries with `K` keys, or as many as `out` has for each; those of the next query are `n_keys` behind.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn put<const Q: usize, const K: usize>(sums: [f32; SUMS], n: usize, out: &mut [f32], n_keys: usize) {
    for q in 0..Q {
        let (out, sums) = (&mut out[q * n_keys..], &sums[q * K..(q + 1) * K]);
        if n >= K {
            out[..K].copy_from_slice(sums);
        } else {
            out[..n].copy_from_slice(&sums[..n]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::super::registers::{array, floats, halves, wide};
    use super::{Codes, Halves, LANES, SCALED, SUMS, each_few, put};
    use std::arch::x86_64::{
        __m512, _mm512_add_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_shuffle_f32x4, _mm512_shuffle_ps,
    };
    use std::ops::Range;

    #[target_feature(enable = "avx512f")]
    pub(super) fn dots(queries: &[[f32; LANES]], keys: &[Halves], width: usize, out: &mut [f32]) {
        let key = |row, i| _mm512_cvtph_ps(halves(keys[row * width + i]));
        all(queries, width, keys.len() / width.max(1), out, key);
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn byte_dots(queries: &[[f32; LANES]], keys: &[Codes], scales: &[f32], width: usize, out: &mut [f32]) {
        let n_scales = width.div_ceil(SCALED);
        let key =
            |row, i| _mm512_mul_ps(wide(keys[row * width + i]), _mm512_set1_ps(scales[row * n_scales + i / SCALED]));
        all(queries, width, keys.len() / width.max(1), out, key);
    }

    #[target_feature(enable = "avx512f")]
    fn all(
        queries: &[[f32; LANES]],
        width: usize,
        n_keys: usize,
        out: &mut [f32],
        key: impl Fn(usize, usize) -> __m512,
    ) {
        each_few(queries, width, n_keys, |n, queries, keys, at| match n {
            1 => few::<1, 8>(queries, width, keys, &mut out[at..], n_keys, &key),
            2 => few::<2, 4>(queries, width, keys, &mut out[at..], n_keys, &key),
            _ => few::<4, 2>(queries, width, keys, &mut out[at..], n_keys, &key),
        });
    }

    /// `Q` queries with some keys, `K` at a time.
    #[allow(clippy::needless_range_loop, reason = "vector `i` of several rows")]
    #[target_feature(enable = "avx512f")]
    fn few<const Q: usize, const K: usize>(
        queries: &[[f32; LANES]],
        width: usize,
        keys: Range<usize>,
        out: &mut [f32],
        n_keys: usize,
        key: impl Fn(usize, usize) -> __m512,
    ) {
        let mut of = [queries; Q];
        for q in 0..Q {
            of[q] = &queries[q * width..][..width];
        }
        for first in keys.clone().step_by(K) {
            let mut sums = [_mm512_setzero_ps(); SUMS];
            for i in 0..width {
                for k in 0..K {
                    // Behind the last key it once more, for nothing.
                    let key = key((first + k).min(keys.end - 1), i);
                    for q in 0..Q {
                        sums[q * K + k] = _mm512_fmadd_ps(key, floats(of[q][i]), sums[q * K + k]);
                    }
                }
            }
            put::<Q, K>(sum_each(sums), keys.end - first, &mut out[first..], n_keys);
        }
    }

    /// The sum of each register's lanes: halves of two are added beside each other, then quarters of four, and so on.
    #[target_feature(enable = "avx512f")]
    fn sum_each(x: [__m512; SUMS]) -> [f32; SUMS] {
        let [a, b, c, d, e, f, g, h] = x;
        let low = quarters(halves_of(a, b), halves_of(c, d));
        let high = quarters(halves_of(e, f), halves_of(g, h));
        let pairs = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(low, high), _mm512_shuffle_ps::<0xee>(low, high));
        let ones = _mm512_add_ps(_mm512_shuffle_ps::<0x88>(pairs, pairs), _mm512_shuffle_ps::<0xdd>(pairs, pairs));
        // Quarter `i` has register `i` first and register `i + 4` second.
        let ones = array(ones);
        [ones[0], ones[4], ones[8], ones[12], ones[1], ones[5], ones[9], ones[13]]
    }

    #[target_feature(enable = "avx512f")]
    fn halves_of(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b))
    }

    #[target_feature(enable = "avx512f")]
    fn quarters(ab: __m512, cd: __m512) -> __m512 {
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd))
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::super::registers::{eight, float_pairs, half_pairs, wide_pairs};
    use super::{Codes, Halves, LANES, SCALED, SUMS, each_few, put};
    use std::arch::x86_64::{
        __m256, _mm256_add_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_mul_ps, _mm256_permute2f128_ps,
        _mm256_set1_ps, _mm256_setzero_ps,
    };
    use std::ops::Range;

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn dots(queries: &[[f32; LANES]], keys: &[Halves], width: usize, out: &mut [f32]) {
        let key = |row, i| half_pairs(keys[row * width + i]).map(|half| _mm256_cvtph_ps(half));
        all(queries, width, keys.len() / width.max(1), out, key);
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn byte_dots(queries: &[[f32; LANES]], keys: &[Codes], scales: &[f32], width: usize, out: &mut [f32]) {
        let n_scales = width.div_ceil(SCALED);
        let key = |row, i| {
            let scale = _mm256_set1_ps(scales[row * n_scales + i / SCALED]);
            wide_pairs(keys[row * width + i]).map(|wide| _mm256_mul_ps(wide, scale))
        };
        all(queries, width, keys.len() / width.max(1), out, key);
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn all(
        queries: &[[f32; LANES]],
        width: usize,
        n_keys: usize,
        out: &mut [f32],
        key: impl Fn(usize, usize) -> [__m256; 2],
    ) {
        each_few(queries, width, n_keys, |n, queries, keys, at| match n {
            1 => few::<1, 8>(queries, width, keys, &mut out[at..], n_keys, &key),
            2 => few::<2, 4>(queries, width, keys, &mut out[at..], n_keys, &key),
            _ => few::<4, 2>(queries, width, keys, &mut out[at..], n_keys, &key),
        });
    }

    /// `Q` queries with some keys, `K` at a time.
    #[allow(clippy::needless_range_loop, reason = "vector `i` of several rows")]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn few<const Q: usize, const K: usize>(
        queries: &[[f32; LANES]],
        width: usize,
        keys: Range<usize>,
        out: &mut [f32],
        n_keys: usize,
        key: impl Fn(usize, usize) -> [__m256; 2],
    ) {
        let mut of = [queries; Q];
        for q in 0..Q {
            of[q] = &queries[q * width..][..width];
        }
        for first in keys.clone().step_by(K) {
            let mut sums = [_mm256_setzero_ps(); SUMS];
            for i in 0..width {
                for k in 0..K {
                    // Behind the last key it once more, for nothing.
                    let [low, high] = key((first + k).min(keys.end - 1), i);
                    for q in 0..Q {
                        let query = float_pairs(of[q][i]);
                        let sum = _mm256_fmadd_ps(low, query[0], sums[q * K + k]);
                        sums[q * K + k] = _mm256_fmadd_ps(high, query[1], sum);
                    }
                }
            }
            put::<Q, K>(sum_each(sums), keys.end - first, &mut out[first..], n_keys);
        }
    }

    /// The sum of each register's lanes.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn sum_each(x: [__m256; SUMS]) -> [f32; SUMS] {
        // Each half has the sums of its own lanes of four registers.
        let low = _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]));
        let high = _mm256_hadd_ps(_mm256_hadd_ps(x[4], x[5]), _mm256_hadd_ps(x[6], x[7]));
        let halves = (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high));
        eight(_mm256_add_ps(halves.0, halves.1))
    }
}
