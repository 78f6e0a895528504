//! Makes the checksums of a damaged segment match again, so that tests reach what lies behind them.
//!
//! A fuzzer never guesses a CRC. With this, every field of header, tail, footer, directory and pages can be given any
//! value and still arrive at the code that judges its meaning. Not for repair: it makes wrong bytes look right.

use super::directory::{self, PAGE_ENTRY_BYTES, StoredPage};
use super::footer::{self, RowGroup};
use super::grid::GridPage;
use super::layout::{HEADER_BYTES, TAIL_BYTES};
use super::reader::Segment;
use super::sections;
use super::view::KvLogView;
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
    let Some((footer, tail_bytes)) = segment.split_at_mut_checked(tail) else { return };
    let field = |at: usize| tail_bytes.get(at..).and_then(<[u8]>::first_chunk).map(|b| u64::from_le_bytes(*b));
    let (offset, segment_id) = (field(0).unwrap_or_default(), field(8).unwrap_or_default());
    let footer = usize::try_from(offset).ok().and_then(|offset| footer.get_mut(offset..));
    if let Some(footer) = footer {
        if tail_bytes.get(16) != Some(&1) {
            footer::reseal(segment_id, footer);
        }
        tail_bytes[32..36].copy_from_slice(&crc32c::crc32c(footer).to_le_bytes());
    }
    seal(segment, tail..tail + 52, crc32c::crc32c);
}

fn reseal_row_group(row_group: &RowGroup, bytes: &mut [u8]) {
    let Some(directory) = row_group.directory().filter(|range| range.end <= bytes.len()) else { return };
    if row_group.address.version == 1 {
        return directory::reseal_v1(row_group, bytes, directory);
    }
    // Twice: the page entries can be read once their section is sealed, and are sealed again once they are changed.
    sections::reseal(row_group.address.sections(), &mut bytes[directory.clone()]);
    if let Ok(view) = KvLogView::new(row_group, &*bytes) {
        let pages: Vec<_> = view.all_pages().map(|page| (page.place, *page.stored)).collect();
        let entries = view.directory().page_entries();
        for (number, (place, stored)) in pages.iter().enumerate() {
            let crc = reseal_page(row_group, place, stored, bytes);
            let at = entries.start + number * PAGE_ENTRY_BYTES + 4;
            bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        }
    }
    sections::reseal(row_group.address.sections(), &mut bytes[directory]);
}

/// The checksum of a page, after its row table was made right.
fn reseal_page(row_group: &RowGroup, place: &GridPage, stored: &StoredPage, bytes: &mut [u8]) -> u32 {
    let page = bytes.get_mut(stored.range()).unwrap_or_default();
    let (numbers, table) = page.split_at_mut(page.len() - stored.row_table_bytes);
    for (row, crc) in numbers.chunks_exact(row_group.shape.row_bytes()).zip(table.as_chunks_mut().0) {
        *crc = crc32c::crc32c(row).to_le_bytes();
    }
    let covered = if table.is_empty() { numbers } else { table };
    row_group.address.page_crc(place, stored.encoding, covered)
}
