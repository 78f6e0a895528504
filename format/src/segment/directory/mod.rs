//! The directory: the end of a row group, with its token ids, positions and one entry per page.
//!
//! It stands behind the pages so that a writer streams them, and outside the footer so that opening a segment of
//! ten thousand logs does not read ten thousand lists of tokens. [`v1`] and [`v2`] read what each version wrote.

mod v1;
mod v2;

use super::footer::RowGroup;
use super::grid::PageGrid;
use super::layout::aligned;
use super::sections::Sections;
use crate::encoding::{PageError, are_levels};
use crate::{Encoding, FormatError, HeadTokens, Result};
use std::ops::Range;
use std::sync::OnceLock;
pub(crate) use v1::n_bytes as v1_bytes;
pub(super) use v1::reseal as reseal_v1;
pub use v2::{DIRECTORY_SECTIONS, PAGE_ENTRY_BYTES};
pub(crate) use v2::{key_summaries, kind, read_probes, sections_of, sections_of_view, write};

/// Tokens and pages of one row group.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) token_ids: Vec<u32>,
    pub(crate) positions: Vec<u32>,
    /// Where the heads keep tokens of their own.
    pub(crate) heads: Option<HeadTokens>,
    pub(crate) importance: Option<Vec<f32>>,
    pub(crate) grid: PageGrid,
    pub(crate) pages: Vec<StoredPage>,
    /// Everything else is read when it is asked for; none in version 1.
    pub(crate) sections: Option<Sections>,
    /// Bytes of the key summaries and their offset in the segment, once their checksum matched.
    pub(crate) summaries: OnceLock<(Vec<u8>, u64)>,
    /// Within the row group, without padding.
    pub(crate) range: Range<usize>,
}

/// How one page is stored; its level, layer, part, head and tokens follow from its number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StoredPage {
    /// From the start of the row group; a sum, not stored.
    pub(crate) start: usize,
    pub(crate) n_bytes: u32,
    pub(crate) crc: u32,
    pub(crate) encoding: Encoding,
    /// Bytes of its row table, at its end.
    pub(crate) row_table_bytes: usize,
    /// Against the numbers that were encoded; of all levels up to this one.
    pub(crate) error: PageError,
}

impl StoredPage {
    /// Where it lies in the row group.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.n_bytes as usize)
    }
}

/// The entry of a page as a directory has it, before it is believed.
struct PageEntry {
    n_bytes: u32,
    crc: u32,
    encoding: u8,
    error: PageError,
}

impl Directory {
    /// Reads the directory, `found`, of a row group.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] for wrong bytes, [`FormatError::Unsupported`] for what is not known and must be.
    pub(crate) fn read(row_group: &RowGroup, found: &[u8]) -> Result<Self> {
        let range = row_group.directory().filter(|range| range.len() == found.len());
        let short = || FormatError::corrupt(row_group.offset, "directory", "does not fit its row group");
        let range = range.ok_or_else(short)?;
        match row_group.address.version {
            1 => v1::read(row_group, found, range),
            _ => v2::read(row_group, found, range),
        }
    }

    /// Where the page entries of version 2 lie in the row group.
    pub(super) fn page_entries(&self) -> Range<usize> {
        let sections = self.sections.iter().flat_map(|sections| sections.list());
        let entries = sections.filter(|section| section.kind == v2::kind::PAGES).map(|section| &section.range);
        entries.map(|range| self.range.start + range.start..self.range.start + range.end).next().unwrap_or_default()
    }
}

/// The pages with these entries; they fill the row group from its start to `directory_start`.
fn stored_pages(
    row_group: &RowGroup,
    grid: &PageGrid,
    entries: &[PageEntry],
    directory_start: usize,
) -> Result<Vec<StoredPage>> {
    let corrupt = |detail: String| FormatError::corrupt(row_group.offset, "page bytes", detail);
    let mut pages = Vec::with_capacity(entries.len());
    let mut start = 0_usize;
    for (number, entry) in entries.iter().enumerate() {
        let grid_page = grid.page(number).ok_or_else(|| corrupt(format!("no page {number}")))?;
        let unsupported = || FormatError::Unsupported { field: "encoding", detail: entry.encoding.to_string() };
        let encoding = Encoding::from_code(entry.encoding).ok_or_else(unsupported)?;
        let rows = row_group.address.has_row_table(encoding).then_some(grid_page.n_tokens as usize * 4);
        let row_table_bytes = rows.unwrap_or_default();
        let encoded_bytes = (entry.n_bytes as usize).checked_sub(row_table_bytes);
        if !encoded_bytes.is_some_and(|n_bytes| encoding.allows(grid_page.raw_bytes, n_bytes)) {
            let detail = format!("{} for {} decoded", entry.n_bytes, grid_page.raw_bytes);
            return Err(FormatError::corrupt(row_group.offset.saturating_add(start as u64), "stored bytes", detail));
        }
        let PageEntry { n_bytes, crc, error, .. } = *entry;
        if !error.is_possible(encoding) {
            let detail = format!("{} and {} cannot be those of {}", error.relative_l2, error.max, encoding.name());
            return Err(FormatError::corrupt(row_group.offset.saturating_add(start as u64), "page error", detail));
        }
        pages.push(StoredPage { start, n_bytes, crc, encoding, row_table_bytes, error });
        let end = start.checked_add(n_bytes as usize).and_then(|end| aligned(end as u64));
        start = end.and_then(|end| usize::try_from(end).ok()).ok_or_else(|| corrupt("too many".into()))?;
    }
    if start != directory_start {
        return Err(corrupt(format!(
            "pages end at {start} of the row group, its directory begins at {directory_start}"
        )));
    }
    // Here, once: a reader that takes some rows of level 0 would not see what lies above it.
    let per_level = grid.pages_per_level();
    for number in 0..per_level {
        let levels = pages.iter().skip(number).step_by(per_level).map(|page| page.encoding);
        if !are_levels(levels) {
            return Err(corrupt(format!("the levels of page {number} are not one above the other")));
        }
    }
    Ok(pages)
}

/// Positions may come in any order and never twice.
pub(crate) fn are_distinct(positions: &[u32]) -> bool {
    if positions.is_sorted_by(|a, b| a < b) {
        return true;
    }
    let mut sorted = positions.to_vec();
    sorted.sort_unstable();
    sorted.is_sorted_by(|a, b| a < b)
}
