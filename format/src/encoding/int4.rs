//! Int4: four bits a number. Keys have a range per channel of 64 tokens, values one per 64 numbers of a head of a token.
//!
//! Values whose ranges become narrower by it are stored rotated, which the page says.

use super::quantized::{Dequantizer, Quantizer};
use super::{PageError, PageShape};
use crate::Result;
use crate::simd::pack_halves;

/// Appends the stored form of `raw`; the quantizer keeps the lower halves, which [`int8_residual`](super::int8_residual)
/// stores.
pub(super) fn encode(quantizer: &mut Quantizer, shape: PageShape, raw: &[u8], out: &mut Vec<u8>) -> Result<PageError> {
    let start = out.len();
    quantizer.quantize(shape, 4, raw, out)?;
    pack_halves(&quantizer.codes, shape.head_dim as usize, |code| code >> 4, out);
    let stored = out.get(start..).unwrap_or_default();
    quantizer.measure(|numbers| decode(&mut Dequantizer::default(), shape, stored, numbers))
}

/// Writes the numbers of `stored`.
pub(super) fn decode(dequantizer: &mut Dequantizer, shape: PageShape, stored: &[u8], out: &mut [f32]) -> Result<()> {
    dequantizer.decode(shape, 4, stored, None, out)
}
