//! Compaction: living KV logs move together, dead ones go, the catalog is written anew.
//!
//! One transaction moves everything: new segments are written and named first, then one commit changes all locations
//! and forgets the old segments, whose files go when the last snapshot that may read them ends. A crash at any moment
//! leaves either state; an error before the commit leaves nothing of the new segments. The catalog is copied into a new file, which takes the name of the old one.

use super::{OnProgress, Progress};
use crate::catalog::row::{KvLogRow, KvLogRows, SegmentRow};
use crate::catalog::{CATALOG, Catalog, Key, Rows, Table, row, value};
use crate::segment::{Located, PendingSegment};
use crate::store::{Store, read_state, segment_rows};
use crate::{CommitId, Database, Error, Result, SegmentId};
use lagdb_format::RowGroupIndex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A segment below this size is merged with others.
const SMALL_BYTES: u64 = 64 << 20;
/// A merged segment ends once it has grown to this.
const FULL_BYTES: u64 = 256 << 20;

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
    /// Frees the bytes of deleted and replaced KV logs, merges small segments and writes the catalog anew.
    ///
    /// Reading goes on meanwhile; writing waits.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when something that is to be moved is damaged: then nothing is moved. [`Error::Io`] when the
    /// disk refuses. [`Error::Invalid`] when this thread has a transaction open, for it would wait for itself.
    pub fn compact(&self, progress: &mut OnProgress<'_>) -> Result<Compaction> {
        let store = self.store();
        store.check_running()?;
        let _turn = store.writer_turn()?;
        store.check_running()?;
        let before = sizes(store)?;
        merge_segments(store, progress)?;
        store.vectors.clear();
        rewrite_catalog(store, progress)?;
        let after = sizes(store)?;
        Ok(Compaction {
            segments_before: before.0,
            bytes_before: before.1,
            segments_after: after.0,
            bytes_after: after.1,
        })
    }
}

/// Number of segments, and bytes of segments and catalog.
fn sizes(store: &Arc<Store>) -> Result<(u64, u64)> {
    let segments = segment_rows(&store.catalog().begin_read()?)?;
    Ok((segments.len() as u64, catalog_bytes(store)? + segments.iter().map(|(_, row)| row.len).sum::<u64>()))
}

fn catalog_bytes(store: &Store) -> Result<u64> {
    store.medium.open(CATALOG).and_then(|file| file.len()).map_err(|source| Error::io("measure", CATALOG, source))
}

/// The rows of one trajectory's KV logs under their key.
type Owned = (Key, KvLogRows);

fn merge_segments(store: &Arc<Store>, progress: &mut OnProgress<'_>) -> Result<()> {
    let rows = store.catalog().begin_write()?;
    let segments: BTreeMap<SegmentId, SegmentRow> = segment_rows(&rows)?.into_iter().collect();
    let owned = kv_logs(&rows)?;
    let moving = worth_moving(&segments, &owned);
    if moving.is_empty() {
        return Ok(());
    }
    let mut mover =
        Mover { store, rows: &rows, numbers: store.next_numbers(&rows)?, pending: None, published: Vec::new() };
    if let Err(error) = mover.move_all(owned, &segments, &moving, progress) {
        // No commit names them, and none will.
        store.segments.unlink(mover.published);
        return Err(error);
    }
    let commit = CommitId::from_u64(mover.numbers.commit);
    rows.commit().inspect_err(|error| store.stop(error))?;
    store.retire(commit, moving.into_iter().collect());
    Ok(())
}

fn kv_logs(rows: &Rows) -> Result<Vec<Owned>> {
    let mut owned = Vec::new();
    rows.scan(Table::KvLogs, &Key::all(), &mut |key, opened| {
        owned.push((Key::of(key), row::decode(Table::KvLogs, key, opened)?));
        Ok(())
    })?;
    Ok(owned)
}

/// Segments with something dead in them, and small ones if there are several.
fn worth_moving(segments: &BTreeMap<SegmentId, SegmentRow>, owned: &[Owned]) -> BTreeSet<SegmentId> {
    let mut living: BTreeMap<u64, u32> = BTreeMap::new();
    for log in owned.iter().flat_map(|(_, logs)| &logs.logs) {
        *living.entry(log.segment).or_default() += 1;
    }
    let n_living = |id: &SegmentId| living.get(&id.as_u64()).copied().unwrap_or(0);
    let mut moving: BTreeSet<_> =
        segments.iter().filter(|(id, row)| n_living(id) < row.n_row_groups).map(|(id, _)| *id).collect();
    let small: Vec<_> = segments.iter().filter(|(_, row)| row.len < SMALL_BYTES).map(|(id, _)| *id).collect();
    if small.len() > 1 {
        moving.extend(small);
    }
    moving
}

/// Writes KV logs into new segments.
struct Mover<'a> {
    store: &'a Arc<Store>,
    rows: &'a Rows,
    numbers: crate::catalog::row::State,
    pending: Option<PendingSegment>,
    /// New segments that have, or may have, their names.
    published: Vec<SegmentId>,
}

impl Mover<'_> {
    /// Moves all that is to be moved and forgets where it was; all but the commit.
    fn move_all(
        &mut self,
        owned: Vec<Owned>,
        segments: &BTreeMap<SegmentId, SegmentRow>,
        moving: &BTreeSet<SegmentId>,
        progress: &mut OnProgress<'_>,
    ) -> Result<()> {
        let total = owned.len() as u64;
        for (done, (key, logs)) in owned.into_iter().enumerate() {
            progress(Progress { stage: "segments", done: done as u64, total });
            self.move_logs(&key, logs, segments, moving)?;
        }
        self.publish()?;
        self.numbers.n_segments = self.numbers.n_segments.saturating_sub(moving.len() as u32);
        for id in moving {
            self.rows.remove(Table::Segments, &Key::segment(*id))?;
        }
        self.rows.put_row(Table::Meta, &Key::state(), &self.numbers)
    }

    fn move_logs(
        &mut self,
        key: &Key,
        mut logs: KvLogRows,
        segments: &BTreeMap<SegmentId, SegmentRow>,
        moving: &BTreeSet<SegmentId>,
    ) -> Result<()> {
        let mut any = false;
        for log in &mut logs.logs {
            let segment = SegmentId::from_u64(log.segment);
            if moving.contains(&segment) {
                let unknown = || value::corrupt(Table::KvLogs, key.as_bytes(), format!("segment {segment} is unknown"));
                self.move_log(log, *segments.get(&segment).ok_or_else(unknown)?)?;
                any = true;
            }
        }
        if any { self.rows.put_row(Table::KvLogs, key, &logs) } else { Ok(()) }
    }

    fn move_log(&mut self, log: &mut KvLogRow, row: SegmentRow) -> Result<()> {
        let (segment, row_group) = (SegmentId::from_u64(log.segment), RowGroupIndex(log.row_group));
        let view = self.store.segments.read(Located { segment, row, row_group })?;
        let mut pending = match self.pending.take() {
            Some(pending) => pending,
            None => self.next_segment()?,
        };
        let pushed = pending.push_view(&view)?;
        log.segment = pending.id().as_u64();
        log.row_group = pushed.row_group.0;
        log.n_bytes = pushed.n_bytes;
        let is_full = pending.written_bytes() >= FULL_BYTES;
        self.pending = Some(pending);
        if is_full { self.publish() } else { Ok(()) }
    }

    fn next_segment(&mut self) -> Result<PendingSegment> {
        let id = SegmentId::from_u64(self.numbers.next_segment);
        self.numbers.next_segment += 1;
        self.store.burn(&self.numbers);
        PendingSegment::create(self.store.medium.clone(), id)
    }

    fn publish(&mut self) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let id = pending.id();
        self.published.push(id);
        let row = pending.publish().inspect_err(|error| self.store.stop_if_unknown(error))?;
        self.numbers.n_segments += 1;
        self.rows.put_row(Table::Segments, &Key::segment(id), &row)
    }
}

/// Copies all rows into a new file and puts it in place of the old one, if that is smaller.
fn rewrite_catalog(store: &Arc<Store>, progress: &mut OnProgress<'_>) -> Result<()> {
    let old = store.catalog().begin_read()?;
    let mut done = 0;
    let copy = |new: &Rows| {
        for table in Table::ALL {
            old.scan_raw(table, &Key::all(), &mut |key, bytes| {
                done += 1;
                value::open(table, key, bytes)?;
                new.put_raw(table, &Key::of(key), bytes)
            })?;
            progress(Progress { stage: "catalog", done, total: 0 });
        }
        read_state(new).map(drop)
    };
    let written = Catalog::write_beside(&*store.medium, copy);
    match written.and_then(|n_bytes| Ok(n_bytes < catalog_bytes(store)?)) {
        Ok(true) => {}
        Ok(false) => return Catalog::forget_beside(&*store.medium),
        Err(error) => {
            // If this fails too, the next open forgets it.
            drop(Catalog::forget_beside(&*store.medium));
            return Err(error);
        }
    }
    let catalog = Catalog::take_place(&*store.medium).inspect_err(|error| store.stop(error))?;
    store.replace_catalog(catalog);
    Ok(())
}
