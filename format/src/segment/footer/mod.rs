//! The footer: one entry per row group, enough to choose a KV log and to know which bytes to read.
//!
//! Offsets are sums of lengths and not stored, so row groups neither overlap nor leave a gap. What the two versions say
//! is read by [`v1`] and [`v2`]; what it means is judged here, once.

mod v1;
mod v2;

use super::address::RowGroupAddress;
use super::grid::{GridShape, PageGrid};
use super::layout::{ALIGNMENT, HEADER_BYTES, TAIL_BYTES, aligned};
use super::sections;
use super::tail::FooterRange;
use crate::{ElementType, FormatError, ModelFingerprint, Result};
use std::ops::Range;
pub use v2::FOOTER_SECTIONS;
pub(crate) use v2::write;

/// What a segment holds: its row groups, in file order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    segment_id: u64,
    row_groups: Vec<RowGroup>,
}

/// One KV log in a segment, without its tokens and pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowGroup {
    pub(crate) address: RowGroupAddress,
    pub(crate) shape: GridShape,
    pub(crate) offset: u64,
    pub(crate) n_bytes: u64,
    directory_bytes: u64,
    pub(crate) is_approximate: bool,
    fingerprint: ModelFingerprint,
}

/// Number of a row group in its segment, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowGroupIndex(pub u32);

/// What a footer of any version says.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) fingerprints: Vec<ModelFingerprint>,
    pub(crate) row_groups: Vec<Entry>,
}

/// What a footer says of one row group.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) n_bytes: u64,
    pub(crate) n_tokens: u32,
    pub(crate) tokens_per_page: u32,
    pub(crate) fingerprint: u32,
    pub(crate) element: u8,
    /// `None` in version 1, where it follows from the others.
    pub(crate) rest: Option<EntryRest>,
}

/// What version 2 says besides.
#[derive(Clone, Copy, Default)]
pub(crate) struct EntryRest {
    pub(crate) directory_bytes: u64,
    pub(crate) n_rows: u64,
    pub(crate) n_levels: u8,
    pub(crate) is_approximate: bool,
}

impl Footer {
    /// How many bytes at the end of a segment [`locate`](Self::locate) wants.
    pub const fn tail_bytes() -> usize {
        TAIL_BYTES
    }

    /// Reads the tail of a file of `file_bytes` and says where the footer lies.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when `tail` is not [`tail_bytes`](Self::tail_bytes) long; [`FormatError::Corrupt`]
    /// for wrong bytes; [`FormatError::Unsupported`] for a newer segment.
    pub fn locate(tail: &[u8], file_bytes: u64) -> Result<FooterRange> {
        FooterRange::read(tail, file_bytes)
    }

    /// Reads the footer, `bytes`, found at `range` of the file that should be `segment_id`.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] for wrong bytes and for another segment's file; [`FormatError::Unsupported`] for
    /// codes that are not known.
    pub fn parse(bytes: &[u8], range: &FooterRange, segment_id: u64) -> Result<Self> {
        range.identity.expect(segment_id, range.range().end)?;
        if bytes.len() as u64 != u64::from(range.n_bytes) || crc32c::crc32c(bytes) != range.crc {
            return Err(FormatError::corrupt(range.offset, "footer checksum", "does not match"));
        }
        let entries = match range.identity.version {
            1 => v1::read(bytes, range.offset, segment_id)?,
            _ => v2::read(bytes, range.offset, segment_id)?,
        };
        Self::from_entries(&entries, range)
    }

    fn from_entries(entries: &Entries, range: &FooterRange) -> Result<Self> {
        let segment_id = range.segment_id();
        let corrupt = |field, detail: &str| FormatError::corrupt(range.offset, field, detail);
        let mut offset = HEADER_BYTES as u64;
        let mut row_groups = Vec::with_capacity(entries.row_groups.len());
        for (index, entry) in entries.row_groups.iter().enumerate() {
            let index = u32::try_from(index).ok().filter(|index| *index != sections::SectionsAddress::FOOTER);
            let index = RowGroupIndex(index.ok_or_else(|| corrupt("row groups", "too many"))?);
            let fingerprint = entries.fingerprints.get(entry.fingerprint as usize);
            let fingerprint = *fingerprint.ok_or_else(|| corrupt("fingerprint number", "names none"))?;
            let row_group =
                RowGroup::read(entry, index, offset, fingerprint, range).map_err(|error| error.at(range.offset))?;
            offset = offset.checked_add(row_group.n_bytes).ok_or_else(|| corrupt("row group bytes", "too many"))?;
            row_groups.push(row_group);
        }
        if offset != range.offset {
            return Err(corrupt("row group bytes", "do not end where the footer begins"));
        }
        Ok(Self { segment_id, row_groups })
    }

    /// The segment this is the footer of.
    pub fn segment_id(&self) -> u64 {
        self.segment_id
    }

    /// The KV logs of the segment, in file order.
    pub fn row_groups(&self) -> &[RowGroup] {
        &self.row_groups
    }

    /// The row group with this number.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is none.
    pub fn row_group(&self, index: RowGroupIndex) -> Result<&RowGroup> {
        let n = self.row_groups.len();
        let missing = || FormatError::invalid("row group", format!("{} of {n}", index.0));
        self.row_groups.get(index.0 as usize).ok_or_else(missing)
    }
}

impl RowGroup {
    fn read(
        entry: &Entry,
        index: RowGroupIndex,
        offset: u64,
        fingerprint: ModelFingerprint,
        range: &FooterRange,
    ) -> Result<Self> {
        let element = ElementType::from_code(entry.element)
            .ok_or_else(|| FormatError::Unsupported { field: "element type", detail: entry.element.to_string() })?;
        let Entry { n_bytes, n_tokens, tokens_per_page, .. } = *entry;
        let geometry = fingerprint.geometry;
        let shape = match entry.rest {
            None => GridShape::uniform(geometry, element, n_tokens, tokens_per_page),
            Some(rest) => GridShape::new(geometry, element, n_tokens, tokens_per_page, rest.n_levels, rest.n_rows),
        };
        let shape = shape.map_err(|detail| FormatError::corrupt(0, "row group shape", detail))?;
        let rest = entry.rest.unwrap_or_else(|| EntryRest {
            directory_bytes: super::directory::v1_bytes(&shape),
            ..EntryRest::default()
        });
        let smallest = aligned(rest.directory_bytes);
        if !n_bytes.is_multiple_of(ALIGNMENT as u64) || smallest.is_none_or(|smallest| n_bytes < smallest) {
            return Err(FormatError::corrupt(0, "row group bytes", format!("{n_bytes} are not enough or not aligned")));
        }
        let segment_id = range.segment_id();
        let address = RowGroupAddress { version: range.identity.version, segment_id, row_group: index.0, element };
        let (directory_bytes, is_approximate) = (rest.directory_bytes, rest.is_approximate);
        Ok(Self { address, shape, offset, n_bytes, directory_bytes, is_approximate, fingerprint })
    }

    /// Its number in the segment.
    pub fn index(&self) -> RowGroupIndex {
        RowGroupIndex(self.address.row_group)
    }

    /// Its segment.
    pub fn segment_id(&self) -> u64 {
        self.address.segment_id
    }

    /// The bytes of the file that [`KvLogView::new`](crate::KvLogView::new) wants.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.n_bytes)
    }

    /// The model that made the log.
    pub fn fingerprint(&self) -> &ModelFingerprint {
        &self.fingerprint
    }

    /// Type of the stored numbers.
    pub fn element(&self) -> ElementType {
        self.address.element
    }

    /// Kept tokens.
    pub fn n_tokens(&self) -> usize {
        self.shape.n_tokens as usize
    }

    /// Bytes in the file, with directory and padding.
    pub fn encoded_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Bytes of the keys and values of all layers, decoded.
    pub fn decoded_bytes(&self) -> u64 {
        self.shape.decoded_bytes()
    }

    /// The bytes of the file that [`KvLogView::of_directory`](crate::KvLogView::of_directory) wants.
    pub fn directory_range(&self) -> Range<u64> {
        let within = self.directory().unwrap_or_default();
        self.offset.saturating_add(within.start as u64)..self.offset.saturating_add(within.end as u64)
    }

    /// Levels of its pages: more than one where a reader may be content with less than is there.
    pub fn n_levels(&self) -> u8 {
        self.shape.n_levels
    }

    /// Where the directory lies in the row group, without padding.
    pub(crate) fn directory(&self) -> Option<Range<usize>> {
        let start = self.n_bytes.checked_sub(aligned(self.directory_bytes)?)?;
        let start = usize::try_from(start).ok()?;
        Some(start..start.checked_add(usize::try_from(self.directory_bytes).ok()?)?)
    }

    /// The pages of the row group; `heads` where it is ragged.
    pub(crate) fn grid(&self, heads: Option<&crate::HeadTokens>) -> PageGrid {
        PageGrid::new(self.shape, heads)
    }
}

/// Makes the checksums within a footer of version 2 match again.
pub(super) fn reseal(segment_id: u64, bytes: &mut [u8]) {
    sections::reseal(v2::address(segment_id), bytes);
}
