//! Checksums that know where their bytes belong: CRC-32C over an address, then over the bytes.
//!
//! A page that was swapped with another one, written twice, or left over from another segment has the right
//! bytes at the wrong address, and does not match.

use super::grid::{GridPage, GridShape};
use super::sections::SectionsAddress;
use crate::{ElementType, Encoding};

/// Where a row group belongs and how its numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowGroupAddress {
    pub(crate) version: u16,
    pub(crate) segment_id: u64,
    pub(crate) row_group: u32,
    pub(crate) element: ElementType,
}

impl RowGroupAddress {
    /// Whether a page of this encoding ends with one checksum per token, instead of having one over all its bytes.
    pub(crate) fn has_row_table(&self, encoding: Encoding) -> bool {
        self.version >= 2 && encoding == Encoding::Plain
    }

    /// Checksum of a page at its place: over its stored bytes, or over its row table alone where it has one.
    pub(crate) fn page_crc(&self, page: &GridPage, encoding: Encoding, covered: &[u8]) -> u32 {
        crc32c::crc32c_append(self.page_start(page, encoding), covered)
    }

    /// Where the sections of the row group belong.
    pub(crate) fn sections(&self) -> SectionsAddress {
        SectionsAddress { segment_id: self.segment_id, row_group: self.row_group }
    }

    /// Checksum of a directory of version 1, before its checksum.
    pub(crate) fn directory_crc(&self, shape: &GridShape, directory: &[u8]) -> u32 {
        let fields = [shape.geometry.n_layers, shape.n_tokens, shape.tokens_per_page];
        let crc = fields.iter().fold(self.start(0, 0, 0), |crc, n| crc32c::crc32c_append(crc, &n.to_le_bytes()));
        crc32c::crc32c_append(crc, directory)
    }

    /// The checksum of the address of a page, before its bytes.
    pub(crate) fn page_start(&self, page: &GridPage, encoding: Encoding) -> u32 {
        let crc = self.start(page.part as u8, encoding as u8, page.level);
        let fields = [page.layer, page.first_token, page.n_tokens, page.head];
        let n_fields = if self.version >= 2 { 4 } else { 3 };
        fields.iter().take(n_fields).fold(crc, |crc, field| crc32c::crc32c_append(crc, &field.to_le_bytes()))
    }

    fn start(&self, part: u8, encoding: u8, level: u8) -> u32 {
        let crc = crc32c::crc32c(&self.segment_id.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &self.row_group.to_le_bytes());
        crc32c::crc32c_append(crc, &[part, encoding, self.element as u8, level])
    }
}
