//! References: the exponent and the sign that are usual in a channel, or in all of a page.

use super::numbers::{self, Cursor};
use super::{CHUNK, MIN_ROWS_BY_CHANNEL, corrupt};
use crate::simd::{self, Layout, References, Target};
use crate::{PageShape, Result};

/// Exponents of a channel are mostly at most this much above their mean.
const ABOVE_MEAN: f32 = 2.0;

/// References of the channels of a page, or one for all, repeated so that those of a chunk lie beside each other.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// Channels that have their own; 1 when all share one.
    period: usize,
    exponents: Vec<u8>,
    signs: Vec<u8>,
    /// Sums of a writer.
    exponent_sums: Vec<u32>,
    sign_sums: Vec<u32>,
}

impl Channels {
    /// Finds the references of the numbers in `rows`; all their mantissas or'ed.
    pub(super) fn find(&mut self, shape: PageShape, layout: Layout, rows: &[u8]) -> u32 {
        let width = shape.row_width();
        let n_rows = rows.len() / (width * shape.element.n_bytes()).max(1);
        for sums in [&mut self.exponent_sums, &mut self.sign_sums] {
            sums.clear();
            sums.resize(width, 0);
        }
        let (target, mut mantissas) = (Target::best(), 0);
        let (exponents, signs) = (&mut self.exponent_sums, &mut self.sign_sums);
        match shape.element.n_bytes() {
            2 => simd::exponents_16(target, rows.as_chunks().0, layout, exponents, signs, &mut mantissas),
            _ => simd::exponents_32(target, rows.as_chunks().0, layout, exponents, signs, &mut mantissas),
        }
        let mut n = n_rows as f32;
        if n_rows < MIN_ROWS_BY_CHANNEL || width == 1 {
            // A sign that all share would be wrong for half of them: it is 0.
            let sum = exponents.iter().map(|sum| u64::from(*sum)).sum::<u64>() as f32 / width as f32;
            (*exponents, *signs) = (vec![sum as u32], vec![0]);
            n = n.max(1.0);
        }
        self.period = self.exponent_sums.len();
        self.exponents.clear();
        self.exponents.extend(self.exponent_sums.iter().map(|sum| (*sum as f32 / n + ABOVE_MEAN + 0.5) as u8));
        self.signs.clear();
        self.signs.extend(self.sign_sums.iter().map(|sum| u8::from(2 * *sum as usize > n_rows)));
        self.repeat(rows.len() / shape.element.n_bytes());
        mantissas
    }

    /// Repeats the references until those of any chunk of `n` numbers lie beside each other.
    fn repeat(&mut self, n: usize) {
        let wanted = self.period + CHUNK.min(n);
        for references in [&mut self.exponents, &mut self.signs] {
            references.truncate(self.period);
            while references.len() < wanted {
                let missing = wanted - references.len();
                references.extend_from_within(..missing.min(references.len()));
            }
        }
    }

    /// The references of `n` numbers from number `first` on, at most a chunk.
    pub(super) fn of(&self, first: usize, n: usize) -> References<'_> {
        let from = first % self.period.max(1);
        References {
            exponents: self.exponents.get(from..from + n).unwrap_or_default(),
            signs: self.signs.get(from..from + n).unwrap_or_default(),
        }
    }

    fn own(&self) -> impl Iterator<Item = (u8, u8)> + Clone {
        self.exponents.iter().copied().zip(self.signs.iter().copied()).take(self.period)
    }

    /// The largest of the exponents.
    pub(super) fn largest(&self) -> u8 {
        self.own().map(|(exponent, _)| exponent).max().unwrap_or(0)
    }

    fn packed(&self) -> impl Iterator<Item = u32> + Clone {
        let largest = self.largest();
        self.own().map(move |(exponent, sign)| u32::from(largest - exponent) << 1 | u32::from(sign))
    }

    /// Bits of the reference of a channel; 0 when all share one.
    pub(super) fn reference_bits(&self) -> u8 {
        match self.period {
            1 => 0,
            _ => (32 - self.packed().fold(1, |all, packed| all | packed).leading_zeros()) as u8,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        numbers::append(self.reference_bits().into(), self.packed(), out);
    }

    /// Reads the references of a page of `n` stored numbers.
    pub(super) fn read(
        &mut self,
        shape: PageShape,
        reference_bits: u8,
        largest: u8,
        n: usize,
        cursor: &mut Cursor<'_>,
    ) -> Result<()> {
        if reference_bits > 9 {
            return Err(corrupt("has references of more than nine bits"));
        }
        let packed = match reference_bits {
            0 => vec![0],
            n_bits => cursor.numbers(n_bits.into(), shape.row_width())?,
        };
        self.period = packed.len();
        self.exponents.clear();
        self.exponents.extend(packed.iter().map(|packed| largest.wrapping_sub((packed >> 1) as u8)));
        self.signs.clear();
        self.signs.extend(packed.iter().map(|packed| (packed & 1) as u8));
        self.repeat(n);
        Ok(())
    }
}
