//! Codes of a head, channel by channel: for products with many queries, which then are sums of rows.

use super::super::compiled;
use super::{CodeRows, LANES};

compiled! {
    /// `out[channel * out_stride + row]` becomes the code of this row and channel.
    fn transpose(codes: CodeRows<'_>, out: &mut [u8], out_stride: usize)
    by registers::transpose, registers::transpose; {
        plain(codes, 0, out, out_stride);
    }
}

/// The rows from `first` on.
#[inline(always)]
fn plain(codes: CodeRows<'_>, first: usize, out: &mut [u8], out_stride: usize) {
    for i in first..codes.n_rows {
        for (out, code) in out.chunks_mut(out_stride.max(1)).zip(codes.row(i)) {
            out[i] = *code;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use super::super::super::registers::{of_codes, to_codes};
    use super::{CodeRows, LANES, plain};
    use std::arch::x86_64::{_mm_unpackhi_epi8, _mm_unpacklo_epi8};

    #[target_feature(enable = "sse2")]
    pub(super) fn transpose(codes: CodeRows<'_>, out: &mut [u8], out_stride: usize) {
        if !codes.width.is_multiple_of(LANES) {
            return plain(codes, 0, out, out_stride);
        }
        let whole = codes.n_rows / LANES * LANES;
        for first in (0..whole).step_by(LANES) {
            for column in (0..codes.width).step_by(LANES) {
                let mut block = [[0; LANES]; LANES];
                for (i, row) in block.iter_mut().enumerate() {
                    *row = codes.row(first + i).as_chunks().0[column / LANES];
                }
                for (i, channel) in transposed(block).iter().enumerate() {
                    out[(column + i) * out_stride + first..][..LANES].copy_from_slice(channel);
                }
            }
        }
        plain(codes, whole, out, out_stride);
    }

    /// Rows `i` and `i + 8` shuffled like two halves of a deck of cards: after four times every card is where it belongs.
    #[target_feature(enable = "sse2")]
    fn transposed(block: [[u8; LANES]; LANES]) -> [[u8; LANES]; LANES] {
        let mut block = block.map(of_codes);
        for _ in 0..4 {
            let rows = block;
            for i in 0..LANES / 2 {
                block[2 * i] = _mm_unpacklo_epi8(rows[i], rows[i + LANES / 2]);
                block[2 * i + 1] = _mm_unpackhi_epi8(rows[i], rows[i + LANES / 2]);
            }
        }
        block.map(to_codes)
    }
}
