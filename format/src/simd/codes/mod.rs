//! Eight-bit codes of one head as they lie in a page, multiplied without being widened to memory.
//!
//! Many rows of numbers are multiplied with each code that is widened. Unlike in the other loops of this folder, targets agree
//! to rounding and not in every bit: multiplication and addition are fused where the processor can, and each adds up in the
//! order that suits it. What is summed here is never stored.

mod dots;
mod sums;
mod transpose;

pub(crate) use dots::{add_dots, scale};
use std::ops::Range;
pub(crate) use sums::add_rows;
pub(crate) use transpose::transpose;

/// Numbers that are computed together.
const LANES: usize = 16;
/// Bytes that come from memory together.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Rows of `width` codes that begin `stride` apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeRows<'a> {
    codes: &'a [u8],
    stride: usize,
    n_rows: usize,
    width: usize,
}

impl<'a> CodeRows<'a> {
    /// `None` when there are not as many codes.
    pub(crate) fn new(codes: &'a [u8], stride: usize, n_rows: usize, width: usize) -> Option<Self> {
        let n_codes = n_rows.checked_sub(1).map_or(Some(0), |before| before.checked_mul(stride)?.checked_add(width))?;
        (n_codes <= codes.len() && width <= stride).then_some(Self { codes, stride, n_rows, width })
    }

    pub(crate) fn n_rows(self) -> usize {
        self.n_rows
    }

    pub(crate) fn width(self) -> usize {
        self.width
    }

    /// Codes of row `i`.
    #[inline(always)]
    pub(crate) fn row(self, i: usize) -> &'a [u8] {
        &self.codes[i * self.stride..][..self.width]
    }

    /// Asks for the codes of these rows, which will be read soon: between rows of one head lie those of the others, and the
    /// processor does not foresee that.
    pub(crate) fn fetch(self) {
        #[cfg(target_arch = "x86_64")]
        for line in (0..self.n_rows).flat_map(|i| self.row(i).chunks(LINE)) {
            super::registers::fetch(line);
        }
    }

    /// Some of the rows.
    pub(crate) fn rows(self, range: Range<usize>) -> Self {
        let codes = self.codes.get(range.start * self.stride..).unwrap_or_default();
        Self { codes, n_rows: range.len(), ..self }
    }

    /// Some columns of all rows.
    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        let codes = self.codes.get(range.start..).unwrap_or_default();
        Self { codes, width: range.len(), ..self }
    }
}

/// Eight codes as numbers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn widened(codes: [u8; 8]) -> std::arch::x86_64::__m256 {
    use std::arch::x86_64::{_mm_cvtsi64_si128, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32};
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(codes))))
}
