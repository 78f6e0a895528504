//! Number types a KV log may hold.

use crate::simd::{self, Target};
use half::slice::HalfFloatSliceExt;

/// The type of the stored numbers, little-endian on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ElementType {
    /// IEEE 754 binary32.
    F32 = 1,
    /// IEEE 754 binary16.
    F16 = 2,
    /// bfloat16: the upper half of a binary32.
    Bf16 = 3,
}

impl ElementType {
    /// Width of one number in bytes.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The type with this number in FORMAT.md, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::F32),
            2 => Some(Self::F16),
            3 => Some(Self::Bf16),
            _ => None,
        }
    }
}

impl ElementType {
    /// Numbers as little-endian bytes of this type, rounded to nearest.
    ///
    /// # Errors
    /// [`FormatError::Invalid`](crate::FormatError) when a finite number would become infinite.
    pub fn encode_f32(self, numbers: &[f32]) -> crate::Result<Vec<u8>> {
        let overflow = |x: f32| crate::FormatError::invalid("numbers", format!("{x} does not fit {self:?}"));
        let mut bytes = Vec::with_capacity(numbers.len() * self.n_bytes());
        for &x in numbers {
            match self {
                Self::F32 => bytes.extend_from_slice(&x.to_le_bytes()),
                Self::F16 => {
                    let y = half::f16::from_f32(x);
                    if x.is_finite() && !y.is_finite() {
                        return Err(overflow(x));
                    }
                    bytes.extend_from_slice(&y.to_le_bytes());
                }
                Self::Bf16 => {
                    let y = half::bf16::from_f32(x);
                    if x.is_finite() && !y.is_finite() {
                        return Err(overflow(x));
                    }
                    bytes.extend_from_slice(&y.to_le_bytes());
                }
            }
        }
        Ok(bytes)
    }

    /// Little-endian bytes of this type as f32; widening is exact.
    ///
    /// # Errors
    /// [`FormatError::Invalid`](crate::FormatError) when `bytes` does not hold exactly `out.len()` numbers.
    pub fn decode_f32(self, bytes: &[u8], out: &mut [f32]) -> crate::Result<()> {
        if bytes.len() != out.len() * self.n_bytes() {
            let (found, wanted) = (bytes.len(), out.len());
            return Err(crate::FormatError::invalid("out", format!("{found} bytes for {wanted} numbers of {self:?}")));
        }
        match self {
            Self::F32 => {
                for (x, b) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *x = f32::from_le_bytes(*b);
                }
            }
            Self::F16 => simd::widen_f16(Target::best(), bytes.as_chunks().0, out),
            Self::Bf16 => simd::widen_bf16(Target::best(), bytes.as_chunks().0, out),
        }
        Ok(())
    }

    /// Writes numbers as little-endian bytes of this type, rounded to nearest; what is too large becomes the largest
    /// finite number.
    ///
    /// # Errors
    /// [`FormatError::Invalid`](crate::FormatError) when `bytes` does not hold exactly `numbers.len()` numbers.
    pub(crate) fn round_f32(self, numbers: &[f32], bytes: &mut [u8]) -> crate::Result<()> {
        if bytes.len() != numbers.len() * self.n_bytes() {
            let (found, wanted) = (bytes.len(), numbers.len());
            return Err(crate::FormatError::invalid("out", format!("{found} bytes for {wanted} numbers of {self:?}")));
        }
        match self {
            Self::F32 => {
                for (bytes, x) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
                    *bytes = x.to_le_bytes();
                }
            }
            Self::F16 => round_f16(numbers, bytes),
            Self::Bf16 => {
                let largest = half::bf16::MAX.to_f32();
                for (bytes, x) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(numbers) {
                    *bytes = half::bf16::from_f32(x.clamp(-largest, largest)).to_le_bytes();
                }
            }
        }
        Ok(())
    }
}

/// Many at a time where the machine can: asking it for each number costs seven eighths of the time.
fn round_f16(numbers: &[f32], bytes: &mut [u8]) {
    const BLOCK: usize = 64;
    let largest = half::f16::MAX.to_f32();
    for (bytes, numbers) in bytes.chunks_mut(2 * BLOCK).zip(numbers.chunks(BLOCK)) {
        let (mut finite, mut halves) = ([0.0_f32; BLOCK], [half::f16::ZERO; BLOCK]);
        for (finite, x) in finite.iter_mut().zip(numbers) {
            *finite = x.clamp(-largest, largest);
        }
        halves.convert_from_f32_slice(&finite);
        for (bytes, half) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(halves) {
            *bytes = half.to_le_bytes();
        }
    }
}
