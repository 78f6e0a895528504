//! The residual of an int4 page that makes it an int8 page: four more bits a number, and no ranges of its own.
//!
//! Each cell of the base is cut into sixteen, and the page stores which of them a number lies in. Base and residual
//! together are as large as an int8 page; the base alone is a prefix that a fast reader is content with.

use super::quantized::{Dequantizer, Quantizer};
use super::{PageError, PageShape};
use crate::Result;
use crate::simd::pack_halves;

/// Appends the residual of the page that `quantizer` last encoded as int4, which is `base`.
pub(super) fn encode(quantizer: &mut Quantizer, shape: PageShape, base: &[u8], out: &mut Vec<u8>) -> Result<PageError> {
    let start = out.len();
    pack_halves(&quantizer.codes, shape.head_dim as usize, |code| code & 15, out);
    let stored = out.get(start..).unwrap_or_default();
    quantizer.measure(|numbers| decode(&mut Dequantizer::default(), shape, base, stored, numbers))
}

/// Writes the numbers of `base` refined by `stored`.
pub(super) fn decode(
    dequantizer: &mut Dequantizer,
    shape: PageShape,
    base: &[u8],
    stored: &[u8],
    out: &mut [f32],
) -> Result<()> {
    dequantizer.decode(shape, 4, base, Some(stored), out)
}
