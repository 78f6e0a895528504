//! Eight-bit codes of one head as they lie in a page, multiplied without being widened to memory.
//!
//! The codes of a head's rows begin `stride` apart. Products are added in an order that is the same on every machine.

use super::compiled;

/// Channels that are added up in registers.
const WIDE: usize = 64;
/// Channels of one register, and sums that do not wait for each other.
const LANES: usize = 16;

compiled! {
    /// `out[i]` becomes the dot product of row `i` of `codes` and `weights`.
    fn dot_codes(codes: &[u8], stride: usize, weights: &[f32], out: &mut [f32]) {
        let (weight_blocks, rest_weights) = weights.as_chunks::<LANES>();
        for (row, out) in codes.chunks(stride.max(1)).zip(out) {
            let Some(row) = row.get(..weights.len()) else { return };
            let (blocks, rest) = row.as_chunks::<LANES>();
            let mut sums = [0.0_f32; LANES];
            for (codes, weights) in blocks.iter().zip(weight_blocks) {
                for lane in 0..LANES {
                    sums[lane] += f32::from(codes[lane]) * weights[lane];
                }
            }
            for ((sum, code), weight) in sums.iter_mut().zip(rest).zip(rest_weights) {
                *sum += f32::from(*code) * weight;
            }
            *out = sum_of(sums);
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
    /// Adds every row of `codes`, times its weight, to `sums`.
    fn add_codes(codes: &[u8], stride: usize, weights: &[f32], sums: &mut [f32]) {
        let width = sums.len();
        let (wide, rest) = sums.as_chunks_mut::<WIDE>();
        for (number, sums) in wide.iter_mut().enumerate() {
            add_columns(codes.get(number * WIDE..).unwrap_or_default(), stride, weights, sums);
        }
        let mut first = width - rest.len();
        let (narrow, rest) = rest.as_chunks_mut::<LANES>();
        for sums in narrow {
            add_columns(codes.get(first..).unwrap_or_default(), stride, weights, sums);
            first += LANES;
        }
        for sum in rest {
            let column = codes.get(first..).unwrap_or_default().iter().step_by(stride.max(1));
            column.zip(weights).for_each(|(code, weight)| *sum += f32::from(*code) * weight);
            first += 1;
        }
    }
}

/// The first `N` channels of every row.
#[inline(always)]
fn add_columns<const N: usize>(codes: &[u8], stride: usize, weights: &[f32], out: &mut [f32; N]) {
    let mut sums = *out;
    for (row, weight) in codes.chunks(stride.max(1)).zip(weights) {
        let Some(row) = row.first_chunk::<N>() else { break };
        for channel in 0..N {
            sums[channel] += f32::from(row[channel]) * weight;
        }
    }
    *out = sums;
}
