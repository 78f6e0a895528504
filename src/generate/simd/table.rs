//! Dot products of one row of f32 with rows of ggml's `Q8_0` blocks as they lie: an f16 scale, then 32 codes.
//!
//! For an output projection that is the embedding table as well: laid out otherwise for its products, the largest matrix of a
//! small model would be held twice. Its bytes come from memory at every token, so those that follow are asked for in time.

#[cfg(target_arch = "x86_64")]
use super::Codes;
use super::{LANES, compiled};
use half::f16;

/// Numbers of a block.
const BLOCK: usize = 2 * LANES;
/// Bytes of a block.
const BLOCK_BYTES: usize = 2 + BLOCK;
/// Blocks that are computed together: their sums do not wait for each other.
const TOGETHER: usize = 4;
/// Bytes from what is computed to what is asked for.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 4096;

type Block = [u8; BLOCK_BYTES];

compiled! {
    /// `out[row] = x · row`, of rows that are as many blocks as `x` has whole ones.
    fn dot_blocks(x: &[f32], blocks: &[u8], out: &mut [f32])
    by avx512::dot_blocks, avx2::dot_blocks; {
        by_rows(x, blocks, out, |x, row| {
            let mut sums = [0.0; LANES];
            for (x, [low, high, codes @ ..]) in x.iter().zip(row) {
                let scale = f16::from_le_bytes([*low, *high]).to_f32();
                for lane in 0..LANES {
                    let of_codes = x[lane] * f32::from(codes[lane] as i8)
                        + x[LANES + lane] * f32::from(codes[LANES + lane] as i8);
                    sums[lane] += of_codes * scale;
                }
            }
            sums.iter().sum()
        });
    }
}

#[inline(always)]
fn by_rows(x: &[f32], blocks: &[u8], out: &mut [f32], dot: impl Fn(&[[f32; BLOCK]], &[Block]) -> f32) {
    let (x, blocks) = (x.as_chunks().0, blocks.as_chunks().0);
    for (out, row) in out.iter_mut().zip(blocks.chunks_exact(x.len().max(1))) {
        *out = dot(x, row);
    }
}

/// Gives `each` the number of a sum, and the numbers and the block that are added to it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn by_blocks(x: &[[f32; BLOCK]], row: &[Block], mut each: impl FnMut(usize, &[f32; BLOCK], &Block)) {
    let ((x, x_rest), (row, rest)) = (x.as_chunks::<TOGETHER>(), row.as_chunks::<TOGETHER>());
    for (x, blocks) in x.iter().zip(row) {
        ask_for(blocks.as_flattened());
        for i in 0..TOGETHER {
            each(i, &x[i], &blocks[i]);
        }
    }
    x_rest.iter().zip(rest).for_each(|(x, block)| each(0, x, block));
}

/// The lower or the higher codes of a block.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn codes(block: &Block, half: usize) -> Codes {
    std::array::from_fn(|lane| block[2 + half * LANES + lane] as i8)
}

/// Has the processor fetch what lies [`AHEAD`] of `blocks`, as many bytes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code, reason = "a hint about an address")]
fn ask_for(blocks: &[u8]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in (0..blocks.len()).step_by(64) {
        // SAFETY: a prefetch reads nothing that the program sees, and any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(blocks.as_ptr().cast::<i8>().wrapping_add(AHEAD + line)) };
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::super::registers::{floats, wide};
    use super::{LANES, TOGETHER, by_blocks, by_rows, codes};
    use std::arch::x86_64::{
        _mm256_set1_epi16, _mm512_add_ps, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_mul_ps, _mm512_reduce_add_ps,
        _mm512_setzero_ps,
    };

    #[target_feature(enable = "avx512f")]
    pub(super) fn dot_blocks(x: &[f32], blocks: &[u8], out: &mut [f32]) {
        by_rows(x, blocks, out, |x, row| {
            let mut sums = [_mm512_setzero_ps(); TOGETHER];
            by_blocks(x, row, |i, x, block| {
                let scale = _mm512_cvtph_ps(_mm256_set1_epi16(i16::from_le_bytes([block[0], block[1]])));
                let half = |number: usize| floats(std::array::from_fn(|lane| x[number * LANES + lane]));
                let of_codes =
                    _mm512_fmadd_ps(wide(codes(block, 1)), half(1), _mm512_mul_ps(wide(codes(block, 0)), half(0)));
                sums[i] = _mm512_fmadd_ps(of_codes, scale, sums[i]);
            });
            let [a, b, c, d] = sums;
            _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)))
        });
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::super::registers::{array_of_pairs, float_pairs, wide_pairs};
    use super::{LANES, TOGETHER, by_blocks, by_rows, codes};
    use std::arch::x86_64::{_mm_set1_epi16, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_mul_ps, _mm256_setzero_ps};

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn dot_blocks(x: &[f32], blocks: &[u8], out: &mut [f32]) {
        by_rows(x, blocks, out, |x, row| {
            let mut sums = [[_mm256_setzero_ps(); 2]; TOGETHER];
            by_blocks(x, row, |i, x, block| {
                let scale = _mm256_cvtph_ps(_mm_set1_epi16(i16::from_le_bytes([block[0], block[1]])));
                let half = |number: usize| float_pairs(std::array::from_fn(|lane| x[number * LANES + lane]));
                let (x_low, x_high) = (half(0), half(1));
                let (low, high) = (wide_pairs(codes(block, 0)), wide_pairs(codes(block, 1)));
                for pair in 0..2 {
                    let of_codes = _mm256_fmadd_ps(high[pair], x_high[pair], _mm256_mul_ps(low[pair], x_low[pair]));
                    sums[i][pair] = _mm256_fmadd_ps(of_codes, scale, sums[i][pair]);
                }
            });
            sums.iter().flat_map(|pair| array_of_pairs(*pair)).sum()
        });
    }
}
