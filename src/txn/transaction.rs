//! The one writer: a snapshot that can be written to, and becomes a commit or never happened.
//!
//! What it writes stays in memory, a layer above the commit that it reads, until it is committed: so redb is not written
//! to while a caller thinks, and to drop a transaction is to forget a layer.

use super::Snapshot;
use super::records::{latest_judgment, lineage, own_fields, table_of};
use crate::catalog::row::{KvLogRow, ScopeRow, State};
use crate::catalog::spaces::{Role, Spaces};
use crate::catalog::{Key, Rows, ScopeId, Table};
use crate::index::bitmaps::{self, Field};
use crate::record::{
    Embedding, EmbeddingSpace, Judgment, Record, Status, Strategy, Trajectory, codec, codec::Versioned,
};
use crate::segment::{FinishedSegment, PendingSegment};
use crate::store::{Store, WriterTurn, find_scope};
use crate::{CommitId, Error, Id, Result};
use lagdb_format::{KvLog, KvRead};
use std::ops::Deref;
use std::sync::Arc;

const EMBEDDING_SCHEMA: u16 = 1;

/// A snapshot that can be written to. It sees its own writes; nobody else does before [`commit`](Self::commit).
///
/// Dropped, it never happened. A call that fails because an argument does not fit changes nothing; after any other
/// failure of a call that writes, the transaction is half done and can only be dropped: further writes and the commit are
/// refused.
///
/// There is one at a time: to begin one is to wait for the one before. The thread that began one is refused another, for
/// it would wait for itself; that goes for the thread that began it also when the transaction was sent elsewhere.
#[must_use = "a transaction that is not committed never happened"]
pub struct Transaction {
    view: Snapshot,
    scope_name: Arc<str>,
    numbers: State,
    /// Where its KV logs go; only the last one is not full.
    segments: Vec<PendingSegment>,
    /// Why a call failed after its first write; such a transaction is never committed.
    half_done: Option<String>,
    /// After the view: redb's transaction ends before the next one may begin.
    _turn: WriterTurn,
}

impl Deref for Transaction {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.view
    }
}

impl Transaction {
    pub(crate) fn begin(store: Arc<Store>, scope_name: Arc<str>) -> Result<Self> {
        store.check_running()?;
        let turn = store.writer_turn()?;
        store.check_running()?;
        let rows = store.begin_staging()?;
        let numbers = store.next_numbers(&rows)?;
        let scope = find_scope(&rows, &scope_name)?;
        let commit = CommitId::from_u64(numbers.commit - 1);
        let now_ms = store.options.clock.now_ms();
        let view = Snapshot { rows, store, scope, commit, now_ms, pin: None, pending: Vec::new() };
        Ok(Self { view, scope_name, numbers, segments: Vec::new(), half_done: None, _turn: turn })
    }

    /// Makes sure that this scope has a record of this content, and returns its id: that of the one that is there
    /// ([`find`](Snapshot::find)), or a new one. So to put twice, after a time-out or in an import, is to put once. A
    /// strategy that was [stale](Status::Stale) has been distilled again to the same words, and is active from now on.
    ///
    /// A strategy is stored with the trust of the least trusted trajectory of its evidence, if that is less than its own.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a field is empty, too long or contradictory, or when a strategy names a trajectory that
    /// this scope does not have.
    pub fn put<R: Record>(&mut self, record: &R) -> Result<Id<R>> {
        record.check()?;
        let lowered = self.believable(record)?;
        let record = lowered.as_ref().unwrap_or(record);
        match self.find(record)? {
            Some(id) => self.revive(record, id),
            None => self.put_new(record),
        }
    }

    /// A stale strategy becomes active when it is put again.
    fn revive<R: Record>(&mut self, record: &R, id: Id<R>) -> Result<Id<R>> {
        let is_active = record.as_strategy().is_some_and(|strategy| strategy.status == Status::Active);
        let strategy = Id::<Strategy>::from_u64(id.as_u64());
        if is_active && self.get(strategy)?.is_some_and(|found| found.status == Status::Stale) {
            self.set_status(strategy, Status::Active)?;
        }
        Ok(id)
    }

    /// Adds a record, also beside one of the same content, and returns its id, which no other record of the database has
    /// or had.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_new<R: Record>(&mut self, record: &R) -> Result<Id<R>> {
        record.check()?;
        self.check_evidence(record)?;
        let lowered = self.believable(record)?;
        let record = lowered.as_ref().unwrap_or(record);
        let (schema, bytes) = archived(record.encode())?;
        self.whole(|tx| tx.write_record(record, schema, &bytes))
    }

    fn write_record<R: Record>(&mut self, record: &R, schema: u16, bytes: &[u8]) -> Result<Id<R>> {
        let scope = self.writable_scope()?;
        let id = self.next_id()?;
        self.rows.put(table_of(R::KIND), &Key::record(scope, id), schema, bytes)?;
        for field in own_fields(record) {
            bitmaps::insert(&self.rows, scope, field, id)?;
        }
        self.file_content(scope, id, record)?;
        self.file_outcomes(scope, id, record)?;
        self.inherit_lineage(scope, record, id)?;
        Ok(Id::from_u64(id))
    }

    /// Adds a judgment; from now on it is the latest.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no such trajectory or the judgment may not be stored.
    pub fn judge(&mut self, id: Id<Trajectory>, judgment: &Judgment) -> Result<()> {
        judgment.check()?;
        let scope = self.scope_of(id)?;
        let latest = latest_judgment(&self.rows, scope, id)?;
        let number = match &latest {
            Some((number, _)) => number.checked_add(1).ok_or_else(|| Error::invalid("judgment", "too many"))?,
            None => 0,
        };
        let before = latest.map(|(_, judgment)| judgment.outcome).unwrap_or_default();
        let (schema, bytes) = archived(codec::encode_judgment(judgment))?;
        self.whole(|tx| {
            tx.rows.put(Table::Judgments, &Key::judgment(scope, id.as_u64(), number), schema, &bytes)?;
            tx.change_outcome(scope, id, before, judgment.outcome)
        })
    }

    /// Makes another embedding space beside the main one, in which records can have an embedding too, and be searched by
    /// it. Once it is known, there is nothing to do. The first space of all is the main one.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there are too many, or embeddings of this space are being [made](crate::Database::reembed)
    /// or removed.
    pub fn add_space(&mut self, space: &EmbeddingSpace) -> Result<()> {
        let mut spaces = Spaces::read(&self.rows)?;
        if spaces.require(space).is_ok() {
            return Ok(());
        }
        if spaces.find(space).is_some() {
            return Err(Error::invalid("embedding space", format!("embeddings in {space} are being made or removed")));
        }
        let role = if spaces.main().is_none() { Role::Main } else { Role::Beside };
        if let (Role::Main, Some(chosen)) = (role, &self.store.options.space) {
            space.require(chosen)?;
        }
        spaces.add(space, role)?;
        self.whole(|tx| spaces.write(&tx.rows))
    }

    /// Gives a record its embedding in a space, once.
    ///
    /// # Errors
    /// [`Error::SpaceMismatch`] naming both when the database has embeddings, but not of this space: another model's, for
    /// example, even where its vectors are as long ([`add_space`](Self::add_space) if that is meant);
    /// [`Error::Invalid`] when there is no such record or it has another embedding in this space already.
    pub fn embed<R: Record>(&mut self, id: Id<R>, embedding: &Embedding) -> Result<()> {
        let scope = self.scope_of(id)?;
        let number = self.space_number(embedding.space())?;
        match self.embedding_in(id, embedding.space())? {
            Some(present) if present == *embedding => return Ok(()),
            Some(_) => return Err(Error::invalid("embedding", format!("record {id} has one already"))),
            None => {}
        }
        self.whole(|tx| {
            let number = match number {
                Some(number) => number,
                None => tx.settle_space(embedding.space())?,
            };
            put_embedding(&tx.rows, scope, id.as_u64(), number, embedding)
        })
    }

    /// Adds the KV log of a trajectory, in place of the one that the same model made before.
    ///
    /// The KV logs of a transaction go into one segment, or into several where they are
    /// [many](crate::Options::segment_bytes). They are written now and count from
    /// the commit on.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no such trajectory, the log is too large or nothing keeps the
    /// [budget](crate::KvStorage::Budget); [`Error::Io`] when the segment
    /// cannot be written: the transaction can then only be dropped.
    pub fn put_kv_log(&mut self, id: Id<Trajectory>, log: &KvLog) -> Result<()> {
        let scope = self.scope_of(id)?;
        let plan = self.store.options.kv_storage.plan(log)?;
        let n_tokens = u32::try_from(log.n_tokens()).map_err(|_| Error::invalid("KV log", "too many tokens"))?;
        let mut rows = self.kv_log_rows(id)?;
        self.check_whole()?;
        let pushed = self.pending_segment().and_then(|segment| Ok((segment.id(), segment.push(log, &plan)?)));
        let (segment, pushed) = match pushed {
            // The log does not fit: nothing of it was written.
            Err(error @ Error::Invalid { .. }) => return Err(error),
            pushed => self.whole(|_| pushed)?,
        };
        let row = KvLogRow {
            fingerprint: log.fingerprint().id().0,
            segment: segment.as_u64(),
            row_group: pushed.row_group.0,
            n_tokens,
            n_bytes: pushed.n_bytes,
        };
        rows.logs.retain(|other| other.fingerprint != row.fingerprint);
        rows.logs.push(row);
        self.whole(|tx| {
            tx.rows.put_row(Table::KvLogs, &Key::record(scope, id.as_u64()), &rows)?;
            bitmaps::insert(&tx.rows, scope, Field::KvLog, id.as_u64())
        })
    }

    /// Removes a record with everything that belongs to it: embedding, judgments, KV logs. Whether there was one.
    ///
    /// Strategies keep the id of a removed trajectory in their evidence. KV logs are out of reach at once; their bytes
    /// go with the next compaction.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the record is damaged.
    pub fn delete<R: Record>(&mut self, id: Id<R>) -> Result<bool> {
        let Some(record) = self.get(id)? else { return Ok(false) };
        let scope = self.scope_of(id)?;
        self.whole(|tx| tx.remove_record(scope, id, &record))?;
        Ok(true)
    }

    pub(super) fn remove_record<R: Record>(&self, scope: ScopeId, id: Id<R>, record: &R) -> Result<()> {
        if record.as_trajectory().is_some() {
            self.forget_exposures(scope, Id::from_u64(id.as_u64()))?;
        }
        let key = Key::record(scope, id.as_u64());
        for field in own_fields(record) {
            bitmaps::remove(&self.rows, scope, field, id.as_u64())?;
        }
        self.forget_content(scope, id.as_u64(), record)?;
        self.rows.remove(table_of(R::KIND), &key)?;
        for known in Spaces::read(&self.rows)?.all() {
            remove_embedding(&self.rows, scope, id.as_u64(), known.number)?;
        }
        self.forget_outcomes(scope, id.as_u64())?;
        self.rows.remove(Table::Counters, &key)?;
        if record.as_trajectory().is_some() {
            self.delete_belongings(scope, Id::from_u64(id.as_u64()))?;
        }
        Ok(())
    }

    /// Makes everything one durable commit. When it returns, a power cut cannot undo it.
    ///
    /// The next transaction may begin while this one waits for the disk. Those that end meanwhile become durable
    /// together, in their order, so that many writers share the cost of a sync.
    ///
    /// # Errors
    /// [`Error::Invalid`] when an earlier call failed half-way: nothing happened. [`Error::Io`] when the disk refuses. If
    /// only the segment could not be written, nothing happened; if the catalog or a sync failed, whether it
    /// happened is not known: the database stops ([`Error::Poisoned`], also for those that shared the sync), and the next
    /// open finds one or the other, whole.
    pub fn commit(mut self) -> Result<CommitId> {
        self.store.check_running()?;
        self.check_whole()?;
        let segments = self.finish_segments()?;
        self.rows.put_row(Table::Meta, &Key::state(), &self.numbers)?;
        let (store, commit) = (self.view.store.clone(), CommitId::from_u64(self.numbers.commit));
        let rows = std::mem::replace(&mut self.view.rows, Rows::ended());
        let ticket = store.stage(rows, !segments.is_empty());
        store.bear(commit, segments.iter().map(FinishedSegment::id));
        // The next writer's turn.
        drop(self);
        store.make_durable(&ticket, &segments).map(|()| commit)
    }

    /// Does `write`, of which all must happen or none: if it fails, the transaction is not committed any more.
    pub(super) fn whole<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_whole()?;
        let written = write(self);
        self.half_done = written.as_ref().err().map(Error::to_string);
        written
    }

    fn check_whole(&self) -> Result<()> {
        match &self.half_done {
            Some(cause) => {
                let detail = format!("an earlier call failed half-way ({cause}); drop it and begin again");
                Err(Error::invalid("transaction", detail))
            }
            None => Ok(()),
        }
    }

    /// Writes what is missing of the segments; if one cannot be written, none is left.
    fn finish_segments(&mut self) -> Result<Vec<FinishedSegment>> {
        let mut finished: Vec<FinishedSegment> = Vec::new();
        for segment in std::mem::take(&mut self.segments) {
            match self.finish_segment(segment) {
                Ok(segment) => finished.push(segment),
                Err(error) => {
                    self.store.unlink(finished.iter().map(FinishedSegment::id));
                    return Err(error);
                }
            }
        }
        Ok(finished)
    }

    fn finish_segment(&mut self, segment: PendingSegment) -> Result<FinishedSegment> {
        let (row, segment) = segment.finish()?;
        self.numbers.n_segments += 1;
        self.rows.put_row(Table::Segments, &Key::segment(segment.id()), &row)?;
        Ok(segment)
    }

    /// The segment that the next KV log goes to.
    fn pending_segment(&mut self) -> Result<&mut PendingSegment> {
        let full_bytes = self.store.options.segment_bytes;
        let segment = match self.segments.pop_if(|last| last.written_bytes() < full_bytes) {
            Some(segment) => segment,
            None => {
                let id = self.store.take_segment()?;
                self.numbers.next_segment = id.as_u64() + 1;
                self.view.pending.push(id);
                let segment = PendingSegment::create(self.store.medium.clone(), id)?;
                if self.store.options.key_summaries { segment.with_key_summaries() } else { segment }
            }
        };
        Ok(self.segments.push_mut(segment))
    }

    fn next_id(&mut self) -> Result<u64> {
        let id = self.numbers.next_id;
        bitmaps::document(id)?;
        self.numbers.next_id += 1;
        self.store.burn(&self.numbers);
        Ok(id)
    }

    /// The scope of an existing record.
    pub(super) fn scope_of<R: Record>(&self, id: Id<R>) -> Result<ScopeId> {
        match self.scope {
            Some(scope) if self.contains(id)? => Ok(scope),
            _ => Err(Error::invalid("id", format!("there is no {} {id} in this scope", R::KIND.as_str()))),
        }
    }

    /// The scope, given a number if this is its first commit.
    fn writable_scope(&mut self) -> Result<ScopeId> {
        if let Some(scope) = self.scope {
            return Ok(scope);
        }
        let scope = ScopeId(self.numbers.next_scope);
        let next = self.numbers.next_scope.checked_add(1).ok_or_else(|| Error::invalid("scope", "too many scopes"))?;
        self.numbers.next_scope = next;
        self.numbers.n_scopes += 1;
        self.store.burn(&self.numbers);
        self.rows.put_row(Table::Scopes, &Key::scope_name(&self.scope_name), &ScopeRow { id: scope.0 })?;
        self.view.scope = Some(scope);
        Ok(scope)
    }

    pub(super) fn check_evidence<R: Record>(&self, record: &R) -> Result<()> {
        let Some(strategy) = record.as_strategy() else { return Ok(()) };
        if let Some(successor) = strategy.superseded_by {
            self.scope_of(successor)?;
        }
        for evidence in &strategy.provenance.evidence {
            self.scope_of(evidence.trajectory)?;
            let n_steps = self.get(evidence.trajectory)?.map_or(0, |trajectory| trajectory.steps.len());
            if evidence.last_step as usize >= n_steps.max(1) {
                let detail = format!("step {} of trajectory {}, of {n_steps}", evidence.last_step, evidence.trajectory);
                return Err(Error::invalid("evidence", detail));
            }
        }
        Ok(())
    }

    /// The record with less trust, if its evidence deserves less than it claims.
    pub(super) fn believable<R: Record>(&self, record: &R) -> Result<Option<R>> {
        let Some(strategy) = record.as_strategy() else { return Ok(None) };
        let mut least = strategy.trust;
        for evidence in &strategy.provenance.evidence {
            least = self.get(evidence.trajectory)?.map_or(least, |trajectory| trajectory.trust.min(least));
        }
        Ok((least < strategy.trust).then(|| record.clone().with_trust(least)))
    }

    pub(super) fn inherit_lineage<R: Record>(&self, scope: ScopeId, record: &R, id: u64) -> Result<()> {
        let Some(strategy) = record.as_strategy() else { return Ok(()) };
        for evidence in &strategy.provenance.evidence {
            let Some(trajectory) = self.get(evidence.trajectory)? else { continue };
            for field in lineage(&trajectory) {
                bitmaps::insert(&self.rows, scope, field, id)?;
            }
        }
        Ok(())
    }

    /// The first embedding decides on the main space of the database; its number.
    fn settle_space(&self, space: &EmbeddingSpace) -> Result<u32> {
        let mut spaces = Spaces::read(&self.rows)?;
        let number = spaces.add(space, Role::Main)?;
        spaces.write(&self.rows)?;
        Ok(number)
    }

    fn delete_belongings(&self, scope: ScopeId, id: Id<Trajectory>) -> Result<()> {
        bitmaps::remove(&self.rows, scope, Field::KvLog, id.as_u64())?;
        let key = Key::record(scope, id.as_u64());
        self.rows.remove(Table::KvLogs, &key)?;
        let mut judgments = Vec::new();
        self.rows.scan_raw(Table::Judgments, &key, &mut |key, _| {
            judgments.push(Key::of(key));
            Ok(())
        })?;
        judgments.iter().try_for_each(|key| self.rows.remove(Table::Judgments, key).map(drop))?;
        self.file_strategies_from(scope, id)
    }
}

/// Writes the embedding of a record in the space of this number.
pub(crate) fn put_embedding(rows: &Rows, scope: ScopeId, id: u64, space: u32, embedding: &Embedding) -> Result<()> {
    let bytes: Vec<u8> = embedding.as_slice().iter().flat_map(|x| x.to_le_bytes()).collect();
    rows.put(Table::Embeddings, &Key::embedding(scope, id, space), EMBEDDING_SCHEMA, &bytes)?;
    bitmaps::insert(rows, scope, Field::Embedded(space), id)
}

/// Removes it, if there is one.
pub(crate) fn remove_embedding(rows: &Rows, scope: ScopeId, id: u64, space: u32) -> Result<()> {
    rows.remove(Table::Embeddings, &Key::embedding(scope, id, space))?;
    bitmaps::remove(rows, scope, Field::Embedded(space), id)
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("scope", &self.scope_name).field("from", &self.view.commit).finish()
    }
}

pub(super) fn archived(versioned: Versioned) -> Result<(u16, rkyv::util::AlignedVec)> {
    let bytes = versioned.bytes.map_err(|detail| Error::invalid("record", detail))?;
    if bytes.len() > crate::record::limits::RECORD_BYTES {
        return Err(Error::invalid("record", format!("{} bytes", bytes.len())));
    }
    Ok((versioned.schema, bytes))
}
