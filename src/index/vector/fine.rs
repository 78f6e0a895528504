//! What int8 leaves of a vector: eight more bits of every number, for the few that a walk ends with.
//!
//! The code of a number is `round(x / scale)`; its fine byte says how many 256ths of `scale` are left, -128 to 127. With
//! both, a score is usually within 0.000002 of that of the vectors, at 384 numbers. Only the rows of answers are read. So
//! those of a generation stay in its file, where that can be mapped, and take no memory but what the system lends. A row
//! ends with the CRC-32C of its bytes: what is mapped may be read from the disk again, long after the digest of the file
//! was checked.

use super::simd::prefetch;
use crate::medium::FileBytes;
use std::ops::Range;
use std::sync::Arc;

/// After the bytes of a row.
const CRC_BYTES: usize = 4;

/// Fine bytes, `[n, dim + 4]`.
#[derive(Clone, Debug)]
pub(super) struct Fine {
    dim: usize,
    /// Where the rows are, unless they are held.
    mapped: Option<(Arc<FileBytes>, Range<usize>)>,
    /// The rows, where none are mapped.
    held: Vec<u8>,
}

/// Bytes per row of `dim` numbers.
pub(super) fn stride(dim: usize) -> usize {
    dim + CRC_BYTES
}

impl Fine {
    pub(super) fn with_capacity(dim: usize, n: usize) -> Self {
        Self { dim, mapped: None, held: Vec::with_capacity(n * stride(dim)) }
    }

    /// The rows that stand in `range` of a file, a whole number of them.
    pub(super) fn in_file(dim: usize, file: Arc<FileBytes>, range: Range<usize>) -> Self {
        match &*file {
            FileBytes::Mapped(_) => Self { dim, mapped: Some((file, range)), held: Vec::new() },
            FileBytes::Read(bytes) => Self { dim, mapped: None, held: bytes.get(range).unwrap_or_default().to_vec() },
        }
    }

    /// All rows.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.mapped {
            None => &self.held,
            Some((file, range)) => file.get(range.clone()).unwrap_or_default(),
        }
    }

    /// Adds the row of a vector whose code is `numbers`.
    pub(super) fn push(&mut self, vector: &[f32], scale: f32, numbers: &[i8]) {
        let (dim, inverse) = (self.dim, scale.recip());
        let rows = self.held();
        let start = rows.len();
        // A number is cut off that lies just between two codes.
        let left = |(x, code): (&f32, &i8)| ((x * inverse - f32::from(*code)) * 256.0).round() as i8 as u8;
        rows.extend(vector.iter().zip(numbers).map(left).take(dim));
        let crc = crc32c::crc32c(rows.get(start..).unwrap_or_default());
        rows.extend_from_slice(&crc.to_le_bytes());
    }

    /// Adds a row of the same dimension.
    pub(super) fn push_row(&mut self, from: &Self, node: u32) {
        let row = from.stored(node).unwrap_or_default();
        self.held().extend_from_slice(row);
    }

    /// Tells the processor that a row is needed soon.
    pub(super) fn prefetch(&self, node: u32) {
        prefetch(self.stored(node).unwrap_or_default());
    }

    /// A row; `None` when it is damaged, or not there.
    pub(super) fn row(&self, node: u32) -> Option<&[u8]> {
        let (row, crc) = self.stored(node)?.split_last_chunk()?;
        (crc32c::crc32c(row) == u32::from_le_bytes(*crc)).then_some(row)
    }

    fn stored(&self, node: u32) -> Option<&[u8]> {
        let start = (node as usize).checked_mul(stride(self.dim))?;
        self.bytes().get(start..start.checked_add(stride(self.dim))?)
    }

    /// Rows that can be added to.
    fn held(&mut self) -> &mut Vec<u8> {
        if self.mapped.is_some() {
            self.held = self.bytes().to_vec();
            self.mapped = None;
        }
        &mut self.held
    }

    /// Bytes held in memory, without what is mapped.
    pub(super) fn n_bytes(&self) -> usize {
        self.held.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_a_flipped_bit_is_none() {
        let mut fine = Fine::with_capacity(3, 2);
        fine.push(&[0.5, -0.25, 0.1], 0.5 / 127.0, &[127, -64, 25]);
        fine.push(&[0.5, -0.25, 0.1], 0.5 / 127.0, &[127, -64, 25]);
        assert_eq!(fine.row(1).map(<[u8]>::len), Some(3));
        for bit in 0..stride(3) * 8 {
            let mut damaged = fine.clone();
            damaged.held[stride(3) + bit / 8] ^= 1 << (bit % 8);
            assert!(damaged.row(0).is_some() && damaged.row(1).is_none(), "bit {bit}");
        }
        assert!(fine.row(2).is_none());
    }
}
