//! Debt: bytes of KV logs that nothing can read any more and that still take their place, by segment.

use crate::store::{SegmentUse, segment_uses};
use crate::{Database, Result, SegmentId};
use std::collections::BTreeSet;

/// What compaction would give back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// Segments with something dead in them, the most dead bytes first.
    pub segments: Vec<SegmentDebt>,
    /// Bytes of KV logs that can be read, of all segments.
    pub live_bytes: u64,
    /// Bytes of KV logs that were deleted or replaced.
    pub dead_bytes: u64,
}

/// What is dead in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentDebt {
    /// The segment.
    pub segment: SegmentId,
    /// Bytes of its KV logs that can be read: what has to be copied to give the rest back.
    pub live_bytes: u64,
    /// Bytes of its KV logs that were deleted or replaced.
    pub dead_bytes: u64,
}

impl Debt {
    /// Forgets some segments: what is dead in them is not to be had.
    pub(super) fn leave_out(&mut self, segments: &BTreeSet<SegmentId>) {
        for of in self.segments.extract_if(.., |of| segments.contains(&of.segment)) {
            self.live_bytes -= of.live_bytes;
            self.dead_bytes -= of.dead_bytes;
        }
    }
}

impl Database {
    /// What is dead, and where.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a row is damaged.
    pub fn debt(&self) -> Result<Debt> {
        let store = self.store();
        store.check_running()?;
        let (rows, _, mut pin) = store.read()?;
        let uses = segment_uses(&rows);
        drop(rows);
        store.unpin(&mut pin);
        let uses = uses?;
        let of = |(id, of): (&SegmentId, &SegmentUse)| SegmentDebt {
            segment: *id,
            live_bytes: of.living_bytes,
            dead_bytes: of.dead_bytes(),
        };
        let mut segments: Vec<_> = uses.iter().filter(|(_, of)| of.has_dead()).map(of).collect();
        segments.sort_by_key(|debt| (std::cmp::Reverse(debt.dead_bytes), debt.segment));
        Ok(Debt {
            live_bytes: uses.values().map(|of| of.living_bytes).sum(),
            dead_bytes: segments.iter().map(|debt| debt.dead_bytes).sum(),
            segments,
        })
    }
}
