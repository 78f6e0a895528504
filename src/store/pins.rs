//! Which commits are being read, so that the segments they name stay.

use crate::catalog::Rows;
use crate::{CommitId, Result, SegmentId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The commits that snapshots read, and the segments that wait for them to end.
#[derive(Debug, Default)]
pub(super) struct Pins {
    state: Mutex<Pinned>,
}

#[derive(Debug, Default)]
struct Pinned {
    /// Snapshots per commit.
    snapshots: BTreeMap<CommitId, usize>,
    /// The commit that first named a segment; those that are not here were there at the open.
    born: BTreeMap<SegmentId, CommitId>,
    retired: Vec<Retired>,
    /// Segments that nobody reads and whose files the disk did not let go.
    refused: Vec<SegmentId>,
}

/// A segment that the commits from `born` on name, and those from `retired` on do not.
#[derive(Debug)]
struct Retired {
    born: CommitId,
    retired: CommitId,
    segment: SegmentId,
}

/// Keeps the segments of one commit until it is released.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Pins>,
    commit: Option<CommitId>,
}

impl Pins {
    /// Begins to read under the lock, so that no segment can be retired between the read and its pin.
    pub(super) fn pin(
        self: &Arc<Self>,
        begin: impl FnOnce() -> Result<(Rows, CommitId)>,
    ) -> Result<(Rows, CommitId, Pin)> {
        let mut state = self.state();
        let (rows, commit) = begin()?;
        *state.snapshots.entry(commit).or_default() += 1;
        Ok((rows, commit, Pin { pins: self.clone(), commit: Some(commit) }))
    }

    /// Pins a commit that is pinned already, or one that shared its sync with one that is about to be.
    pub(super) fn pin_again(self: &Arc<Self>, commit: CommitId) -> Pin {
        *self.state().snapshots.entry(commit).or_default() += 1;
        Pin { pins: self.clone(), commit: Some(commit) }
    }

    /// Notes that `segments` are named from `commit` on: who reads an earlier one does not keep them.
    pub(super) fn bear(&self, commit: CommitId, segments: impl IntoIterator<Item = SegmentId>) {
        self.state().born.extend(segments.into_iter().map(|segment| (segment, commit)));
    }

    /// Notes that `dead` are not named from `commit` on; which of all such segments can go now, refused ones included.
    pub(super) fn retire(&self, commit: CommitId, dead: Vec<SegmentId>) -> Vec<SegmentId> {
        let mut state = self.state();
        for segment in dead {
            let born = state.born.remove(&segment).unwrap_or(CommitId::from_u64(0)).min(commit);
            state.retired.push(Retired { born, retired: commit, segment });
        }
        let mut free = state.take_free();
        free.append(&mut state.refused);
        free
    }

    /// Notes that the files of these could not be unlinked. Not tried again at the end of every snapshot.
    pub(super) fn refuse(&self, refused: Vec<SegmentId>) {
        self.state().refused.extend(refused);
    }

    /// Segments that snapshots or the disk keep, and no later commit names.
    pub(super) fn waiting(&self) -> Vec<SegmentId> {
        let state = self.state();
        state.retired.iter().map(|it| it.segment).chain(state.refused.iter().copied()).collect()
    }

    fn state(&self) -> MutexGuard<'_, Pinned> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pinned {
    fn take_free(&mut self) -> Vec<SegmentId> {
        let is_free = |it: &Retired| self.snapshots.range(it.born..it.retired).next().is_none();
        let (free, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.retired).into_iter().partition(is_free);
        self.retired = kept;
        free.into_iter().map(|it| it.segment).collect()
    }
}

impl Pin {
    /// Ends the pin; which segments can go now. Once only.
    pub(super) fn release(&mut self) -> Vec<SegmentId> {
        let Some(commit) = self.commit.take() else { return Vec::new() };
        let mut state = self.pins.state();
        if let Some(n) = state.snapshots.get_mut(&commit) {
            *n -= 1;
            if *n == 0 {
                state.snapshots.remove(&commit);
            }
        }
        state.take_free()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // Whoever holds a pin releases it; a lost one must not pin for ever, and its files go with the next that are
        // retired.
        let free = self.release();
        self.pins.refuse(free);
    }
}
