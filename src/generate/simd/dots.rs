//! Dot products of a few f32 queries with many f16 keys as they lie in the cache, a row each.
//!
//! A decode step has few queries: each key is widened once for two of them, and no key is moved.

use super::{Halves, LANES, compiled};
use half::f16;

compiled! {
    /// `out[q][row] = queries[q] · keys[row]`: queries and keys have `width` vectors, rows of `out` are as long as there are
    /// keys.
    fn dots(queries: &[[f32; LANES]], keys: &[Halves], width: usize, out: &mut [f32])
    by avx512::dots, avx2::dots; {
        let n_keys = keys.len() / width.max(1);
        for (query, out) in queries.chunks_exact(width.max(1)).zip(out.chunks_exact_mut(n_keys.max(1))) {
            for (key, out) in keys.chunks_exact(width).zip(out) {
                let mut sums = [0.0f32; LANES];
                for (query, key) in query.iter().zip(key) {
                    for lane in 0..LANES {
                        sums[lane] += query[lane] * f16::from_bits(key[lane]).to_f32();
                    }
                }
                *out = sums.iter().sum();
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::super::registers::{floats, halves};
    use super::{Halves, LANES};
    use std::arch::x86_64::{_mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_setzero_ps};

    /// Keys that are computed together: their sums do not wait for each other.
    const KEYS: usize = 4;

    #[target_feature(enable = "avx512f")]
    pub(super) fn dots(queries: &[[f32; LANES]], keys: &[Halves], width: usize, out: &mut [f32]) {
        let (width, n_keys) = (width.max(1), keys.len() / width.max(1));
        for (group, keys) in keys.chunks(KEYS * width).enumerate() {
            let mut queries = queries;
            let mut out = &mut *out;
            while let Some((two, rest)) = queries.split_at_checked(2 * width) {
                block::<2>(two, keys, width, out, n_keys, group * KEYS);
                queries = rest;
                out = out.get_mut(2 * n_keys..).unwrap_or_default();
            }
            if queries.len() >= width {
                block::<1>(queries, keys, width, out, n_keys, group * KEYS);
            }
        }
    }

    /// `Q` queries with up to [`KEYS`] keys, the first of which is number `first` of `n_keys`.
    #[target_feature(enable = "avx512f")]
    fn block<const Q: usize>(
        queries: &[[f32; LANES]],
        keys: &[Halves],
        width: usize,
        out: &mut [f32],
        n_keys: usize,
        first: usize,
    ) {
        let mut sums = [[_mm512_setzero_ps(); KEYS]; Q];
        if keys.len() == KEYS * width {
            for i in 0..width {
                for k in 0..KEYS {
                    let key = _mm512_cvtph_ps(halves(keys[k * width + i]));
                    for q in 0..Q {
                        sums[q][k] = _mm512_fmadd_ps(key, floats(queries[q * width + i]), sums[q][k]);
                    }
                }
            }
        } else {
            for (k, key) in keys.chunks_exact(width).enumerate() {
                for i in 0..width {
                    let key = _mm512_cvtph_ps(halves(key[i]));
                    for q in 0..Q {
                        sums[q][k] = _mm512_fmadd_ps(key, floats(queries[q * width + i]), sums[q][k]);
                    }
                }
            }
        }
        for q in 0..Q {
            let out = &mut out[q * n_keys + first..(q + 1) * n_keys];
            for (out, sum) in out.iter_mut().zip(sums[q]) {
                *out = _mm512_reduce_add_ps(sum);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::super::registers::{array_of_pairs, float_pairs, half_pairs};
    use super::{Halves, LANES};
    use std::arch::x86_64::{_mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_setzero_ps};

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn dots(queries: &[[f32; LANES]], keys: &[Halves], width: usize, out: &mut [f32]) {
        let (width, n_keys) = (width.max(1), keys.len() / width.max(1));
        for (row, key) in keys.chunks_exact(width).enumerate() {
            let mut queries = queries;
            let mut out = &mut *out;
            while let Some((two, rest)) = queries.split_at_checked(2 * width) {
                for (q, sum) in key_with::<2>(two, key).into_iter().enumerate() {
                    out[q * n_keys + row] = sum;
                }
                queries = rest;
                out = out.get_mut(2 * n_keys..).unwrap_or_default();
            }
            if queries.len() >= width {
                let [sum] = key_with::<1>(queries, key);
                out[row] = sum;
            }
        }
    }

    /// One key, widened once for `Q` queries.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn key_with<const Q: usize>(queries: &[[f32; LANES]], key: &[Halves]) -> [f32; Q] {
        let mut sums = [[_mm256_setzero_ps(); 2]; Q];
        for (i, numbers) in key.iter().enumerate() {
            for (half, numbers) in half_pairs(*numbers).into_iter().enumerate() {
                let numbers = _mm256_cvtph_ps(numbers);
                for (q, sums) in sums.iter_mut().enumerate() {
                    let query = float_pairs(queries[q * key.len() + i])[half];
                    sums[half] = _mm256_fmadd_ps(numbers, query, sums[half]);
                }
            }
        }
        sums.map(|sums| array_of_pairs(sums).iter().sum())
    }
}
