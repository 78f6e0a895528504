//! Dot products of one row of f32 with rows of ggml's `Q8_0` blocks as they lie: an f16 scale, then 32 codes.
//!
//! An output projection that is the embedding table as well: laid out otherwise for its products, the largest matrix of a small
//! model would be held twice. The bytes decide how fast one row of a decode step is multiplied.

use super::{LANES, compiled};
use half::f16;

/// Numbers of a block.
const BLOCK: usize = 2 * LANES;
/// Bytes of a block.
const BLOCK_BYTES: usize = 2 + BLOCK;
/// Rows that are computed together: their sums do not wait for each other.
const ROWS: usize = 4;

compiled! {
    /// `out[row] = x · row`, of rows that are as many blocks as `x` has whole ones.
    fn dot_blocks(x: &[f32], blocks: &[u8], out: &mut [f32])
    by avx512::dot_blocks, avx2::dot_blocks; {
        by_rows(x, blocks, out, |x, rows| rows.map(|row| dot(x, row)), |x, row| dot(x, row));
    }
}

type Block = [u8; BLOCK_BYTES];

/// Gives `four` rows at a time to one and what is left to the `other`.
#[inline(always)]
fn by_rows(
    x: &[f32],
    blocks: &[u8],
    out: &mut [f32],
    four: impl Fn(&[[f32; BLOCK]], [&[Block]; ROWS]) -> [f32; ROWS],
    other: impl Fn(&[[f32; BLOCK]], &[Block]) -> f32,
) {
    let (x, blocks) = (x.as_chunks().0, blocks.as_chunks().0);
    let n = x.len().max(1);
    let (fours, rest) = out.as_chunks_mut::<ROWS>();
    let n_fours = fours.len();
    for (out, rows) in fours.iter_mut().zip(blocks.chunks_exact(ROWS * n)) {
        *out = four(x, std::array::from_fn(|row| &rows[row * n..(row + 1) * n]));
    }
    for (out, row) in rest.iter_mut().zip(blocks.chunks_exact(n).skip(ROWS * n_fours)) {
        *out = other(x, row);
    }
}

#[inline(always)]
fn dot(x: &[[f32; BLOCK]], row: &[Block]) -> f32 {
    let mut sums = [0.0; LANES];
    for (x, [low, high, codes @ ..]) in x.iter().zip(row) {
        let scale = f16::from_le_bytes([*low, *high]).to_f32();
        for lane in 0..LANES {
            let of_codes =
                x[lane] * f32::from(codes[lane] as i8) + x[LANES + lane] * f32::from(codes[LANES + lane] as i8);
            sums[lane] += of_codes * scale;
        }
    }
    sums.iter().sum()
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::super::registers::{codes, floats};
    use super::{BLOCK, Block, LANES, by_rows};
    use std::arch::x86_64::{
        __m512, _mm256_set1_epi16, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtph_ps, _mm512_fmadd_ps,
        _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_setzero_ps,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn dot_blocks(x: &[f32], blocks: &[u8], out: &mut [f32]) {
        by_rows(x, blocks, out, |x, rows| dots(x, rows), |x, row| dots(x, [row])[0]);
    }

    #[target_feature(enable = "avx512f")]
    fn dots<const R: usize>(x: &[[f32; BLOCK]], rows: [&[Block]; R]) -> [f32; R] {
        let mut sums = [_mm512_setzero_ps(); R];
        for (i, x) in x.iter().enumerate() {
            let x = [floats(half(x, 0)), floats(half(x, 1))];
            for (sum, row) in sums.iter_mut().zip(rows) {
                let block = &row[i];
                let scale = _mm512_cvtph_ps(_mm256_set1_epi16(i16::from_le_bytes([block[0], block[1]])));
                let low = _mm512_mul_ps(wide(block, 0), x[0]);
                *sum = _mm512_fmadd_ps(_mm512_fmadd_ps(wide(block, 1), x[1], low), scale, *sum);
            }
        }
        sums.map(|sum| _mm512_reduce_add_ps(sum))
    }

    #[target_feature(enable = "avx512f")]
    fn wide(block: &Block, number: usize) -> __m512 {
        let first = 2 + number * LANES;
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes(std::array::from_fn(|lane| block[first + lane]))))
    }

    #[inline(always)]
    fn half(x: &[f32; BLOCK], number: usize) -> [f32; LANES] {
        std::array::from_fn(|lane| x[number * LANES + lane])
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::super::registers::{array_of_pairs, codes, float_pairs};
    use super::{BLOCK, Block, LANES, by_rows};
    use std::arch::x86_64::{
        __m256, _mm_set1_epi16, _mm_srli_si128, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtph_ps,
        _mm256_fmadd_ps, _mm256_mul_ps, _mm256_setzero_ps,
    };

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn dot_blocks(x: &[f32], blocks: &[u8], out: &mut [f32]) {
        by_rows(x, blocks, out, |x, rows| dots(x, rows), |x, row| dots(x, [row])[0]);
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn dots<const R: usize>(x: &[[f32; BLOCK]], rows: [&[Block]; R]) -> [f32; R] {
        let mut sums = [[_mm256_setzero_ps(); 2]; R];
        for (i, x) in x.iter().enumerate() {
            let half = |number: usize| float_pairs(std::array::from_fn(|lane| x[number * LANES + lane]));
            let (x_low, x_high) = (half(0), half(1));
            for (sums, row) in sums.iter_mut().zip(rows) {
                let block = &row[i];
                let scale = _mm256_cvtph_ps(_mm_set1_epi16(i16::from_le_bytes([block[0], block[1]])));
                let (low, high) = (wide(block, 0), wide(block, 1));
                for pair in 0..2 {
                    let of_codes = _mm256_fmadd_ps(high[pair], x_high[pair], _mm256_mul_ps(low[pair], x_low[pair]));
                    sums[pair] = _mm256_fmadd_ps(of_codes, scale, sums[pair]);
                }
            }
        }
        sums.map(|sums| array_of_pairs(sums).iter().sum())
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn wide(block: &Block, number: usize) -> [__m256; 2] {
        let first = 2 + number * LANES;
        let codes = codes(std::array::from_fn(|lane| block[first + lane]));
        [codes, _mm_srli_si128::<8>(codes)].map(|codes| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)))
    }
}
