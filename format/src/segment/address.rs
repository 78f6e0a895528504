//! Checksums that know where their bytes belong: CRC-32C over an address, then over the bytes.
//!
//! A page that was swapped with another one, written twice, or left over from another segment has the right
//! bytes at the wrong address, and does not match.

use super::grid::{GridPage, PageGrid};
use crate::{ElementType, Encoding};

/// Where a row group belongs and how its numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowGroupAddress {
    pub(crate) segment_id: u64,
    pub(crate) row_group: u32,
    pub(crate) element: ElementType,
}

impl RowGroupAddress {
    /// Checksum of a page's stored bytes at its place.
    pub(crate) fn page_crc(&self, page: &GridPage, encoding: Encoding, stored: &[u8]) -> u32 {
        let mut crc = self.start(page.part as u8, encoding as u8);
        for field in [page.layer, page.first_token, page.n_tokens] {
            crc = crc32c::crc32c_append(crc, &field.to_le_bytes());
        }
        crc32c::crc32c_append(crc, stored)
    }

    /// Checksum of a directory's bytes before its checksum.
    pub(crate) fn directory_crc(&self, grid: &PageGrid, directory: &[u8]) -> u32 {
        let mut crc = self.start(0, 0);
        for field in [grid.n_layers, grid.n_tokens, grid.tokens_per_page] {
            crc = crc32c::crc32c_append(crc, &field.to_le_bytes());
        }
        crc32c::crc32c_append(crc, directory)
    }

    fn start(&self, part: u8, encoding: u8) -> u32 {
        let crc = crc32c::crc32c(&self.segment_id.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &self.row_group.to_le_bytes());
        crc32c::crc32c_append(crc, &[part, encoding, self.element as u8, 0])
    }
}
