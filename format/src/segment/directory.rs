//! The directory: the end of a row group, with its token ids, positions and one entry per page.
//!
//! It stands behind the pages so that a writer streams them, and outside the footer so that opening a segment of
//! ten thousand logs does not read ten thousand lists of tokens.

use super::footer::RowGroup;
use super::grid::GridPage;
use super::layout::{Fields, PAGE_ENTRY_BYTES, aligned, pad};
use crate::{Encoding, FormatError, Result};
use std::ops::Range;

/// Tokens and pages of one row group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) token_ids: Vec<u32>,
    pub(crate) positions: Vec<u32>,
    pub(crate) pages: Vec<StoredPage>,
}

/// How one page is stored; its layer, part and tokens follow from its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredPage {
    /// From the start of the row group; a sum, not stored.
    pub(crate) start: usize,
    pub(crate) n_bytes: u32,
    pub(crate) crc: u32,
    pub(crate) encoding: Encoding,
}

impl StoredPage {
    /// Where it lies in the row group.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.n_bytes as usize)
    }
}

/// Where the directory of `row_group` lies in it, without padding.
pub(crate) fn directory_range(row_group: &RowGroup) -> Option<Range<usize>> {
    let n_bytes = row_group.grid.directory_bytes();
    let start = row_group.n_bytes.checked_sub(aligned(n_bytes as u64)?)?;
    let start = usize::try_from(start).ok()?;
    Some(start..start.checked_add(n_bytes)?)
}

impl Directory {
    /// Reads the directory out of the bytes of its row group.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] for wrong bytes, [`FormatError::Unsupported`] for an encoding that is not known.
    pub(crate) fn read(row_group: &RowGroup, bytes: &[u8]) -> Result<Self> {
        let range = directory_range(row_group);
        let short = || FormatError::corrupt(row_group.offset, "directory", "does not fit its row group");
        let range = range.ok_or_else(short)?;
        let offset = row_group.offset + range.start as u64;
        let (covered, crc) = bytes.get(range.clone()).and_then(<[u8]>::split_last_chunk::<4>).ok_or_else(short)?;
        if u32::from_le_bytes(*crc) != row_group.address.directory_crc(&row_group.grid, covered) {
            return Err(FormatError::corrupt(offset, "directory checksum", "does not match"));
        }
        let mut fields = Fields::new(covered, offset);
        let token_ids = fields.u32s(row_group.n_tokens(), "token ids")?;
        let positions = fields.u32s(row_group.n_tokens(), "positions")?;
        if !positions.is_sorted_by(|a, b| a < b) {
            return Err(FormatError::corrupt(offset, "positions", "do not strictly increase"));
        }
        let pages = read_pages(row_group, &mut fields, range.start)?;
        Ok(Self { token_ids, positions, pages })
    }

    /// Appends the directory, its checksum and its padding.
    pub(crate) fn write(&self, checksum: impl FnOnce(&[u8]) -> u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(self.token_ids.iter().chain(&self.positions).flat_map(|n| n.to_le_bytes()));
        for page in &self.pages {
            out.extend_from_slice(&page.n_bytes.to_le_bytes());
            out.extend_from_slice(&page.crc.to_le_bytes());
            out.extend_from_slice(&[page.encoding as u8, 0, 0, 0]);
        }
        let crc = checksum(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
        pad(out);
    }
}

/// The page entries; pages fill the row group from its start to `directory_start`.
fn read_pages(row_group: &RowGroup, fields: &mut Fields<'_>, directory_start: usize) -> Result<Vec<StoredPage>> {
    let grid = &row_group.grid;
    let corrupt = |detail: String| FormatError::corrupt(row_group.offset, "page bytes", detail);
    let mut pages = Vec::with_capacity(grid.n_pages());
    let mut start = 0_usize;
    for number in 0..grid.n_pages() {
        let grid_page = grid.page(number).ok_or_else(|| corrupt(format!("no page {number}")))?;
        let page = read_page(fields, start, &grid_page)?;
        let end = start.checked_add(page.n_bytes as usize).and_then(|end| aligned(end as u64));
        start = end.and_then(|end| usize::try_from(end).ok()).ok_or_else(|| corrupt("too many".into()))?;
        pages.push(page);
    }
    if start != directory_start {
        return Err(corrupt(format!(
            "pages end at {start} of the row group, its directory begins at {directory_start}"
        )));
    }
    Ok(pages)
}

fn read_page(fields: &mut Fields<'_>, start: usize, grid_page: &GridPage) -> Result<StoredPage> {
    let mut entry = Fields::new(fields.take(PAGE_ENTRY_BYTES, "page entry")?, 0);
    let n_bytes = entry.u32("stored bytes")?;
    let crc = entry.u32("page checksum")?;
    let code = entry.u32("encoding")?;
    let unsupported = || FormatError::Unsupported { field: "encoding", detail: code.to_string() };
    let encoding = u8::try_from(code).ok().and_then(Encoding::from_code).ok_or_else(unsupported)?;
    if !encoding.allows(grid_page.raw_bytes, n_bytes as usize) {
        let detail = format!("{n_bytes} for {} decoded", grid_page.raw_bytes);
        return Err(FormatError::corrupt(start as u64, "stored bytes", detail));
    }
    Ok(StoredPage { start, n_bytes, crc, encoding })
}
