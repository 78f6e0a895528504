//! Rows of eight bits a number: blocks of a row have a scale each, and a code times its scale is the number.
//!
//! A row is `width` codes, whole vectors of them; a block is [`BLOCK`] codes, the last one of a row may be shorter.

use super::{LANES, compiled};

/// Codes that share a scale.
pub(in crate::generate) const BLOCK: usize = 64;

/// Codes are -127 to 127.
const LARGEST: f32 = 127.0;
/// Adding it rounds to a whole number, whose lowest bits are then those of the sum.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

compiled! {
    /// Writes the codes and scales of `row`; codes behind it are zero. `largest` becomes the largest magnitude, or no number
    /// when one of the row is none.
    fn narrow_row(row: &[f32], codes: &mut [i8], scales: &mut [f32], largest: &mut f32) {
        let mut all = 0;
        codes.fill(0);
        for ((row, codes), scale) in row.chunks(BLOCK).zip(codes.chunks_mut(BLOCK)).zip(scales) {
            // Without their sign, bits are in the order of numbers, and what is no number is above them.
            let most = row.iter().fold(0, |most, x| x.abs().to_bits().max(most));
            all = most.max(all);
            let most = f32::from_bits(most);
            *scale = most / LARGEST;
            let inverse = if *scale >= f32::MIN_POSITIVE { 1.0 / *scale } else { 0.0 };
            for (code, x) in codes.iter_mut().zip(row) {
                *code = (x * inverse + ROUND).to_bits() as i8;
            }
        }
        *largest = f32::from_bits(all);
    }
}

compiled! {
    /// `out[row] = query · row`, of rows of `width` codes; the query is as wide.
    fn dot_rows(query: &[f32], codes: &[i8], width: usize, scales: &[f32], out: &mut [f32]) {
        let n_blocks = width.div_ceil(BLOCK).max(1);
        for ((codes, scales), out) in codes.chunks_exact(width.max(1)).zip(scales.chunks_exact(n_blocks)).zip(out) {
            let mut sums = [0.0_f32; LANES];
            for ((codes, query), scale) in codes.chunks(BLOCK).zip(query.chunks(BLOCK)).zip(scales) {
                let mut of_block = [0.0_f32; LANES];
                for (codes, query) in codes.as_chunks::<LANES>().0.iter().zip(query.as_chunks::<LANES>().0) {
                    for lane in 0..LANES {
                        of_block[lane] += f32::from(codes[lane]) * query[lane];
                    }
                }
                for lane in 0..LANES {
                    sums[lane] += of_block[lane] * scale;
                }
            }
            for half in [8, 4, 2, 1] {
                for lane in 0..half {
                    sums[lane] += sums[lane + half];
                }
            }
            *out = sums[0];
        }
    }
}

compiled! {
    /// Adds rows of `width` codes, each times its weight, to `out`, which is as wide.
    fn add_rows(weights: &[f32], codes: &[i8], width: usize, scales: &[f32], out: &mut [f32]) {
        let n_blocks = width.div_ceil(BLOCK).max(1);
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            match out.as_chunks_mut::<BLOCK>() {
                ([out], []) => add_block(weights, codes, first, width, scales.get(block..).unwrap_or_default(), n_blocks, out),
                (_, out) => {
                    for (lanes, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                        let scales = scales.get(block..).unwrap_or_default();
                        add_block(weights, codes, first + lanes * LANES, width, scales, n_blocks, out);
                    }
                }
            }
        }
    }
}

/// `N` columns of every row, from `first` on; the scale of a row is the first of `n_blocks`.
#[inline(always)]
fn add_block<const N: usize>(
    weights: &[f32],
    codes: &[i8],
    first: usize,
    width: usize,
    scales: &[f32],
    n_blocks: usize,
    out: &mut [f32; N],
) {
    let mut sums = *out;
    let rows = codes.get(first..).unwrap_or_default().chunks(width.max(1)).zip(scales.iter().step_by(n_blocks));
    for (weight, (codes, scale)) in weights.iter().zip(rows) {
        let Some(codes) = codes.first_chunk::<N>() else { break };
        let weight = weight * scale;
        for column in 0..N {
            sums[column] += f32::from(codes[column]) * weight;
        }
    }
    *out = sums;
}

compiled! {
    /// The numbers of rows of `width` codes.
    fn widen_rows(codes: &[i8], width: usize, scales: &[f32], out: &mut [f32]) {
        let n_blocks = width.div_ceil(BLOCK).max(1);
        let rows = codes.chunks_exact(width.max(1)).zip(out.chunks_exact_mut(width.max(1)));
        for ((codes, out), scales) in rows.zip(scales.chunks_exact(n_blocks)) {
            for ((codes, out), scale) in codes.chunks(BLOCK).zip(out.chunks_mut(BLOCK)).zip(scales) {
                out.iter_mut().zip(codes).for_each(|(x, code)| *x = f32::from(*code) * scale);
            }
        }
    }
}
