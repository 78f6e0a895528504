//! Looking at every byte of a segment, with one KV log of it in memory at a time: a segment may be larger than memory.

use super::file_name;
use super::set::{open_file, open_named, read_range};
use crate::catalog::row::SegmentRow;
use crate::medium::Medium;
use crate::{Error, Result, SegmentId};
use lagdb_format::{Digest, Footer, KvLogView};
use std::ops::Range;

/// A segment that was looked at.
pub(crate) struct Checked {
    pub(crate) n_bytes: u64,
    /// The fingerprint of each of its KV logs.
    pub(crate) fingerprints: Vec<Digest>,
}

/// Tells `fault` of everything that is wrong with a segment, in file order. Where its row is known it must be the segment
/// that was written.
///
/// # Errors
/// [`Error::Corrupt`] and [`Error::Io`] where it cannot be read on.
pub(crate) fn check_segment(
    medium: &dyn Medium,
    id: SegmentId,
    row: Option<&SegmentRow>,
    fault: &mut dyn FnMut(Error),
) -> Result<Checked> {
    let name = file_name(id);
    let file = match row {
        Some(row) => open_file(medium, id, row)?.file,
        None => open_named(medium, id)?,
    };
    let n_bytes = file.len().map_err(|source| Error::io("measure", &name, source))?;
    let read = |range: Range<u64>| read_range(&*file, &name, range.start, range.end.saturating_sub(range.start));
    let in_file = |error| Error::from_format(error, &name);
    let tail = read(n_bytes.saturating_sub(Footer::tail_bytes() as u64)..n_bytes)?;
    let located = Footer::locate(&tail, n_bytes).map_err(in_file)?;
    let footer = Footer::parse(&read(located.range())?, &located, id.as_u64()).map_err(in_file)?;
    let header = read(0..lagdb_format::segment::HEADER_BYTES as u64)?;
    if let Err(error) = located.check_header(&header) {
        fault(in_file(error));
    }
    for row_group in footer.row_groups() {
        match KvLogView::new(row_group, read(row_group.range())?) {
            Ok(view) => view.faults().into_iter().for_each(|error| fault(in_file(error))),
            Err(error) => fault(in_file(error)),
        }
    }
    let fingerprints = footer.row_groups().iter().map(|row_group| row_group.fingerprint().id()).collect();
    Ok(Checked { n_bytes, fingerprints })
}
