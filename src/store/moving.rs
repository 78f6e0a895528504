//! Moving what lives out of segments, so that the segments can go: the one way in which bytes of KV logs are freed.
//!
//! Living KV logs are copied into new segments beside whoever writes; only when all is copied and synced is the writer's
//! turn taken, for as long as it takes to change the rows. A log that was deleted or replaced meanwhile is not brought
//! back: its copy is dead from the start. One commit changes all locations and forgets the old segments, whose files go
//! when the last snapshot that may read them ends. A crash at any moment leaves either state.

use super::{Store, Ticket, segment_rows};
use crate::catalog::row::{KvLogRow, KvLogRows, SegmentRow};
use crate::catalog::{Key, Rows, Table, row, value};
use crate::segment::{Located, PendingSegment};
use crate::{CommitId, Result, SegmentId};
use lagdb_format::{Precision, RowGroupIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much of a segment lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentUse {
    pub(crate) row: SegmentRow,
    /// KV logs that can be read.
    pub(crate) n_living: u32,
    /// Their bytes.
    pub(crate) living_bytes: u64,
}

impl SegmentUse {
    /// Bytes of row groups that no row names.
    pub(crate) fn dead_bytes(&self) -> u64 {
        // What is no row group (header, footer, tail) is neither living nor dead.
        let framing = self.row.footer_bytes + lagdb_format::segment::HEADER_BYTES as u64;
        self.row.len.saturating_sub(self.living_bytes + framing)
    }

    /// Whether it has a row group that no row names.
    pub(crate) fn has_dead(&self) -> bool {
        self.n_living < self.row.n_row_groups
    }
}

/// How much of each segment lives.
pub(crate) fn segment_uses(rows: &Rows) -> Result<BTreeMap<SegmentId, SegmentUse>> {
    let unused = |(id, row)| (id, SegmentUse { row, n_living: 0, living_bytes: 0 });
    let mut uses: BTreeMap<_, _> = segment_rows(rows)?.into_iter().map(unused).collect();
    scan_kv_logs(rows, &mut |_, logs| {
        for log in logs.logs {
            if let Some(of) = uses.get_mut(&SegmentId::from_u64(log.segment)) {
                of.n_living += 1;
                of.living_bytes += log.n_bytes;
            }
        }
        Ok(())
    })?;
    Ok(uses)
}

/// Shows the KV logs of each trajectory, with their key.
pub(crate) fn scan_kv_logs(rows: &Rows, visit: &mut dyn FnMut(&Key, KvLogRows) -> Result<()>) -> Result<()> {
    rows.scan(Table::KvLogs, &Key::all(), &mut |key, opened| {
        visit(&Key::of(key), row::decode(Table::KvLogs, key, opened)?)
    })
}

/// Told of the bytes of each KV log that was copied; an error stops the copying, and nothing was moved.
pub(crate) type Pace<'a> = dyn FnMut(u64) -> Result<()> + 'a;

/// Where those wait who move KV logs.
#[derive(Debug, Default)]
pub(super) struct MovingGate {
    one: Mutex<()>,
    n_waiting: AtomicUsize,
}

/// The right to move KV logs. Whoever chooses segments by what is dead in them has it from before the choice: another
/// move may leave dead copies elsewhere.
pub(crate) struct MovingTurn<'a> {
    _one: MutexGuard<'a, ()>,
}

impl Store {
    /// Waits until nobody else moves KV logs. Who has the turn waits for the writer's: the caller does not hold that.
    pub(crate) fn moving_turn(&self) -> MovingTurn<'_> {
        self.moving.n_waiting.fetch_add(1, Ordering::Relaxed);
        let one = self.moving.one.lock().unwrap_or_else(PoisonError::into_inner);
        self.moving.n_waiting.fetch_sub(1, Ordering::Relaxed);
        MovingTurn { _one: one }
    }

    /// Whether somebody waits to move KV logs: who has the turn should not linger.
    pub(crate) fn is_moving_awaited(&self) -> bool {
        self.moving.n_waiting.load(Ordering::Relaxed) > 0
    }

    /// Frees those segments of `victims` that are still there, once what lives in them lies elsewhere; which they are.
    pub(crate) fn move_out(
        &self,
        _turn: &MovingTurn<'_>,
        victims: &BTreeSet<SegmentId>,
        pace: &mut Pace<'_>,
    ) -> Result<BTreeSet<SegmentId>> {
        let (rows, _, mut pin) = self.read()?;
        let found = Victims::find(&rows, victims);
        // Its pages can be used again while the logs are copied; the pin keeps the files.
        drop(rows);
        let mut copies = Copies { store: self, pending: None, segments: Vec::new(), logs: Vec::new() };
        let copied = found.and_then(|found| {
            copies.copy_all(&found, pace)?;
            if !copies.segments.is_empty() {
                self.segments.sync_names()?;
            }
            Ok(found.segments.into_keys().collect::<BTreeSet<_>>())
        });
        self.unpin(&mut pin);
        match copied {
            Ok(found) if found.is_empty() => Ok(found),
            Ok(found) => copies.take_effect(&found).map(|()| found),
            Err(error) => {
                self.stop_if_unknown(&error);
                // No commit names them, and none will.
                self.unlink(copies.ids());
                Err(error)
            }
        }
    }
}

/// The segments that are to go, and what lives in them.
struct Victims {
    segments: BTreeMap<SegmentId, SegmentRow>,
    living: Vec<(Key, KvLogRow)>,
}

impl Victims {
    fn find(rows: &Rows, victims: &BTreeSet<SegmentId>) -> Result<Self> {
        let segments: BTreeMap<_, _> = segment_rows(rows)?.into_iter().filter(|(id, _)| victims.contains(id)).collect();
        let mut living = Vec::new();
        scan_kv_logs(rows, &mut |key, logs| {
            let is_victim = |log: &KvLogRow| segments.contains_key(&SegmentId::from_u64(log.segment));
            living.extend(logs.logs.into_iter().filter(is_victim).map(|log| (key.clone(), log)));
            Ok(())
        })?;
        Ok(Self { segments, living })
    }
}

/// KV logs in new segments, which no row names yet.
struct Copies<'a> {
    store: &'a Store,
    pending: Option<PendingSegment>,
    /// New segments that are whole and synced.
    segments: Vec<(SegmentId, SegmentRow)>,
    logs: Vec<Copy>,
}

/// One KV log: under which key, where it was and where it is.
struct Copy {
    key: Key,
    from: KvLogRow,
    to: KvLogRow,
}

impl Copies<'_> {
    fn copy_all(&mut self, victims: &Victims, pace: &mut Pace<'_>) -> Result<()> {
        for (key, from) in &victims.living {
            let segment = SegmentId::from_u64(from.segment);
            let unknown = || value::corrupt(Table::KvLogs, key.as_bytes(), format!("segment {segment} is unknown"));
            let row = *victims.segments.get(&segment).ok_or_else(unknown)?;
            let to = self.copy(from, row)?;
            pace(to.n_bytes)?;
            self.logs.push(Copy { key: key.clone(), from: *from, to });
        }
        self.finish_segment()
    }

    fn copy(&mut self, from: &KvLogRow, row: SegmentRow) -> Result<KvLogRow> {
        let (segment, row_group) = (SegmentId::from_u64(from.segment), RowGroupIndex(from.row_group));
        let view = self.store.segments.read(Located { segment, row, row_group }, Precision::Exact)?;
        let mut pending = match self.pending.take() {
            Some(pending) => pending,
            None => PendingSegment::create(self.store.medium.clone(), self.store.take_segment()?)?,
        };
        let pushed = pending.push_view(&view)?;
        let (segment, row_group) = (pending.id().as_u64(), pushed.row_group.0);
        let is_full = pending.written_bytes() >= self.store.options.segment_bytes;
        self.pending = Some(pending);
        if is_full {
            self.finish_segment()?;
        }
        Ok(KvLogRow { segment, row_group, n_bytes: pushed.n_bytes, ..*from })
    }

    fn finish_segment(&mut self) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let (row, segment) = pending.finish()?;
        self.segments.push((segment.id(), row));
        segment.sync()
    }

    /// Changes the rows, in one commit.
    fn take_effect(self, victims: &BTreeSet<SegmentId>) -> Result<()> {
        let store = self.store;
        let staged = self.stage(victims);
        let (ticket, commit) = staged.inspect_err(|_| store.unlink(self.ids()))?;
        store.make_durable(&ticket, &[])?;
        store.retire(commit, victims.iter().copied().collect());
        Ok(())
    }

    fn stage(&self, victims: &BTreeSet<SegmentId>) -> Result<(Ticket, CommitId)> {
        let store = self.store;
        let _turn = store.writer_turn()?;
        store.check_running()?;
        let rows = store.begin_staging()?;
        let mut numbers = store.next_numbers(&rows)?;
        for (id, row) in &self.segments {
            rows.put_row(Table::Segments, &Key::segment(*id), row)?;
            numbers.n_segments += 1;
        }
        for id in victims {
            numbers.n_segments -= u32::from(rows.remove(Table::Segments, &Key::segment(*id))?);
        }
        self.logs.iter().try_for_each(|copy| copy.relocate(&rows))?;
        rows.put_row(Table::Meta, &Key::state(), &numbers)?;
        let commit = CommitId::from_u64(numbers.commit);
        let ticket = store.stage(rows, false);
        store.bear(commit, self.ids());
        Ok((ticket, commit))
    }

    fn ids(&self) -> impl Iterator<Item = SegmentId> {
        self.segments.iter().map(|(id, _)| *id)
    }
}

impl Copy {
    /// Names the new place, unless the log was deleted or replaced while it was copied.
    fn relocate(&self, rows: &Rows) -> Result<()> {
        let Some(mut logs) = rows.get_row::<KvLogRows>(Table::KvLogs, &self.key)? else { return Ok(()) };
        match logs.logs.iter_mut().find(|log| **log == self.from) {
            Some(log) => *log = self.to,
            None => return Ok(()),
        }
        rows.put_row(Table::KvLogs, &self.key, &logs)
    }
}
