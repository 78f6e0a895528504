//! Sections: a table of kinds, lengths and checksums, and then the bytes of each, one behind the other.
//!
//! The footer and every directory of version 2 are made of them. A reader skips a kind that it does not know unless the
//! section says that it must not be skipped, so a new kind needs no new version. Opening reads the table; a section's
//! checksum is tried when the section is read.

use super::layout::Fields;
use crate::{FormatError, Result};
use std::collections::HashSet;
use std::ops::Range;

/// Set in the flags of a section that a reader must know.
pub(crate) const INCOMPATIBLE: u16 = 1;
/// Bytes before the entries of the table: how many there are, and the table's checksum.
const TABLE_HEAD_BYTES: usize = 8;
/// Bytes of one entry of the table.
pub const SECTION_ENTRY_BYTES: usize = 16;

/// Where a list of sections belongs: part of every checksum in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionsAddress {
    pub(crate) segment_id: u64,
    /// [`FOOTER`](Self::FOOTER) for the footer's.
    pub(crate) row_group: u32,
}

/// One entry of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    crc: u32,
    /// Within the bytes that begin with the table.
    pub(crate) range: Range<usize>,
}

/// The table, read; its bytes are the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sections {
    address: SectionsAddress,
    /// Where the table lies in the segment.
    offset: u64,
    list: Vec<Section>,
}

/// A section about to be written.
pub(crate) struct NewSection {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) bytes: Vec<u8>,
}

impl SectionsAddress {
    /// The number that stands for the footer: no row group has it.
    pub(crate) const FOOTER: u32 = u32::MAX;

    /// Checksum of the table: how many sections, and their entries.
    fn table_crc(&self, n_sections: usize, entries: &[u8]) -> u32 {
        crc32c::crc32c_append(self.crc(0, 0, &(n_sections as u32).to_le_bytes()), entries)
    }

    /// Checksum of a section; the table has kind and flags 0.
    fn crc(&self, kind: u16, flags: u16, bytes: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&self.segment_id.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &self.row_group.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &kind.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &flags.to_le_bytes());
        crc32c::crc32c_append(crc, bytes)
    }
}

impl Sections {
    /// Reads the table at the start of `bytes`, which lie at `offset` of the segment; its sections fill `bytes`.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] for wrong bytes; [`FormatError::Unsupported`] for a section that must be known and has
    /// a kind that `is_known` denies.
    pub(crate) fn read(
        address: SectionsAddress,
        bytes: &[u8],
        offset: u64,
        is_known: impl Fn(u16) -> bool,
    ) -> Result<Self> {
        let mut fields = Fields::new(bytes, offset);
        let n_sections = fields.u32("sections")? as usize;
        let crc = fields.u32("section table checksum")?;
        let entries = n_sections.checked_mul(SECTION_ENTRY_BYTES);
        let entries = fields.take(entries.unwrap_or(usize::MAX), "section table")?;
        if crc != address.table_crc(n_sections, entries) {
            return Err(FormatError::corrupt(offset, "section table checksum", "does not match"));
        }
        let mut list: Vec<Section> = Vec::with_capacity(n_sections);
        let mut kinds = HashSet::with_capacity(n_sections);
        let mut start = TABLE_HEAD_BYTES + entries.len();
        for entry in entries.as_chunks::<SECTION_ENTRY_BYTES>().0 {
            let section = Section::read(entry, start, offset)?;
            if !kinds.insert(section.kind) {
                return Err(FormatError::corrupt(offset, "section kind", format!("{} is there twice", section.kind)));
            }
            if section.flags & INCOMPATIBLE != 0 && !is_known(section.kind) {
                return Err(FormatError::Unsupported { field: "section kind", detail: section.kind.to_string() });
            }
            start = section.range.end;
            list.push(section);
        }
        if start != bytes.len() {
            let detail = format!("sections of {start} bytes in {}", bytes.len());
            return Err(FormatError::corrupt(offset, "section bytes", detail));
        }
        Ok(Self { address, offset, list })
    }

    /// The sections in their order.
    pub(crate) fn list(&self) -> &[Section] {
        &self.list
    }

    /// The bytes of the section of this kind, if there is one, after their checksum matched; and where they lie in the
    /// segment.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] when it does not.
    pub(crate) fn get<'a>(&self, bytes: &'a [u8], kind: u16) -> Result<Option<(&'a [u8], u64)>> {
        self.list.iter().find(|section| section.kind == kind).map(|section| self.bytes(bytes, section)).transpose()
    }

    /// The fields of the section of this kind.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`FormatError::Corrupt`] when there is none.
    pub(crate) fn fields<'a>(&self, bytes: &'a [u8], kind: u16, name: &'static str) -> Result<Fields<'a>> {
        let missing = || FormatError::corrupt(self.offset, name, "is missing");
        self.get(bytes, kind)?.map(|(bytes, offset)| Fields::new(bytes, offset)).ok_or_else(missing)
    }

    /// The bytes of `section`, after their checksum matched.
    pub(crate) fn bytes<'a>(&self, bytes: &'a [u8], section: &Section) -> Result<(&'a [u8], u64)> {
        let offset = self.offset + section.range.start as u64;
        let found = bytes.get(section.range.clone()).unwrap_or_default();
        if section.crc != self.address.crc(section.kind, section.flags, found) {
            return Err(FormatError::corrupt(
                offset,
                "section checksum",
                format!("kind {} does not match", section.kind),
            ));
        }
        Ok((found, offset))
    }
}

impl Section {
    fn read(entry: &[u8; SECTION_ENTRY_BYTES], start: usize, offset: u64) -> Result<Self> {
        let mut fields = Fields::new(entry, offset);
        let (kind, flags) = (fields.u16("section kind")?, fields.u16("section flags")?);
        let (crc, n_bytes) = (fields.u32("section checksum")?, fields.u64("section bytes")?);
        let end = usize::try_from(n_bytes).ok().and_then(|n_bytes| start.checked_add(n_bytes));
        let end = end.ok_or_else(|| FormatError::corrupt(offset, "section bytes", n_bytes))?;
        Ok(Self { kind, flags, crc, range: start..end })
    }
}

/// Appends a table and the sections themselves.
pub(crate) fn write(address: SectionsAddress, sections: &[NewSection], out: &mut Vec<u8>) {
    let mut entries = Vec::with_capacity(sections.len() * SECTION_ENTRY_BYTES);
    for NewSection { kind, flags, bytes } in sections {
        entries.extend_from_slice(&kind.to_le_bytes());
        entries.extend_from_slice(&flags.to_le_bytes());
        entries.extend_from_slice(&address.crc(*kind, *flags, bytes).to_le_bytes());
        entries.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    }
    out.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    out.extend_from_slice(&address.table_crc(sections.len(), &entries).to_le_bytes());
    out.extend_from_slice(&entries);
    sections.iter().for_each(|section| out.extend_from_slice(&section.bytes));
}

/// Makes the checksums of the sections in `bytes` match again; see [`reseal`](super::reseal).
pub(super) fn reseal(address: SectionsAddress, bytes: &mut [u8]) {
    let Some(n_sections) = bytes.first_chunk().map(|n| u32::from_le_bytes(*n) as usize) else { return };
    let mut start = n_sections.saturating_mul(SECTION_ENTRY_BYTES).saturating_add(TABLE_HEAD_BYTES);
    let table = TABLE_HEAD_BYTES..start;
    for number in 0..n_sections {
        let at = TABLE_HEAD_BYTES + number * SECTION_ENTRY_BYTES;
        let Some(entry) = bytes.get(at..at + SECTION_ENTRY_BYTES).and_then(<[u8]>::first_chunk) else { return };
        let Ok(section) = Section::read(entry, start, 0) else { break };
        let Some(covered) = bytes.get(section.range.clone()) else { break };
        let crc = address.crc(section.kind, section.flags, covered);
        bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        start = section.range.end;
    }
    let Some(crc) = bytes.get(table).map(|entries| address.table_crc(n_sections, entries)) else { return };
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
}
