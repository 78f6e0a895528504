//! A whole segment in memory: open, read a KV log, verify every byte.

use super::footer::{Footer, RowGroupIndex};
use super::layout::TAIL_BYTES;
use super::tail::FooterRange;
use super::view::KvLogView;
use crate::{FormatError, Result};

/// A segment whose bytes are all in memory or mapped.
///
/// A store that reads ranges of a file goes the same way by itself: [`Footer::locate`], [`Footer::parse`],
/// [`RowGroup::range`](crate::RowGroup::range), [`KvLogView::new`].
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    bytes: &'a [u8],
    located: FooterRange,
    footer: Footer,
}

/// What [`Segment::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Row groups whose directory could be read.
    pub n_row_groups: usize,
    /// Pages whose checksum was tried.
    pub n_pages: usize,
    /// Bytes looked at.
    pub n_bytes: u64,
    /// Everything that is wrong, in file order; empty when the segment is sound.
    pub faults: Vec<FormatError>,
}

impl<'a> Segment<'a> {
    /// Opens a segment under the id that it gives itself.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] for wrong bytes, [`FormatError::Unsupported`] for a newer segment.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let located = locate(bytes)?;
        Self::open_at(bytes, located, located.segment_id())
    }

    /// Opens a segment that must be `segment_id`.
    ///
    /// # Errors
    /// As [`open`](Self::open); also [`FormatError::Corrupt`] when it is another one.
    pub fn open_as(bytes: &'a [u8], segment_id: u64) -> Result<Self> {
        Self::open_at(bytes, locate(bytes)?, segment_id)
    }

    fn open_at(bytes: &'a [u8], located: FooterRange, segment_id: u64) -> Result<Self> {
        let footer = Footer::parse(slice(bytes, located.range())?, &located, segment_id)?;
        Ok(Self { bytes, located, footer })
    }

    /// The row groups.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// One KV log, read in place.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such row group; otherwise as [`KvLogView::new`].
    pub fn kv_log(&self, index: RowGroupIndex) -> Result<KvLogView<'a>> {
        let row_group = self.footer.row_group(index)?;
        KvLogView::new(row_group, slice(self.bytes, row_group.range())?)
    }

    /// Looks at every byte: header, pages, encoded numbers, padding and directories. Opening checked the rest.
    pub fn verify(&self) -> Verification {
        let mut found = Verification { n_bytes: self.bytes.len() as u64, ..Verification::default() };
        found.faults.extend(self.located.check_header(self.bytes).err());
        for row_group in self.footer.row_groups() {
            match self.kv_log(row_group.index()) {
                Ok(view) => {
                    found.n_row_groups += 1;
                    found.n_pages += view.n_pages();
                    found.faults.extend(view.faults());
                }
                Err(error) => found.faults.push(error),
            }
        }
        found
    }
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

fn locate(bytes: &[u8]) -> Result<FooterRange> {
    let tail = bytes.len().checked_sub(TAIL_BYTES).and_then(|start| bytes.get(start..));
    Footer::locate(tail.unwrap_or_default(), bytes.len() as u64)
}

fn slice(bytes: &[u8], range: std::ops::Range<u64>) -> Result<&[u8]> {
    let outside = || FormatError::corrupt(range.start, "range", "lies outside the segment");
    let (start, end) = (usize::try_from(range.start).ok(), usize::try_from(range.end).ok());
    start.zip(end).and_then(|(start, end)| bytes.get(start..end)).ok_or_else(outside)
}
