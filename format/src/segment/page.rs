//! One page: its checksum, and its numbers, all of them or some rows.
//!
//! A page is checked each time it is read. One with a row table is checked row by row while it is copied, so that a
//! reader that wants a few tokens touches these tokens and the table; any other page is checked and decoded whole.

use super::address::RowGroupAddress;
use super::directory::StoredPage;
use super::grid::{GridPage, GridShape};
use super::out::Out;
use crate::encoding::{Decoder, PageShape};
use crate::{Encoding, FormatError, Result, crc};
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
    /// Whether its numbers are copied past the caches, where the processor can.
    pub(crate) is_past_caches: bool,
    /// Whether its checksums matched before, and need not be tried again.
    pub(crate) is_checked: bool,
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
        self.check_rows(numbers, table)?;
        Ok(stored)
    }

    /// The encoded numbers without the row table, after the checksums matched.
    pub(crate) fn encoded(&self) -> Result<&'a [u8]> {
        let stored = self.checked()?;
        Ok(stored.get(..stored.len().saturating_sub(self.stored.row_table_bytes)).unwrap_or_default())
    }

    /// These rows where they are stored as they are, after their checksums matched; `None` where they have to be decoded.
    pub(crate) fn borrowed_rows(&self, rows: Range<usize>) -> Result<Option<&'a [u8]>> {
        if self.stored.encoding != Encoding::Plain {
            return Ok(None);
        }
        if self.stored.row_table_bytes == 0 {
            let row_bytes = self.shape.row_bytes();
            let numbers = self.checked()?;
            return Ok(numbers.get(rows.start * row_bytes..rows.end * row_bytes));
        }
        let (numbers, table) = self.rows_by_table(rows)?;
        self.check_rows(numbers, table)?;
        Ok(Some(numbers))
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
        // Rounded to the element type only where the caller wants that.
        match out {
            Out::Bytes(out) => {
                let mut raw = vec![0; self.place.raw_bytes];
                self.read(decoder, Out::Bytes(&mut raw))?;
                copy_rows(&raw, self.shape.row_bytes(), rows, out)
            }
            Out::Numbers(out) => {
                let row = self.shape.row_bytes() / self.address.element.n_bytes();
                let mut numbers = vec![0.0; row * self.place.n_tokens as usize];
                self.read(decoder, Out::Numbers(&mut numbers))?;
                copy_rows(&numbers, row, rows, out)
            }
        }
    }

    /// Decodes these rows of the page whose levels are `levels`, its base first.
    pub(crate) fn read_levels(levels: &[Self], decoder: &mut Decoder, rows: Range<usize>, out: Out<'_>) -> Result<()> {
        let Some((base, finer)) = levels.split_first() else { return Ok(()) };
        if finer.is_empty() {
            return base.read_rows(decoder, rows, out);
        }
        let (shape, element) = (base.page_shape(), base.address.element);
        let encoded = levels.iter().map(|level| Ok((level.stored.encoding, level.encoded()?)));
        let encoded: Vec<_> = encoded.collect::<Result<_>>()?;
        let is_whole = rows == (0..base.place.n_tokens as usize);
        let decoded = match out {
            Out::Bytes(raw) if is_whole => decoder.decode_levels(shape, &encoded, raw),
            Out::Numbers(numbers) if is_whole => decoder.decode_levels_f32(shape, &encoded, numbers),
            Out::Bytes(out) => {
                let mut raw = vec![0; base.place.raw_bytes];
                let decoded = decoder.decode_levels(shape, &encoded, &mut raw);
                decoded.and_then(|()| copy_rows(&raw, base.shape.row_bytes(), rows, out))
            }
            Out::Numbers(out) => {
                let mut numbers = vec![0.0; base.place.raw_bytes / element.n_bytes()];
                let decoded = decoder.decode_levels_f32(shape, &encoded, &mut numbers);
                decoded.and_then(|()| copy_rows(&numbers, base.shape.row_bytes() / element.n_bytes(), rows, out))
            }
        };
        decoded.map_err(|error| error.at(base.offset))
    }

    /// The numbers and the checksum of each row, after the table's own checksum matched.
    pub(crate) fn checked_row_table(&self) -> Result<(&'a [u8], &'a [[u8; 4]])> {
        let stored = self.stored_bytes()?;
        let split = stored.len().checked_sub(self.stored.row_table_bytes).and_then(|at| stored.split_at_checked(at));
        let (numbers, table) = split.ok_or_else(|| self.corrupt("row table", "does not fit"))?;
        self.check(table)?;
        Ok((numbers, table.as_chunks().0))
    }

    /// Checks rows against their checksums in the table; three at a time are fastest.
    pub(crate) fn check_each<const N: usize>(&self, rows: [&[u8]; N], table: [&[u8; 4]; N]) -> Result<()> {
        if self.is_checked {
            return Ok(());
        }
        let matches = match rows.first_chunk::<3>() {
            Some(rows) => crc::of_three(*rows).iter().zip(table).all(|(found, crc)| found.to_le_bytes() == *crc),
            None => rows.iter().zip(table).all(|(row, crc)| crc32c::crc32c(row).to_le_bytes() == *crc),
        };
        if matches { Ok(()) } else { Err(self.corrupt("row checksum", "does not match")) }
    }

    /// Checks neighbouring rows.
    fn check_rows(&self, numbers: &[u8], table: &[[u8; 4]]) -> Result<()> {
        if self.is_checked {
            return Ok(());
        }
        let row_bytes = self.shape.row_bytes();
        let (threes, rest) = table.as_chunks::<3>();
        let (in_threes, others) = numbers.split_at_checked(threes.len() * 3 * row_bytes).unwrap_or((numbers, &[]));
        for (rows, [a, b, c]) in in_threes.chunks_exact(3 * row_bytes).zip(threes) {
            let (first, rows) = rows.split_at(row_bytes);
            let (second, third) = rows.split_at(row_bytes);
            self.check_each([first, second, third], [a, b, c])?;
        }
        others.chunks_exact(row_bytes).zip(rest).try_for_each(|(row, crc)| self.check_each([row], [crc]))
    }

    /// Checks some rows and copies them while they are in the nearest cache.
    fn read_rows_by_table(&self, rows: Range<usize>, mut out: Out<'_>) -> Result<()> {
        let row_bytes = self.shape.row_bytes();
        let (numbers, table) = self.rows_by_table(rows)?;
        if self.is_past_caches
            && let Out::Bytes(out) = &mut out
            && let Some(matches) = crc::copy_past_caches(numbers, row_bytes, table, out)
        {
            return if matches { Ok(()) } else { self.check_rows(numbers, table) };
        }
        let rows_per_block = (BLOCK_BYTES / row_bytes).next_multiple_of(3).max(3);
        for (block, crcs) in numbers.chunks(rows_per_block * row_bytes).zip(table.chunks(rows_per_block)) {
            self.check_rows(block, crcs)?;
            let element = self.address.element;
            out.take(block.len() / element.n_bytes(), element)?.fill(element, block)?;
        }
        Ok(())
    }

    /// Some rows, not yet checked, and their checksums.
    fn rows_by_table(&self, rows: Range<usize>) -> Result<(&'a [u8], &'a [[u8; 4]])> {
        let row_bytes = self.shape.row_bytes();
        let (numbers, table) = self.checked_row_table()?;
        let numbers = numbers.get(rows.start * row_bytes..rows.end * row_bytes);
        numbers.zip(table.get(rows)).ok_or_else(|| self.corrupt("row table", "is too short"))
    }

    pub(super) fn page_shape(&self) -> PageShape {
        self.shape.page_shape(&self.place)
    }

    fn stored_bytes(&self) -> Result<&'a [u8]> {
        let outside = || self.corrupt("stored bytes", "lie outside the row group");
        self.bytes.get(self.stored.range()).ok_or_else(outside)
    }

    fn check(&self, covered: &[u8]) -> Result<()> {
        if self.is_checked || self.address.page_crc(&self.place, self.stored.encoding, covered) == self.stored.crc {
            return Ok(());
        }
        Err(self.corrupt("page checksum", "does not match"))
    }

    fn corrupt(&self, field: &'static str, detail: &str) -> FormatError {
        FormatError::corrupt(self.offset, field, detail)
    }
}

/// Some rows of a decoded page.
fn copy_rows<T: Copy>(page: &[T], row: usize, rows: Range<usize>, out: &mut [T]) -> Result<()> {
    let found = page.get(rows.start * row..rows.end * row).filter(|found| found.len() == out.len());
    out.copy_from_slice(found.ok_or_else(|| FormatError::invalid("rows", format!("{rows:?}")))?);
    Ok(())
}
