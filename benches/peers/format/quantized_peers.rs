//! The quantizers that lagdb's are held against: one scale per token, as CacheGen has it, and ggml's blocks of 32.
//!
//! Absmax per token: the largest magnitude of a token's row in one column, over all heads, is the last step of a signed
//! grid; the scale is kept as f16 (Liu et al., *CacheGen*, <https://arxiv.org/abs/2310.07240>, without its entropy
//! stage). q8_0 and q4_0 are candle's, which follow ggml's bytes.

use candle_core::quantized::GgmlType;
use candle_core::quantized::k_quants::{BlockQ4_0, BlockQ8_0};
use half::f16;

/// A lossy peer: numbers in, bytes kept, numbers out. `row` is the numbers of one token.
pub(crate) trait Quantizer {
    /// Its name in the rows.
    fn name(&self) -> &'static str;
    /// Encodes; bytes kept.
    fn encode(&mut self, numbers: &[f32], row: usize) -> usize;
    /// Decodes what was last encoded.
    fn decode(&self, row: usize, out: &mut [f32]);
}

/// Eight bits a number, a scale a token.
#[derive(Default)]
pub(crate) struct AbsmaxInt8 {
    scales: Vec<f16>,
    codes: Vec<i8>,
}

/// The scale that maps the largest magnitude of a row onto `last`.
fn scale(row: &[f32], last: f32) -> f16 {
    f16::from_f32(row.iter().fold(0.0, |largest: f32, x| largest.max(x.abs())) / last)
}

/// What a scale is divided by; a row of zeros has none.
fn inverse(scale: f16) -> f32 {
    let scale = scale.to_f32();
    if scale > 0.0 { 1.0 / scale } else { 0.0 }
}

impl Quantizer for AbsmaxInt8 {
    fn name(&self) -> &'static str {
        "absmax int8"
    }

    fn encode(&mut self, numbers: &[f32], row: usize) -> usize {
        self.scales.clear();
        self.codes.clear();
        for row in numbers.chunks_exact(row) {
            let scale = scale(row, 127.0);
            let inverse = inverse(scale);
            self.scales.push(scale);
            self.codes.extend(row.iter().map(|x| (x * inverse).round().clamp(-127.0, 127.0) as i8));
        }
        2 * self.scales.len() + self.codes.len()
    }

    fn decode(&self, row: usize, out: &mut [f32]) {
        for ((out, codes), scale) in out.chunks_exact_mut(row).zip(self.codes.chunks_exact(row)).zip(&self.scales) {
            let scale = scale.to_f32();
            out.iter_mut().zip(codes).for_each(|(x, code)| *x = f32::from(*code) * scale);
        }
    }
}

/// Four bits a number, two numbers a byte, a scale a token.
#[derive(Default)]
pub(crate) struct AbsmaxInt4 {
    scales: Vec<f16>,
    codes: Vec<u8>,
}

impl Quantizer for AbsmaxInt4 {
    fn name(&self) -> &'static str {
        "absmax int4"
    }

    fn encode(&mut self, numbers: &[f32], row: usize) -> usize {
        self.scales.clear();
        self.codes.clear();
        for row in numbers.chunks_exact(row) {
            let scale = scale(row, 7.0);
            let inverse = inverse(scale);
            let code = |x: f32| ((x * inverse).round().clamp(-7.0, 7.0) as i8 + 8) as u8;
            self.scales.push(scale);
            self.codes.extend(row.as_chunks::<2>().0.iter().map(|[low, high]| code(*low) | code(*high) << 4));
        }
        2 * self.scales.len() + self.codes.len()
    }

    fn decode(&self, row: usize, out: &mut [f32]) {
        let rows = out.chunks_exact_mut(row).zip(self.codes.chunks_exact(row / 2)).zip(&self.scales);
        for ((out, codes), scale) in rows {
            let scale = scale.to_f32();
            for ([low, high], code) in out.as_chunks_mut::<2>().0.iter_mut().zip(codes) {
                *low = (f32::from(code & 15) - 8.0) * scale;
                *high = (f32::from(code >> 4) - 8.0) * scale;
            }
        }
    }
}

/// ggml's blocks, by candle.
pub(crate) struct Ggml<B> {
    name: &'static str,
    blocks: Vec<B>,
}

impl Ggml<BlockQ8_0> {
    pub(crate) fn q8_0() -> Self {
        Self { name: "q8_0", blocks: Vec::new() }
    }
}

impl Ggml<BlockQ4_0> {
    pub(crate) fn q4_0() -> Self {
        Self { name: "q4_0", blocks: Vec::new() }
    }
}

impl<B: GgmlType> Quantizer for Ggml<B> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn encode(&mut self, numbers: &[f32], _row: usize) -> usize {
        self.blocks.resize_with(numbers.len() / B::BLCK_SIZE, B::zeros);
        B::from_float(numbers, &mut self.blocks);
        size_of_val(self.blocks.as_slice())
    }

    fn decode(&self, _row: usize, out: &mut [f32]) {
        B::to_float(&self.blocks, out);
    }
}
