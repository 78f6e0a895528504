//! Compaction: living KV logs move together, dead ones go, the catalog is written anew.
//!
//! An error before the last step of either leaves everything as it was.

use super::reembed::remove_dropped;
use super::{OnProgress, Progress};
use crate::store::{Anew, SegmentUse, Store, segment_uses};
use crate::{Database, Result, SegmentId};
use std::collections::{BTreeMap, BTreeSet};

/// A segment below this size, and below half of a full one, is merged with others.
const SMALL_BYTES: u64 = 64 << 20;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Segments before.
    pub segments_before: u64,
    /// Segments after.
    pub segments_after: u64,
    /// Bytes of catalog and segments before.
    pub bytes_before: u64,
    /// Bytes of catalog and segments after, once no snapshot from before is left.
    pub bytes_after: u64,
}

impl Database {
    /// Frees the bytes of deleted and replaced KV logs, merges small segments and writes the catalog anew. Ends the removal
    /// of an embedding space that was interrupted.
    ///
    /// Reading goes on meanwhile, and so does writing, but while the catalog is copied.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when something that is to be moved is damaged: then nothing is moved.
    /// [`Error::Io`](crate::Error::Io) when the disk refuses. [`Error::Invalid`](crate::Error::Invalid) when this thread
    /// has a transaction open, for it would wait for itself.
    pub fn compact(&self, progress: &mut OnProgress<'_>) -> Result<Compaction> {
        let store = self.store();
        store.check_running()?;
        // Refused before anything is copied.
        drop(store.writer_turn()?);
        // What a crash left of an embedding space.
        remove_dropped(store, &mut |done| progress(Progress { stage: "embeddings", done, total: 0 }))?;
        let turn = store.moving_turn();
        let before = uses(store)?;
        let bytes_before = all_bytes(store, &before)?;
        let moving = worth_moving(&before, SMALL_BYTES.min(store.options.segment_bytes / 2));
        if !moving.is_empty() {
            let total = living_bytes(&before, &moving);
            let mut done = 0;
            progress(Progress { stage: "segments", done, total });
            store.move_out(&turn, &moving, &mut |n_bytes| {
                done += n_bytes;
                progress(Progress { stage: "segments", done, total });
                Ok(())
            })?;
        }
        drop(turn);
        store.vectors.forget();
        store.rewrite_catalog(Anew::ToShrink, &mut |done| progress(Progress { stage: "catalog", done, total: 0 }))?;
        let after = uses(store)?;
        Ok(Compaction {
            segments_before: before.len() as u64,
            segments_after: after.len() as u64,
            bytes_before,
            bytes_after: all_bytes(store, &after)?,
        })
    }
}

type Uses = BTreeMap<SegmentId, SegmentUse>;

fn uses(store: &Store) -> Result<Uses> {
    let (rows, _, mut pin) = store.read()?;
    let uses = segment_uses(&rows);
    drop(rows);
    store.unpin(&mut pin);
    uses
}

fn all_bytes(store: &Store, uses: &Uses) -> Result<u64> {
    Ok(store.catalog_bytes()? + uses.values().map(|of| of.row.len).sum::<u64>())
}

fn living_bytes(uses: &Uses, moving: &BTreeSet<SegmentId>) -> u64 {
    uses.iter().filter(|(id, _)| moving.contains(id)).map(|(_, of)| of.living_bytes).sum()
}

/// Segments with something dead in them, and small ones if there are several.
fn worth_moving(uses: &Uses, small_bytes: u64) -> BTreeSet<SegmentId> {
    let mut moving: BTreeSet<_> = uses.iter().filter(|(_, of)| of.has_dead()).map(|(id, _)| *id).collect();
    let small: Vec<_> = uses.iter().filter(|(_, of)| of.row.len < small_bytes).map(|(id, _)| *id).collect();
    if small.len() > 1 {
        moving.extend(small);
    }
    moving
}
