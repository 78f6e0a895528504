//! Groups: numbers that share a range, and the ranges of all groups of a page. Int8 and int4 are built on it.
//!
//! A group's range `[low, low + n_codes * step)` is cut into `n_codes` equal cells; a code is the number of a cell and
//! stands for its middle. Cutting each cell into sixteen again is how a residual page refines a base page.
//!
//! Keys have channels of very different size and offset, so that a group is one channel of some tokens; values have
//! tokens of different size, so that a group is some numbers of one head of one token (Liu et al., *KIVI*, 2024,
//! <https://arxiv.org/abs/2402.02750>). Values that one channel dominates are spread over their head by a rotation first
//! (Ashkboos et al., *QuaRot*, 2024, <https://arxiv.org/abs/2404.00456>).

use super::PageShape;
use crate::simd::{self, Target};
use crate::{FormatError, Part, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Bytes of the header.
const HEADER_BYTES: usize = 8;
/// Fewer tokens than this are not worth a range for each of their channels.
const MIN_TOKENS_BY_CHANNEL: u32 = 32;
/// Numbers of a run of tokens that do not share ranges, at most: 16 KiB of f32.
const RUN_NUMBERS: usize = 4096;
/// Numbers whose magnitude is not below this are refused: their ranges could overflow.
const LARGEST: f32 = f32::from_bits((127 + 90) << 23);
/// Units are powers of two between these: a sum of 2^20 codes of 8 bits times 2^16 units stays finite.
const UNITS: std::ops::RangeInclusive<f32> = f32::MIN_POSITIVE..=f32::from_bits((127 + 76) << 23);

/// Which numbers share a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Axis {
    /// One channel of `group` tokens.
    Channel = 1,
    /// `group` numbers of one head of one token.
    Token = 2,
}

/// How the numbers of a page fall into groups, as its first four bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grouping {
    pub(super) axis: Axis,
    pub(super) group: u16,
    /// Whether heads went through the Walsh-Hadamard transform, divided by their width.
    pub(super) is_rotated: bool,
    /// Whether ranges are symmetric about zero, so that only steps are stored.
    pub(super) is_centered: bool,
}

/// The ranges of a page: one low end and one step per group.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    pub(super) low: Vec<f32>,
    pub(super) step: Vec<f32>,
}

impl Grouping {
    /// As a writer cuts a page: a scale costs at most half a bit a number where `bits` is 4, a quarter where it is 8.
    pub(super) fn for_writing(shape: PageShape, bits: u32) -> Self {
        if shape.part == Part::Keys && shape.n_tokens >= MIN_TOKENS_BY_CHANNEL {
            let group = if bits == 4 { 64 } else { 128 };
            return Self { axis: Axis::Channel, group, is_rotated: false, is_centered: false };
        }
        let group = if shape.head_dim.is_multiple_of(64) { 64 } else { shape.head_dim };
        let group = u16::try_from(group).unwrap_or(64);
        Self { axis: Axis::Token, group, is_rotated: false, is_centered: bits == 8 }
    }

    /// Groups of a page.
    pub(super) fn n_groups(&self, shape: PageShape) -> usize {
        let (n_tokens, group) = (shape.n_tokens as usize, usize::from(self.group));
        match self.axis {
            Axis::Channel => n_tokens.div_ceil(group) * shape.row_width(),
            Axis::Token => n_tokens * shape.n_kv_heads as usize * (shape.head_dim as usize).div_ceil(group),
        }
    }

    /// Numbers of one run, and how many ranges they have: the tokens that share ranges, or as many tokens as stay in the
    /// nearest cache.
    pub(super) fn run(&self, shape: PageShape) -> (usize, usize) {
        let (width, head_dim) = (shape.row_width(), shape.head_dim as usize);
        match self.axis {
            Axis::Channel => (usize::from(self.group) * width, width),
            Axis::Token => {
                let n_tokens = (RUN_NUMBERS / width).max(1);
                let groups_a_row = shape.n_kv_heads as usize * head_dim.div_ceil(self.group.into());
                (n_tokens * width, n_tokens * groups_a_row)
            }
        }
    }

    fn read(bytes: &[u8; 4], shape: PageShape) -> Result<Self> {
        let [low, high, axis, flags] = *bytes;
        let group = u16::from_le_bytes([low, high]);
        let axis = match axis {
            1 => Axis::Channel,
            2 => Axis::Token,
            _ => return Err(corrupt("axis", axis)),
        };
        if group == 0 || flags > 3 {
            return Err(corrupt("grouping", format!("group of {group}, flags {flags}")));
        }
        let grouping = Self { axis, group, is_rotated: flags & 1 != 0, is_centered: flags & 2 != 0 };
        if grouping.is_rotated && (axis == Axis::Channel || !shape.head_dim.is_power_of_two()) {
            return Err(corrupt("grouping", format!("heads of {} by {axis:?} are not rotated", shape.head_dim)));
        }
        Ok(grouping)
    }

    fn write(&self) -> [u8; 4] {
        let [low, high] = self.group.to_le_bytes();
        [low, high, self.axis as u8, u8::from(self.is_rotated) | u8::from(self.is_centered) << 1]
    }
}

pub(super) fn corrupt(field: &'static str, detail: impl std::fmt::Display) -> FormatError {
    FormatError::corrupt(0, field, detail)
}

/// Refuses what has no range: NaN, infinity, and numbers of which a sum could become infinite.
pub(super) fn check_finite(shape: PageShape, numbers: &[f32]) -> Result<()> {
    if numbers.iter().fold(true, |all, x| all & (x.abs() < LARGEST)) {
        return Ok(());
    }
    let (i, x) = numbers.iter().enumerate().find(|(_, x)| x.is_nan() || x.abs() >= LARGEST).unwrap_or((0, &0.0));
    let (width, head_dim) = (shape.row_width(), shape.head_dim as usize);
    let (token, head, channel) = (i / width, i % width / head_dim, i % head_dim);
    let detail = format!("{x} at token {token} of the page, head {head}, channel {channel} needs a lossless encoding");
    Err(FormatError::invalid("numbers", detail))
}

impl Ranges {
    /// The least and the largest number of each group, as `low` and `step`.
    pub(super) fn extremes(&mut self, grouping: Grouping, shape: PageShape, numbers: &[f32]) {
        let n_groups = grouping.n_groups(shape);
        self.low.clear();
        self.low.resize(n_groups, f32::INFINITY);
        self.step.clear();
        self.step.resize(n_groups, f32::NEG_INFINITY);
        let (target, (numbers_a_run, groups_a_run)) = (Target::best(), grouping.run(shape));
        let runs = numbers.chunks(numbers_a_run);
        for ((run, low), high) in runs.zip(self.low.chunks_mut(groups_a_run)).zip(self.step.chunks_mut(groups_a_run)) {
            match grouping.axis {
                Axis::Channel => simd::extremes_by_channel(target, run, low, high),
                Axis::Token => {
                    let (head_dim, group) = (shape.head_dim as usize, grouping.group.into());
                    simd::extremes_by_token(target, run, head_dim, group, low, high);
                }
            }
        }
    }

    /// Turns extremes into ranges of `n_codes` cells that hold them, rounded to what is stored, and appends header and
    /// ranges to `out`.
    pub(super) fn write(&mut self, grouping: Grouping, n_codes: f32, out: &mut Vec<u8>) {
        let largest = self.low.iter().zip(&self.step).fold(0.0_f32, |a, (low, high)| a.max(-low).max(*high));
        let unit = unit_of(largest);
        out.extend_from_slice(&grouping.write());
        out.extend_from_slice(&unit.to_le_bytes());
        let steps = out.len();
        for (low, step) in self.low.iter_mut().zip(&mut self.step) {
            let (least, most) = (*low / unit, *step / unit);
            let stored_low = if grouping.is_centered { -most.max(-least) } else { below(least).to_f32() };
            let width = if grouping.is_centered { -2.0 * stored_low } else { most - stored_low };
            let stored_step = above(width / n_codes);
            *step = stored_step.to_f32() * unit;
            *low = if grouping.is_centered { -n_codes / 2.0 * *step } else { stored_low * unit };
            out.extend_from_slice(&stored_step.to_le_bytes());
        }
        debug_assert_eq!(out.len(), steps + 2 * self.step.len());
        if !grouping.is_centered {
            // What is stored is exact in f16 after division by a power of two.
            out.extend(self.low.iter().flat_map(|low| f16::from_f32(*low / unit).to_le_bytes()));
        }
    }

    /// Reads header and ranges; what is left of `stored` are the codes.
    pub(super) fn read<'a>(
        &mut self,
        shape: PageShape,
        n_codes: f32,
        stored: &'a [u8],
    ) -> Result<(Grouping, &'a [u8])> {
        let short = || corrupt("quantized page", "ends before its codes");
        let (header, rest) = stored.split_first_chunk::<HEADER_BYTES>().ok_or_else(short)?;
        let (grouping, unit) = header.split_first_chunk::<4>().ok_or_else(short)?;
        let grouping = Grouping::read(grouping, shape)?;
        let unit = unit.first_chunk().map_or(f32::NAN, |unit| f32::from_le_bytes(*unit));
        if !UNITS.contains(&unit) || unit.to_bits() & 0x007f_ffff != 0 {
            return Err(corrupt("unit", format!("{unit} is not a power of two in range")));
        }
        let n_groups = grouping.n_groups(shape);
        let (steps, rest) = rest.split_at_checked(2 * n_groups).ok_or_else(short)?;
        read_scaled(steps, unit, &mut self.step);
        if grouping.is_centered {
            self.low.clear();
            self.low.extend(self.step.iter().map(|step| -n_codes / 2.0 * step));
            self.check()?;
            return Ok((grouping, rest));
        }
        let (lows, rest) = rest.split_at_checked(2 * n_groups).ok_or_else(short)?;
        read_scaled(lows, unit, &mut self.low);
        self.check()?;
        Ok((grouping, rest))
    }

    /// Finite numbers, steps not below zero.
    fn check(&self) -> Result<()> {
        let steps = self.step.iter().fold(true, |all, step| all & (0.0..f32::INFINITY).contains(step));
        let lows = self.low.iter().fold(true, |all, low| all & low.is_finite());
        if steps && lows { Ok(()) } else { Err(corrupt("ranges", "are not finite")) }
    }

    /// Sum of the squared widths, while `low` and `step` are extremes.
    pub(super) fn square_widths(&self) -> f64 {
        self.low.iter().zip(&self.step).map(|(low, high)| f64::from(high - low).powi(2)).sum()
    }

    /// Makes `low` the number that code 0 stands for, where each cell is cut into `n_parts`, and `step` that of the parts.
    pub(super) fn turn_into_base(&mut self, n_parts: f32) {
        for (low, step) in self.low.iter_mut().zip(&mut self.step) {
            *step /= n_parts;
            *low += *step / 2.0;
        }
    }
}

/// A power of two of which f16 multiples reach `largest`.
fn unit_of(largest: f32) -> f32 {
    let exponent = (largest.to_bits() >> 23).saturating_sub(14).clamp(1, 127 + 76);
    f32::from_bits(exponent << 23)
}

/// The largest f16 that is not above `x`.
fn below(x: f32) -> f16 {
    let y = f16::from_f32(x);
    if y.to_f32() <= x { y } else { -above_magnitude(-y, -x) }
}

/// The least f16 that is not below `x`, which is not below zero.
fn above(x: f32) -> f16 {
    above_magnitude(f16::from_f32(x), x)
}

/// `y`, or the next f16 above it when it is below `x`.
fn above_magnitude(y: f16, x: f32) -> f16 {
    if y.to_f32() >= x {
        return y;
    }
    // Towards plus infinity: away from zero for what is positive, towards it for what is not.
    match y.to_bits() {
        0x8000 => f16::from_bits(1),
        bits if bits & 0x8000 == 0 => f16::from_bits(bits + 1),
        bits => f16::from_bits(bits - 1),
    }
}

fn read_scaled(bytes: &[u8], unit: f32, out: &mut Vec<f32>) {
    let mut halves = [f16::ZERO; 64];
    out.clear();
    out.resize(bytes.len() / 2, 0.0);
    for (bytes, out) in bytes.chunks(128).zip(out.chunks_mut(64)) {
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *half = f16::from_le_bytes(*bytes);
        }
        if let Some(halves) = halves.get(..out.len()) {
            halves.convert_to_f32_slice(out);
        }
        out.iter_mut().for_each(|x| *x *= unit);
    }
}
