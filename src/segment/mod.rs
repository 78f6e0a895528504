//! The segment files: written once, named by the catalog, unlinked when no commit names them any more.
//!
//! **A segment exists if and only if a living commit names it**: the latest one, or one that a snapshot pins. Bytes go
//! to `<id>.kv`; file and directory are synced, and only then may the catalog name the segment. What a crash leaves
//! besides is unlinked at the next open. Ids are never reused, and the catalog keeps the digest of each footer, so that a
//! file that merely has the right name is not taken for the segment.
//!
//! - How is a segment written? [`writing`].
//! - How is a KV log read, and what if the file is not the one that was written? [`set`].
//! - Is every byte what was written? [`checking`].

mod checking;
mod set;
mod writing;

pub(crate) use checking::{Checked, check_segment};
pub(crate) use set::{FOOTER_CACHE_BYTES, Located, SegmentSet};
pub(crate) use writing::{FinishedSegment, PendingSegment};

use crate::SegmentId;

/// Where segments are, relative to the database directory.
pub(crate) const SEGMENTS: &str = "segments";

/// A segment's file.
pub(crate) fn file_name(id: SegmentId) -> String {
    format!("{SEGMENTS}/{id}.kv")
}

/// The segment that a file in [`SEGMENTS`] belongs to, if its name is that of a segment. (Files that were being written
/// once ended with `.tmp`.)
pub(crate) fn id_of(name: &str) -> Option<SegmentId> {
    name.strip_suffix(".kv").or_else(|| name.strip_suffix(".tmp"))?.parse().ok().map(SegmentId::from_u64)
}
