//! The residual that makes a page of int4 and its int8 residual exact: how many representable numbers the guess is off.
//!
//! The guess is the refined page, rounded to the element type. Numbers of a type are counted from the least to the
//! largest; the difference of the two counts is small, folded to be positive (0, -1, 1, -2, …), and stored as
//! byte-split + zstd stores numbers. Every bit comes back, because the guess is the same on every machine.

use super::PageShape;
use super::byte_split_zstd::ByteSplitZstd;
use crate::Result;

/// Appends the residual of `raw` over `guess`.
pub(super) fn encode(
    planes: &mut ByteSplitZstd,
    shape: PageShape,
    raw: &[u8],
    guess: &[f32],
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut folded = vec![0; raw.len()];
    shape.element.round_f32(guess, &mut folded)?;
    if shape.element.n_bytes() == 2 {
        for (folded, raw) in folded.as_chunks_mut::<2>().0.iter_mut().zip(raw.as_chunks::<2>().0) {
            let off = rank16(u16::from_le_bytes(*raw)).wrapping_sub(rank16(u16::from_le_bytes(*folded)));
            *folded = (off << 1 ^ ((off as i16) >> 15) as u16).to_le_bytes();
        }
    } else {
        for (folded, raw) in folded.as_chunks_mut::<4>().0.iter_mut().zip(raw.as_chunks::<4>().0) {
            let off = rank32(u32::from_le_bytes(*raw)).wrapping_sub(rank32(u32::from_le_bytes(*folded)));
            *folded = (off << 1 ^ ((off as i32) >> 31) as u32).to_le_bytes();
        }
    }
    planes.encode(shape.element, &folded, out)
}

/// Writes the exact numbers, whose refined page is `guess`.
pub(super) fn decode(
    planes: &mut ByteSplitZstd,
    shape: PageShape,
    stored: &[u8],
    guess: &[f32],
    raw: &mut [u8],
) -> Result<()> {
    let mut folded = vec![0; raw.len()];
    planes.decode(shape.element, stored, &mut folded)?;
    shape.element.round_f32(guess, raw)?;
    if shape.element.n_bytes() == 2 {
        for (raw, folded) in raw.as_chunks_mut::<2>().0.iter_mut().zip(folded.as_chunks::<2>().0) {
            let folded = u16::from_le_bytes(*folded);
            let off = folded >> 1 ^ (folded & 1).wrapping_neg();
            *raw = bits16(rank16(u16::from_le_bytes(*raw)).wrapping_add(off)).to_le_bytes();
        }
    } else {
        for (raw, folded) in raw.as_chunks_mut::<4>().0.iter_mut().zip(folded.as_chunks::<4>().0) {
            let folded = u32::from_le_bytes(*folded);
            let off = folded >> 1 ^ (folded & 1).wrapping_neg();
            *raw = bits32(rank32(u32::from_le_bytes(*raw)).wrapping_add(off)).to_le_bytes();
        }
    }
    Ok(())
}

/// How many patterns are less, as numbers: the sign bit set for what is positive, all bits turned for what is not.
fn rank16(bits: u16) -> u16 {
    bits ^ (((bits as i16) >> 15) as u16 | 0x8000)
}

fn bits16(rank: u16) -> u16 {
    rank ^ (((!rank as i16) >> 15) as u16 | 0x8000)
}

fn rank32(bits: u32) -> u32 {
    bits ^ (((bits as i32) >> 31) as u32 | 0x8000_0000)
}

fn bits32(rank: u32) -> u32 {
    rank ^ (((!rank as i32) >> 31) as u32 | 0x8000_0000)
}
