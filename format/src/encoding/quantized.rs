//! What int8, int4 and their residual share: numbers to codes of eight bits in groups, and codes back to numbers.
//!
//! Four-bit codes are the upper halves of eight-bit ones whose cells are sixteen times as many, so that the lower halves,
//! stored apart, refine them.

use super::groups::{Axis, Grouping, Ranges, check_finite, corrupt};
use super::{PageError, PageShape};
use crate::Result;
use crate::simd::{self, Target};
use std::ops::Range;

/// Buffers kept from one page to the next.
#[derive(Debug, Default)]
pub(super) struct Quantizer {
    numbers: Vec<f32>,
    spread: Vec<f32>,
    /// Eight bits a number, in page order.
    pub(super) codes: Vec<u8>,
    ranges: Ranges,
    spread_ranges: Ranges,
    decoded: Vec<f32>,
}

impl Quantizer {
    /// Appends header and ranges of `bits`-bit codes and keeps the eight-bit codes.
    ///
    /// # Errors
    /// [`FormatError::Invalid`](crate::FormatError) naming the first number that is not finite.
    pub(super) fn quantize(&mut self, shape: PageShape, bits: u32, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.numbers.resize(shape.check_bytes(raw.len())?, 0.0);
        shape.element.decode_f32(raw, &mut self.numbers)?;
        check_finite(shape, &self.numbers)?;
        let mut grouping = Grouping::for_writing(shape, bits);
        self.ranges.extremes(grouping, shape, &self.numbers);
        let rotates =
            grouping.axis == Axis::Token && bits == 4 && shape.head_dim.is_power_of_two() && shape.head_dim > 1;
        if rotates && self.rotation_helps(grouping, shape) {
            grouping.is_rotated = true;
            std::mem::swap(&mut self.ranges, &mut self.spread_ranges);
        }
        let n_codes = (1_u32 << bits) as f32;
        self.ranges.write(grouping, n_codes, out);
        self.ranges.step.iter_mut().for_each(|step| *step *= n_codes / 256.0);
        self.codes.resize(self.numbers.len(), 0);
        let numbers = if grouping.is_rotated { &self.spread } else { &self.numbers };
        shrink(grouping, shape, numbers, &self.ranges, &mut self.codes);
        Ok(())
    }

    /// Rotates the numbers; whether the ranges become narrower by it. The error of a cell is proportional to its width,
    /// and turning back multiplies errors by the root of the head's width.
    fn rotation_helps(&mut self, grouping: Grouping, shape: PageShape) -> bool {
        self.spread.clone_from(&self.numbers);
        simd::walsh_hadamard(Target::best(), &mut self.spread, shape.head_dim as usize);
        let inverse = 1.0 / shape.head_dim as f32;
        self.spread.iter_mut().for_each(|x| *x *= inverse);
        self.spread_ranges.extremes(grouping, shape, &self.spread);
        self.spread_ranges.square_widths() * f64::from(shape.head_dim) < self.ranges.square_widths()
    }

    /// How far the numbers last quantized are from what `decode` makes of their stored form.
    pub(super) fn measure(&mut self, decode: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<PageError> {
        self.decoded.resize(self.numbers.len(), 0.0);
        decode(&mut self.decoded)?;
        Ok(PageError::between(&self.numbers, &self.decoded))
    }
}

fn shrink(grouping: Grouping, shape: PageShape, numbers: &[f32], ranges: &Ranges, codes: &mut [u8]) {
    let (target, (numbers_a_run, groups_a_run)) = (Target::best(), grouping.run(shape));
    let runs = numbers.chunks(numbers_a_run).zip(codes.chunks_mut(numbers_a_run));
    let ranges = ranges.low.chunks(groups_a_run).zip(ranges.step.chunks(groups_a_run));
    for ((numbers, codes), (low, step)) in runs.zip(ranges) {
        let (head_dim, group) = (shape.head_dim as usize, usize::from(grouping.group));
        match grouping.axis {
            Axis::Channel => simd::shrink_by_channel(target, numbers, low, step, codes),
            Axis::Token => simd::shrink_by_token(target, numbers, head_dim, group, low, step, codes),
        }
    }
}

/// Codes as a page stores them: how many bits, and how many bytes of codes a head takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codes<'a> {
    /// Eight bits each.
    Whole(&'a [u8]),
    /// Four bits each.
    Halves(&'a [u8]),
    /// Eight bits each, upper and lower half stored apart.
    Joined(&'a [u8], &'a [u8]),
}

impl<'a> Codes<'a> {
    /// Those of some heads; there are as many as `check` found.
    fn of_heads(self, heads: Range<usize>, head_dim: usize) -> Self {
        let of = |codes: &'a [u8], n| codes.get(heads.start * n..heads.end * n).unwrap_or_default();
        let half = head_dim.div_ceil(2);
        match self {
            Codes::Whole(codes) => Codes::Whole(of(codes, head_dim)),
            Codes::Halves(codes) => Codes::Halves(of(codes, half)),
            Codes::Joined(upper, lower) => Codes::Joined(of(upper, half), of(lower, half)),
        }
    }

    /// Whether there are as many codes as the page has numbers.
    fn check(self, shape: PageShape) -> Result<()> {
        let n_heads = shape.n_tokens as usize * shape.n_kv_heads as usize;
        let (whole, half) = (n_heads * shape.head_dim as usize, n_heads * (shape.head_dim as usize).div_ceil(2));
        let fits = match self {
            Codes::Whole(codes) => codes.len() == whole,
            Codes::Halves(codes) => codes.len() == half,
            Codes::Joined(upper, lower) => upper.len() == half && lower.len() == half,
        };
        if fits { Ok(()) } else { Err(corrupt("codes", format!("do not fit {shape:?}"))) }
    }
}

/// Buffers kept from one page to the next.
#[derive(Debug, Default)]
pub(super) struct Dequantizer {
    ranges: Ranges,
    whole: Vec<u8>,
}

impl Dequantizer {
    /// Writes the numbers of a page whose stored form begins with a header of ranges for `bits`-bit codes; with `lower`,
    /// each code is refined by four bits more.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`](crate::FormatError), counted from the start of `stored`.
    pub(super) fn decode(
        &mut self,
        shape: PageShape,
        bits: u32,
        stored: &[u8],
        lower: Option<&[u8]>,
        out: &mut [f32],
    ) -> Result<()> {
        let (grouping, codes) = self.ranges.read(shape, (1_u32 << bits) as f32, stored)?;
        let codes = match lower {
            None if bits == 4 => Codes::Halves(codes),
            None => Codes::Whole(codes),
            Some(lower) => Codes::Joined(codes, lower),
        };
        codes.check(shape)?;
        self.ranges.turn_into_base(if lower.is_some() { 16.0 } else { 1.0 });
        self.expand(grouping, shape, codes, out);
        Ok(())
    }

    fn expand(&mut self, grouping: Grouping, shape: PageShape, codes: Codes<'_>, out: &mut [f32]) {
        let (target, head_dim, group) = (Target::best(), shape.head_dim as usize, usize::from(grouping.group));
        let (numbers_a_run, groups_a_run) = grouping.run(shape);
        let ranges = self.ranges.low.chunks(groups_a_run).zip(self.ranges.step.chunks(groups_a_run));
        for ((run, out), (base, step)) in out.chunks_mut(numbers_a_run).enumerate().zip(ranges) {
            let first_head = run * (numbers_a_run / head_dim);
            let codes = codes.of_heads(first_head..first_head + out.len() / head_dim, head_dim);
            if let (Axis::Channel, Codes::Halves(packed)) = (grouping.axis, codes) {
                simd::expand_4_by_channel(target, packed, head_dim, base, step, out);
                continue;
            }
            self.whole.resize(out.len(), 0);
            let codes = match codes {
                Codes::Whole(codes) => codes,
                Codes::Halves(packed) => {
                    simd::split_halves(target, packed, head_dim, &mut self.whole);
                    &self.whole
                }
                Codes::Joined(upper, lower) => {
                    simd::join_halves(target, upper, lower, head_dim, &mut self.whole);
                    &self.whole
                }
            };
            match grouping.axis {
                Axis::Channel => simd::expand_8_by_channel(target, codes, base, step, out),
                Axis::Token => simd::expand_8_by_token(target, codes, head_dim, group, base, step, out),
            }
            if grouping.is_rotated {
                simd::walsh_hadamard(target, out, head_dim);
            }
        }
    }
}
