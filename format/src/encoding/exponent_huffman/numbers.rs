//! Numbers of a known count and width, in planes of eight bits: what a page says about its rows, channels and lanes.

use super::corrupt;
use crate::Result;
use crate::simd::{self, Target};

/// Widths of the planes of numbers of `n_bits`: eights, and what is left.
pub(super) fn planes(n_bits: u32) -> impl Iterator<Item = u32> + Clone {
    (0..n_bits).step_by(8).map(move |shift| (n_bits - shift).min(8))
}

/// Bytes of `n` numbers in planes.
pub(super) fn n_bytes(n_bits: u32, n: usize) -> usize {
    planes(n_bits).map(|width| (n * width as usize).div_ceil(8)).sum()
}

/// Appends numbers that have at most `n_bits`.
pub(super) fn append(n_bits: u32, numbers: impl Iterator<Item = u32> + Clone, out: &mut Vec<u8>) {
    for (plane, width) in planes(n_bits).enumerate() {
        let bytes: Vec<u8> = numbers.clone().map(|x| (x >> (8 * plane)) as u8).collect();
        simd::pack_bits(Target::best(), width, &bytes, out);
    }
}

/// What is left of a stored page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, n_bytes: usize) -> Result<&'a [u8]> {
        self.0.split_off(..n_bytes).ok_or_else(|| corrupt("ends too soon"))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| corrupt("ends too soon"))
    }

    /// The next `n` numbers of `n_bits`. There are bytes for them before there is memory, but for numbers of no bits.
    pub(super) fn numbers(&mut self, n_bits: u32, n: usize) -> Result<Vec<u32>> {
        let mut stored = self.take(n_bytes(n_bits, n))?;
        let (mut numbers, mut bytes) = (vec![0; n], vec![0; n]);
        for (plane, width) in planes(n_bits).enumerate() {
            let of_plane = stored.split_off(..n_bytes(width, n)).unwrap_or_default();
            simd::unpack_bits(Target::best(), width, of_plane, &mut bytes);
            numbers.iter_mut().zip(&bytes).for_each(|(x, byte)| *x |= u32::from(*byte) << (8 * plane));
        }
        Ok(numbers)
    }
}
