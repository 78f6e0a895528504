//! The directory of version 1: token ids, positions, page entries and one checksum over all. Nothing writes it any more.

use super::{Directory, PageEntry, stored_pages};
use crate::encoding::PageError;
use crate::segment::address::RowGroupAddress;
use crate::segment::footer::RowGroup;
use crate::segment::grid::{GridShape, PageGrid};
use crate::segment::layout::{Fields, aligned};
use crate::{Encoding, FormatError, Result};
use std::ops::Range;

const PAGE_ENTRY_BYTES: usize = 12;
/// Those of version 1: a page has no error, so that a lossy one would be taken for exact.
const ENCODINGS: [u8; 2] = [Encoding::Plain as u8, Encoding::ByteSplitZstd as u8];

/// Bytes of the directory of a row group, without padding.
pub(crate) fn n_bytes(shape: &GridShape) -> u64 {
    let n_pages = PageGrid::new(*shape, None).n_pages() as u64;
    8 * u64::from(shape.n_tokens) + PAGE_ENTRY_BYTES as u64 * n_pages + 4
}

pub(super) fn read(row_group: &RowGroup, bytes: &[u8], range: Range<usize>) -> Result<Directory> {
    let offset = row_group.offset + range.start as u64;
    let short = || FormatError::corrupt(offset, "directory", "does not fit its row group");
    let (covered, crc) = bytes.split_last_chunk::<4>().ok_or_else(short)?;
    if u32::from_le_bytes(*crc) != row_group.address.directory_crc(&row_group.shape, covered) {
        return Err(FormatError::corrupt(offset, "directory checksum", "does not match"));
    }
    let mut fields = Fields::new(covered, offset);
    let token_ids = fields.u32s(row_group.n_tokens(), "token ids")?;
    let positions = fields.u32s(row_group.n_tokens(), "positions")?;
    if !positions.is_sorted_by(|a, b| a < b) {
        return Err(FormatError::corrupt(offset, "positions", "do not strictly increase"));
    }
    let grid = row_group.grid(None);
    let mut entries = Vec::with_capacity(grid.n_pages());
    for _ in 0..grid.n_pages() {
        entries.push(read_entry(&mut fields)?);
    }
    fields.finish("directory")?;
    let pages = stored_pages(row_group, &grid, &entries, range.start)?;
    let (heads, importance, sections, summaries) = Default::default();
    Ok(Directory { token_ids, positions, heads, importance, grid, pages, sections, summaries, range })
}

fn read_entry(fields: &mut Fields<'_>) -> Result<PageEntry> {
    let (n_bytes, crc, code) = (fields.u32("stored bytes")?, fields.u32("page checksum")?, fields.u32("encoding")?);
    let unsupported = || FormatError::Unsupported { field: "encoding", detail: code.to_string() };
    let encoding = u8::try_from(code).ok().filter(|code| ENCODINGS.contains(code)).ok_or_else(unsupported)?;
    Ok(PageEntry { n_bytes, crc, encoding, error: PageError::NONE })
}

/// Makes the checksums of the pages and of the directory match again.
pub(in crate::segment) fn reseal(row_group: &RowGroup, bytes: &mut [u8], directory: Range<usize>) {
    let (address, grid) = (row_group.address, row_group.grid(None));
    let entries = directory.start + 8 * row_group.n_tokens();
    let mut start = 0;
    for number in 0..grid.n_pages() {
        let end = reseal_page(&address, &grid, bytes, number, entries + number * PAGE_ENTRY_BYTES, start);
        let Some(end) = end else { break };
        start = end;
    }
    let covered = directory.start..directory.end - 4;
    let Some(crc) = bytes.get(covered).map(|bytes| address.directory_crc(&row_group.shape, bytes)) else { return };
    bytes[directory.end - 4..directory.end].copy_from_slice(&crc.to_le_bytes());
}

/// Seals the page that begins at `start`; where the next one begins.
fn reseal_page(
    address: &RowGroupAddress,
    grid: &PageGrid,
    bytes: &mut [u8],
    number: usize,
    entry: usize,
    start: usize,
) -> Option<usize> {
    let n_bytes = u32::from_le_bytes(*bytes.get(entry..)?.first_chunk()?);
    let encoding = Encoding::from_code(*bytes.get(entry + 8)?)?;
    let end = start.checked_add(n_bytes as usize)?;
    let crc = address.page_crc(&grid.page(number)?, encoding, bytes.get(start..end)?);
    bytes.get_mut(entry + 4..entry + 8)?.copy_from_slice(&crc.to_le_bytes());
    usize::try_from(aligned(end as u64)?).ok()
}
