//! Rows of eight bits a number: blocks of a row have a scale each, and a code times its scale is the number.
//!
//! A row is `width` codes, whole vectors of them; a block is [`BLOCK`] codes, the last one of a row may be shorter.

use super::compiled;

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
    /// Weights of rows, `[.., scales.len()]` that begin `stride` apart, times the scale of the row: `out`, without gaps. The scales
    /// are the first of every `n_scales`.
    fn scale_weights(weights: &[f32], stride: usize, scales: &[f32], n_scales: usize, out: &mut [f32]) {
        let n_rows = scales.len().div_ceil(n_scales.max(1));
        for (weights, out) in weights.chunks(stride.max(1)).zip(out.chunks_exact_mut(n_rows.max(1))) {
            for ((out, weight), scale) in out.iter_mut().zip(weights).zip(scales.iter().step_by(n_scales.max(1))) {
                *out = weight * scale;
            }
        }
    }
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
