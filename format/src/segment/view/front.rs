//! A log of which less than all is read from its file: the directory first, then as many levels as are wanted.
//!
//! All pages of a level lie together, the base in front, so a reader that is content with the base of a log in levels
//! reads one range of its file, a third of the bytes. What was not read is never taken for damage.

use super::super::bytes::Bytes;
use super::super::directory::Directory;
use super::super::footer::RowGroup;
use super::{KvLogView, Precision};
use crate::{FormatError, Result};
use std::ops::Range;

impl<'a> KvLogView<'a> {
    /// The KV log of `row_group`, of which only the [directory](RowGroup::directory_range) was read: its tokens, what is
    /// known of its pages, and no numbers until it has [a front](Self::with_front).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_directory(row_group: &RowGroup, directory: impl Into<Bytes<'a>>) -> Result<Self> {
        let directory_bytes = directory.into();
        let wanted = row_group.directory().map_or(0, |range| range.len());
        let found = directory_bytes.as_slice();
        if found.len() != wanted {
            return Err(FormatError::invalid("directory", format!("{} bytes instead of {wanted}", found.len())));
        }
        let directory = Directory::read(row_group, found)?;
        Ok(Self::of_parts(row_group, directory, Bytes::Borrowed(&[]), Some(directory_bytes)))
    }

    /// The bytes of the file that have every page which reading with this precision needs.
    pub fn front_range(&self, precision: Precision) -> Range<u64> {
        let n_pages = self.levels_of(precision) * self.directory.grid.pages_per_level();
        let end = n_pages.checked_sub(1).and_then(|last| self.directory.pages.get(last));
        let start = self.row_group.offset;
        start..start.saturating_add(end.map_or(0, |page| page.range().end) as u64)
    }

    /// The same log with the bytes of its [front](Self::front_range) of some precision, with which it is read from now
    /// on. Reading it with more is [`FormatError::Invalid`].
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there are other bytes than of that range.
    pub fn with_front(self, precision: Precision, front: impl Into<Bytes<'a>>) -> Result<Self> {
        let (front, wanted) = (front.into(), self.front_range(precision));
        let n_bytes = front.as_slice().len();
        if n_bytes as u64 != wanted.end - wanted.start {
            return Err(FormatError::invalid("front", format!("{n_bytes} bytes for those of {wanted:?}")));
        }
        Ok(Self { bytes: front, is_checked: false, ..self.with_precision(precision) })
    }

    /// These pages of level 0, and what is read of the levels above them, were read from the file.
    pub(super) fn check_at_hand(&self, pages: &Range<usize>) -> Result<()> {
        let above = (self.n_levels - 1) * self.directory.grid.pages_per_level();
        let last = pages.end.checked_sub(1).and_then(|last| self.directory.pages.get(last + above));
        match last {
            Some(page) if !pages.is_empty() && page.range().end > self.bytes().len() => {
                Err(FormatError::invalid("precision", "these pages were not read from the file"))
            }
            _ => Ok(()),
        }
    }
}
