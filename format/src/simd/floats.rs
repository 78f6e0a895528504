//! Numbers taken apart and put together: sign, exponent and mantissa, the last in planes of eight bits.
//!
//! A *symbol* is how far the exponent is below the reference of its channel, 15 for anything else, and whether the sign
//! is the channel's: `2 * distance + differs`. An *entry* is a symbol above the three bits of the length of its code.

use super::compiled;

/// How a floating-point type is laid out: sign, exponent, mantissa, from the highest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) n_bits: u32,
    pub(crate) mantissa_bits: u32,
}

impl Layout {
    #[inline(always)]
    fn sign(self, x: u32) -> u8 {
        (x >> (self.n_bits - 1)) as u8
    }

    #[inline(always)]
    pub(crate) fn exponent(self, x: u32) -> u8 {
        (x >> self.mantissa_bits) as u8 & self.exponent_mask()
    }

    #[inline(always)]
    pub(crate) fn exponent_mask(self) -> u8 {
        ((1_u32 << (self.n_bits - 1 - self.mantissa_bits)) - 1) as u8
    }

    #[inline(always)]
    pub(crate) fn mantissa(self, x: u32) -> u32 {
        x & ((1 << self.mantissa_bits) - 1)
    }
}

/// The references of as many numbers: exponents, and signs (0 or 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct References<'a> {
    pub(crate) exponents: &'a [u8],
    pub(crate) signs: &'a [u8],
}

/// The parts of some numbers. Planes of the mantissa are as long as the others or, where there are none, hold zeros.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) signs: &'a [u8],
    pub(crate) exponents: &'a [u8],
    pub(crate) planes: [&'a [u8]; 3],
    /// Zeros below the planes.
    pub(crate) n_zeros: u32,
}

#[inline(always)]
fn bits<const N: usize>(number: &[u8; N]) -> u32 {
    number.iter().rev().fold(0, |bits, byte| bits << 8 | u32::from(*byte))
}

/// Sums over rows of as many numbers as there are sums; the mantissas of all numbers or'ed.
#[inline(always)]
fn sum_rows<const N: usize>(
    rows: &[[u8; N]],
    layout: Layout,
    exponents: &mut [u32],
    signs: &mut [u32],
    mantissas: &mut u32,
) {
    let mut any = 0;
    for row in rows.chunks_exact(exponents.len().max(1)) {
        for ((number, exponent), sign) in row.iter().zip(exponents.iter_mut()).zip(signs.iter_mut()) {
            let x = bits(number);
            *exponent += u32::from(layout.exponent(x));
            *sign += u32::from(layout.sign(x));
            any |= x;
        }
    }
    *mantissas |= layout.mantissa(any);
}

compiled! {
    /// Adds exponents and signs of rows of 16-bit numbers to the sums of their channels.
    fn exponents_16(rows: &[[u8; 2]], layout: Layout, exponents: &mut [u32], signs: &mut [u32], mantissas: &mut u32) {
        sum_rows(rows, layout, exponents, signs, mantissas);
    }
}

compiled! {
    /// Adds exponents and signs of rows of 32-bit numbers to the sums of their channels.
    fn exponents_32(rows: &[[u8; 4]], layout: Layout, exponents: &mut [u32], signs: &mut [u32], mantissas: &mut u32) {
        sum_rows(rows, layout, exponents, signs, mantissas);
    }
}

#[inline(always)]
fn symbols_of<const N: usize>(numbers: &[[u8; N]], layout: Layout, references: References<'_>, symbols: &mut [u8]) {
    let references = references.exponents.iter().zip(references.signs);
    for ((number, (exponent, sign)), symbol) in numbers.iter().zip(references).zip(symbols) {
        let x = bits(number);
        let distance = exponent.wrapping_sub(layout.exponent(x)).min(15);
        *symbol = distance << 1 | layout.sign(x) ^ sign;
    }
}

compiled! {
    /// The symbols of 16-bit numbers.
    fn symbols_16(numbers: &[[u8; 2]], layout: Layout, references: References<'_>, symbols: &mut [u8]) {
        symbols_of(numbers, layout, references, symbols);
    }
}

compiled! {
    /// The symbols of 32-bit numbers.
    fn symbols_32(numbers: &[[u8; 4]], layout: Layout, references: References<'_>, symbols: &mut [u8]) {
        symbols_of(numbers, layout, references, symbols);
    }
}

compiled! {
    /// Eight bits of each mantissa from bit `shift` on.
    fn mantissas_16(numbers: &[[u8; 2]], layout: Layout, shift: u32, plane: &mut [u8]) {
        for (number, byte) in numbers.iter().zip(plane) {
            *byte = (layout.mantissa(bits(number)) as u16 >> shift) as u8;
        }
    }
}

compiled! {
    /// Eight bits of each mantissa from bit `shift` on.
    fn mantissas_32(numbers: &[[u8; 4]], layout: Layout, shift: u32, plane: &mut [u8]) {
        for (number, byte) in numbers.iter().zip(plane) {
            *byte = (layout.mantissa(bits(number)) >> shift) as u8;
        }
    }
}

compiled! {
    /// Two symbols of five bits in each pair.
    fn pairs(symbols: &[[u8; 2]], pairs: &mut [u16]) {
        for (pair, [first, second]) in pairs.iter_mut().zip(symbols) {
            *pair = u16::from(*first) | u16::from(*second) << 5;
        }
    }
}

compiled! {
    /// Exponents and signs of entries; the exponents of entries from 0xf0 on are not known by them.
    fn parts_of(entries: &[u8], references: References<'_>, exponents: &mut [u8], signs: &mut [u8]) {
        let references = references.exponents.iter().zip(references.signs);
        for (((entry, (reference, its_sign)), exponent), sign) in entries.iter().zip(references).zip(exponents).zip(signs) {
            *exponent = reference.wrapping_sub(entry >> 4);
            *sign = entry >> 3 & 1 ^ its_sign;
        }
    }
}

compiled! {
    /// Puts 16-bit numbers together.
    fn join_16(parts: Parts<'_>, layout: Layout, out: &mut [[u8; 2]]) {
        let [first, second, _] = parts.planes;
        let (mask, place) = (u16::from(layout.exponent_mask()), layout.mantissa_bits);
        let parts_of_numbers = parts.signs.iter().zip(parts.exponents).zip(first.iter().zip(second));
        for (out, ((sign, exponent), (a, b))) in out.iter_mut().zip(parts_of_numbers) {
            let mantissa = (u16::from(*a) | u16::from(*b) << 8) << parts.n_zeros;
            *out = (u16::from(*sign) << 15 | (u16::from(*exponent) & mask) << place | mantissa).to_le_bytes();
        }
    }
}

#[inline(always)]
fn single([sign, exponent, a, b, c]: [u8; 5], n_zeros: u32) -> u32 {
    let mantissa = (u32::from(a) | u32::from(b) << 8 | u32::from(c) << 16) << n_zeros;
    u32::from(sign) << 31 | u32::from(exponent) << 23 | mantissa
}

compiled! {
    /// Puts 32-bit numbers together.
    fn join_32(parts: Parts<'_>, out: &mut [[u8; 4]]) {
        let [first, second, third] = parts.planes;
        let planes = first.iter().zip(second).zip(third);
        let numbers = parts.signs.iter().zip(parts.exponents).zip(planes);
        for (out, ((sign, exponent), ((a, b), c))) in out.iter_mut().zip(numbers) {
            *out = single([*sign, *exponent, *a, *b, *c], parts.n_zeros).to_le_bytes();
        }
    }
}

compiled! {
    /// Puts 32-bit numbers together.
    fn join_f32(parts: Parts<'_>, out: &mut [f32]) {
        let [first, second, third] = parts.planes;
        let planes = first.iter().zip(second).zip(third);
        let numbers = parts.signs.iter().zip(parts.exponents).zip(planes);
        for (out, ((sign, exponent), ((a, b), c))) in out.iter_mut().zip(numbers) {
            *out = f32::from_bits(single([*sign, *exponent, *a, *b, *c], parts.n_zeros));
        }
    }
}
