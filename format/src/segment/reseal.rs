//! Makes the checksums of a damaged segment match again, so that tests reach what lies behind them.
//!
//! A fuzzer never guesses a CRC. With this, every field of header, tail, footer, directory and pages can be given any
//! value and still arrive at the code that judges its meaning. Not for repair: it makes wrong bytes look right.

use super::directory::directory_range;
use super::footer::RowGroup;
use super::layout::{HEADER_BYTES, PAGE_ENTRY_BYTES, TAIL_BYTES, aligned};
use super::reader::Segment;
use crate::Encoding;
use std::ops::Range;

/// Recomputes every checksum of `segment` that can be found; leaves the rest as it is.
pub fn reseal(segment: &mut [u8]) {
    seal(segment, 0..HEADER_BYTES - 4, crc32c::crc32c);
    seal_footer_and_tail(segment);
    let Ok(footer) = Segment::open(segment).map(|segment| segment.footer().clone()) else { return };
    for row_group in footer.row_groups() {
        let range = row_group.range();
        if let Some(bytes) = segment.get_mut(range.start as usize..range.end as usize) {
            reseal_row_group(row_group, bytes);
        }
    }
}

/// Writes the checksum of the bytes in `covered` right behind them.
fn seal(bytes: &mut [u8], covered: Range<usize>, crc: impl FnOnce(&[u8]) -> u32) {
    let Some(crc) = bytes.get(covered.clone()).map(crc) else { return };
    if let Some(field) = bytes.get_mut(covered.end..).and_then(<[u8]>::first_chunk_mut) {
        *field = crc.to_le_bytes();
    }
}

fn seal_footer_and_tail(segment: &mut [u8]) {
    let Some(tail) = segment.len().checked_sub(TAIL_BYTES) else { return };
    let offset = segment.get(tail..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let footer = usize::try_from(offset).ok().and_then(|offset| segment.get(offset..tail));
    if let Some(crc) = footer.map(crc32c::crc32c)
        && let Some(field) = segment.get_mut(tail + 32..tail + 36)
    {
        field.copy_from_slice(&crc.to_le_bytes());
    }
    seal(segment, tail..tail + 52, crc32c::crc32c);
}

fn reseal_row_group(row_group: &RowGroup, bytes: &mut [u8]) {
    let Some(directory) = directory_range(row_group) else { return };
    let entries = directory.start + 8 * row_group.n_tokens();
    let mut start = 0;
    for number in 0..row_group.n_pages() {
        let entry = entries + number * PAGE_ENTRY_BYTES;
        let Some(end) = reseal_page(row_group, bytes, number, entry, start) else { break };
        start = end;
    }
    let crc = |bytes: &[u8]| row_group.address.directory_crc(&row_group.grid, bytes);
    seal(bytes, directory.start..directory.end - 4, crc);
}

/// Seals the page that begins at `start`; where the next one begins.
fn reseal_page(row_group: &RowGroup, bytes: &mut [u8], number: usize, entry: usize, start: usize) -> Option<usize> {
    let n_bytes = u32::from_le_bytes(*bytes.get(entry..)?.first_chunk()?);
    let encoding = Encoding::from_code(*bytes.get(entry + 8)?)?;
    let end = start.checked_add(n_bytes as usize)?;
    let page = row_group.grid.page(number)?;
    let crc = row_group.address.page_crc(&page, encoding, bytes.get(start..end)?);
    bytes.get_mut(entry + 4..entry + 8)?.copy_from_slice(&crc.to_le_bytes());
    usize::try_from(aligned(end as u64)?).ok()
}
