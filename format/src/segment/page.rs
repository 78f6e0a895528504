//! One page: its checksum, and its numbers, all of them or some rows.
//!
//! A page is checked each time it is read. One with a row table is checked row by row while it is copied, so that a
//! reader that wants a few tokens touches these tokens and the table; any other page is checked and decoded whole.

use super::address::RowGroupAddress;
use super::directory::StoredPage;
use super::grid::{GridPage, GridShape};
use super::out::Out;
use crate::encoding::{Decoder, PageShape};
use crate::{FormatError, Result};
use std::ops::Range;

/// Checking and copying 4 KiB at a time runs at the speed of copying alone; page by page, or in steps of
/// 64 KiB, it is half as fast.
const BLOCK_BYTES: usize = 4096;

/// A page of a row group and its stored bytes, not yet checked.
#[derive(Clone, Copy)]
pub(crate) struct Page<'a> {
    pub(crate) address: &'a RowGroupAddress,
    pub(crate) shape: &'a GridShape,
    pub(crate) place: GridPage,
    pub(crate) stored: &'a StoredPage,
    /// Of the row group.
    pub(crate) bytes: &'a [u8],
    /// Of the page in the segment.
    pub(crate) offset: u64,
}

impl<'a> Page<'a> {
    /// The stored bytes, after their checksums matched.
    pub(crate) fn checked(&self) -> Result<&'a [u8]> {
        let stored = self.stored_bytes()?;
        if self.stored.row_table_bytes == 0 {
            self.check(stored)?;
            return Ok(stored);
        }
        let (numbers, table) = self.checked_row_table()?;
        for (row, crc) in numbers.chunks_exact(self.shape.row_bytes()).zip(table) {
            self.check_row(row, crc)?;
        }
        Ok(stored)
    }

    /// The encoded numbers without the row table, after the checksums matched.
    pub(crate) fn encoded(&self) -> Result<&'a [u8]> {
        let stored = self.checked()?;
        Ok(stored.get(..stored.len().saturating_sub(self.stored.row_table_bytes)).unwrap_or_default())
    }

    /// Decodes all rows into `out`, which has exactly as many numbers.
    pub(crate) fn read(&self, decoder: &mut Decoder, out: Out<'_>) -> Result<()> {
        if self.stored.row_table_bytes > 0 {
            return self.read_rows_by_table(0..self.place.n_tokens as usize, out);
        }
        let decoded = match out {
            Out::Bytes(raw) => decoder.decode(self.stored.encoding, self.page_shape(), self.checked()?, raw),
            Out::Numbers(out) => decoder.decode_f32(self.stored.encoding, self.page_shape(), self.checked()?, out),
        };
        decoded.map_err(|error| error.at(self.offset))
    }

    /// Decodes these rows into `out`, which has exactly as many numbers.
    pub(crate) fn read_rows(&self, decoder: &mut Decoder, rows: Range<usize>, out: Out<'_>) -> Result<()> {
        if rows == (0..self.place.n_tokens as usize) {
            return self.read(decoder, out);
        }
        if self.stored.row_table_bytes > 0 {
            return self.read_rows_by_table(rows, out);
        }
        let mut raw = vec![0; self.place.raw_bytes];
        self.read(decoder, Out::Bytes(&mut raw))?;
        let row_bytes = self.shape.row_bytes();
        let wanted = raw.get(rows.start * row_bytes..rows.end * row_bytes);
        out.fill(self.address.element, wanted.ok_or_else(|| FormatError::invalid("rows", format!("{rows:?}")))?)
    }

    /// The numbers and the checksum of each row, after the table's own checksum matched.
    pub(crate) fn checked_row_table(&self) -> Result<(&'a [u8], &'a [[u8; 4]])> {
        let stored = self.stored_bytes()?;
        let split = stored.len().checked_sub(self.stored.row_table_bytes).and_then(|at| stored.split_at_checked(at));
        let (numbers, table) = split.ok_or_else(|| self.corrupt("row table", "does not fit"))?;
        self.check(table)?;
        Ok((numbers, table.as_chunks().0))
    }

    /// Checks one row against its checksum in the table.
    pub(crate) fn check_row(&self, row: &[u8], crc: &[u8; 4]) -> Result<()> {
        if crc32c::crc32c(row) == u32::from_le_bytes(*crc) {
            return Ok(());
        }
        Err(self.corrupt("row checksum", "does not match"))
    }

    /// Checks some rows and copies them while they are in the nearest cache.
    fn read_rows_by_table(&self, rows: Range<usize>, mut out: Out<'_>) -> Result<()> {
        let row_bytes = self.shape.row_bytes();
        let (numbers, table) = self.checked_row_table()?;
        let numbers = numbers.get(rows.start * row_bytes..rows.end * row_bytes);
        let (Some(numbers), Some(table)) = (numbers, table.get(rows)) else {
            return Err(self.corrupt("row table", "is too short"));
        };
        let rows_per_block = (BLOCK_BYTES / row_bytes).max(1);
        for (block, crcs) in numbers.chunks(rows_per_block * row_bytes).zip(table.chunks(rows_per_block)) {
            for (row, crc) in block.chunks_exact(row_bytes).zip(crcs) {
                self.check_row(row, crc)?;
            }
            let element = self.address.element;
            out.take(block.len() / element.n_bytes(), element)?.fill(element, block)?;
        }
        Ok(())
    }

    fn page_shape(&self) -> PageShape {
        self.shape.page_shape(&self.place)
    }

    fn stored_bytes(&self) -> Result<&'a [u8]> {
        let outside = || self.corrupt("stored bytes", "lie outside the row group");
        self.bytes.get(self.stored.range()).ok_or_else(outside)
    }

    fn check(&self, covered: &[u8]) -> Result<()> {
        if self.address.page_crc(&self.place, self.stored.encoding, covered) == self.stored.crc {
            return Ok(());
        }
        Err(self.corrupt("page checksum", "does not match"))
    }

    fn corrupt(&self, field: &'static str, detail: &str) -> FormatError {
        FormatError::corrupt(self.offset, field, detail)
    }
}
