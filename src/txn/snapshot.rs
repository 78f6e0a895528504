//! One commit of one scope, pinned: whatever is committed later, it answers the same.

use super::records::{latest_judgment, table_of};
use crate::catalog::row::{KvLogRow, KvLogRows, SegmentRow};
use crate::catalog::spaces::{KnownSpace, Role, Spaces};
use crate::catalog::{Key, Rows, ScopeId, Table, row, value};
use crate::index::bitmaps::{self, Field};
use crate::record::{Embedding, EmbeddingSpace, Judgment, Outcome, Record, Strategy, Trajectory, codec};
use crate::segment::Located;
use crate::store::{Pin, Store};
use crate::{CommitId, Error, Id, Result, SegmentId};
use lagdb_format::{Digest, KvLogView, ModelFingerprint, Precision, RowGroupIndex};
use std::sync::Arc;

/// What a scope holds at one commit. Never blocks, never changes; old segments stay while it lives.
pub struct Snapshot {
    /// Before `store`: redb's transaction ends before redb does.
    pub(crate) rows: Rows,
    pub(crate) store: Arc<Store>,
    /// `None` while the scope has no commit.
    pub(crate) scope: Option<ScopeId>,
    pub(crate) commit: CommitId,
    /// When it was taken.
    pub(crate) now_ms: u64,
    pub(crate) pin: Option<Pin>,
    /// The segment being written, where this is part of a transaction.
    pub(crate) pending: Vec<SegmentId>,
}

/// A KV log, without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLogInfo {
    /// Id of the fingerprint of the model that made it.
    pub fingerprint_id: Digest,
    /// Tokens.
    pub n_tokens: u32,
    /// Bytes on disk.
    pub n_bytes: u64,
    /// The segment it lies in.
    pub segment: SegmentId,
}

impl Snapshot {
    /// What `scope` holds at a pinned commit.
    pub(crate) fn pinned(
        rows: Rows,
        store: Arc<Store>,
        scope: Option<ScopeId>,
        (commit, pin): (CommitId, Pin),
    ) -> Self {
        let now_ms = store.options.clock.now_ms();
        Self { rows, store, scope, commit, now_ms, pin: Some(pin), pending: Vec::new() }
    }

    /// The commit that is read; inside a transaction the one it began from.
    pub fn commit_id(&self) -> CommitId {
        self.commit
    }

    /// What time it is for this snapshot, in ms since 1970: when it was taken, by the [clock](crate::Options::clock) of
    /// the database. Searches and guards find nothing that is over by then; what is asked for by its id is still there.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The same snapshot at another time.
    #[must_use]
    pub fn at_ms(mut self, now_ms: u64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// The record `id`, if this scope has it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when its row is damaged.
    pub fn get<R: Record>(&self, id: Id<R>) -> Result<Option<R>> {
        let Some(scope) = self.scope else { return Ok(None) };
        let (table, key) = (table_of(R::KIND), Key::record(scope, id.as_u64()));
        let found = self.rows.get(table, &key, |opened| {
            R::decode(opened.schema, opened.payload).map_err(|error| row::undecodable(table, key.as_bytes(), error))
        })?;
        if found.is_none() && self.contains(id)? {
            return Err(value::corrupt(table, key.as_bytes(), "the row is missing"));
        }
        Ok(found)
    }

    /// Whether this scope has the record `id`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the row that says so is damaged.
    pub fn contains<R: Record>(&self, id: Id<R>) -> Result<bool> {
        match self.scope {
            Some(scope) if id.as_u64() <= u64::from(u32::MAX) => {
                bitmaps::contains(&self.rows, scope, Field::Live(R::KIND), id.as_u64())
            }
            _ => Ok(false),
        }
    }

    /// The ids of all records of a type, ascending.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a row that says so is damaged.
    pub fn ids<R: Record>(&self) -> Result<Vec<Id<R>>> {
        let Some(scope) = self.scope else { return Ok(Vec::new()) };
        let live = bitmaps::load(&self.rows, scope, Field::Live(R::KIND))?;
        Ok(live.into_iter().map(|id| Id::from_u64(u64::from(id))).collect())
    }

    /// How many records of a type there are.
    ///
    /// # Errors
    /// As [`ids`](Self::ids).
    pub fn len<R: Record>(&self) -> Result<u64> {
        let Some(scope) = self.scope else { return Ok(0) };
        Ok(bitmaps::load(&self.rows, scope, Field::Live(R::KIND))?.len())
    }

    /// Whether there are no records of a type.
    ///
    /// # Errors
    /// As [`ids`](Self::ids).
    pub fn is_empty<R: Record>(&self) -> Result<bool> {
        Ok(self.len::<R>()? == 0)
    }

    /// The outcome of the latest judgment; unknown when there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the judgment is damaged.
    pub fn outcome(&self, id: Id<Trajectory>) -> Result<Outcome> {
        let Some(scope) = self.scope else { return Ok(Outcome::Unknown) };
        let outcome = latest_judgment(&self.rows, scope, id)?.map(|(_, judgment)| judgment.outcome).unwrap_or_default();
        if self.contains(id)? && !bitmaps::contains(&self.rows, scope, Field::Outcome(outcome), id.as_u64())? {
            let key = Key::record(scope, id.as_u64());
            return Err(value::corrupt(Table::Judgments, key.as_bytes(), "rows and bitmaps say different outcomes"));
        }
        Ok(outcome)
    }

    /// All judgments of a trajectory, oldest first.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when one is damaged.
    pub fn judgments(&self, id: Id<Trajectory>) -> Result<Vec<Judgment>> {
        let Some(scope) = self.scope else { return Ok(Vec::new()) };
        let mut judgments = Vec::new();
        self.rows.scan(Table::Judgments, &Key::record(scope, id.as_u64()), &mut |key, opened| {
            let judgment = codec::decode_judgment(opened.schema, opened.payload);
            judgments.push(judgment.map_err(|error| row::undecodable(Table::Judgments, key, error))?);
            if Key::u32_at(key, 12) != Some(judgments.len() as u32 - 1) {
                return Err(value::corrupt(Table::Judgments, key, "a judgment before it is missing"));
            }
            Ok(())
        })?;
        Ok(judgments)
    }

    /// The strategies that were distilled from a trajectory, among others.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a row that says so is damaged.
    pub fn strategies_from(&self, id: Id<Trajectory>) -> Result<Vec<Id<Strategy>>> {
        let Some(scope) = self.scope else { return Ok(Vec::new()) };
        let live = bitmaps::load(&self.rows, scope, Field::Live(crate::RecordKind::Strategy))?;
        let from = bitmaps::load(&self.rows, scope, Field::Evidence(id))? & live;
        Ok(from.into_iter().map(|id| Id::from_u64(u64::from(id))).collect())
    }

    /// The main embedding space of the database, once it has one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the row is damaged.
    pub fn space(&self) -> Result<Option<EmbeddingSpace>> {
        match Spaces::read(&self.rows)?.main() {
            Some(main) => Ok(Some(main.space.clone())),
            None => Ok(self.store.options.space.clone()),
        }
    }

    /// The embedding spaces that can be searched, the main one first.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the row is damaged.
    pub fn spaces(&self) -> Result<Vec<EmbeddingSpace>> {
        Ok(Spaces::read(&self.rows)?.searchable().map(|known| known.space.clone()).collect())
    }

    /// The number of a space that can be searched; `None` while nothing has an embedding.
    pub(crate) fn space_number(&self, space: &EmbeddingSpace) -> Result<Option<u32>> {
        let spaces = Spaces::read(&self.rows)?;
        if spaces.all().is_empty() {
            self.store.options.space.as_ref().map_or(Ok(()), |chosen| space.require(chosen))?;
            return Ok(None);
        }
        spaces.require(space).map(Some)
    }

    /// The embedding of a record in the main space, if it has one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the row is damaged.
    pub fn embedding<R: Record>(&self, id: Id<R>) -> Result<Option<Embedding>> {
        match Spaces::read(&self.rows)?.main() {
            Some(main) => self.embedding_of(id, main),
            None => Ok(None),
        }
    }

    /// The embedding of a record in `space`, if it has one.
    ///
    /// # Errors
    /// [`Error::SpaceMismatch`] when the database does not have this space; [`Error::Corrupt`] when the row is damaged.
    pub fn embedding_in<R: Record>(&self, id: Id<R>, space: &EmbeddingSpace) -> Result<Option<Embedding>> {
        let Some(number) = self.space_number(space)? else { return Ok(None) };
        self.embedding_of(id, &KnownSpace { number, space: space.clone(), role: Role::Beside })
    }

    pub(crate) fn embedding_of<R: Record>(&self, id: Id<R>, known: &KnownSpace) -> Result<Option<Embedding>> {
        let Some(scope) = self.scope else { return Ok(None) };
        if !self.contains(id)? {
            return Ok(None);
        }
        let (space, key) = (&known.space, Key::embedding(scope, id.as_u64(), known.number));
        self.rows.get(Table::Embeddings, &key, |opened| {
            if opened.payload.len() != space.dim() * 4 {
                return Err(value::corrupt(Table::Embeddings, key.as_bytes(), "has another length than its space"));
            }
            let numbers = opened.payload.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            Ok(Embedding::from_stored(space, numbers.collect()))
        })
    }

    /// The KV logs of a trajectory, one per model.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the row is damaged or missing.
    pub fn kv_logs(&self, id: Id<Trajectory>) -> Result<Vec<KvLogInfo>> {
        let info = |log: KvLogRow| KvLogInfo {
            fingerprint_id: Digest(log.fingerprint),
            n_tokens: log.n_tokens,
            n_bytes: log.n_bytes,
            segment: SegmentId::from_u64(log.segment),
        };
        Ok(self.kv_log_rows(id)?.logs.into_iter().map(info).collect())
    }

    /// The KV log of a trajectory that `model` can attend to, if there is one.
    ///
    /// All of its bytes are read and the checksum of every page is checked here, where the file is known: a view does not
    /// know it. Pages are decoded as they are read from the view; [`KvLogView::to_log`] reads all.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the file, and the byte of the page that is damaged, when the file is missing, is not the
    /// one that was written, or is damaged;
    /// [`Error::Invalid`] for a log put in this very transaction, which can be read once it is committed.
    pub fn kv_log(&self, id: Id<Trajectory>, model: &ModelFingerprint) -> Result<Option<KvLogView<'static>>> {
        self.kv_log_at(id, model, Precision::Exact)
    }

    /// As [`kv_log`](Self::kv_log), with less precision of a log that was written
    /// [in levels](crate::KvStorage::Layered): the levels above it are not read from the file. Any other log is as it is.
    ///
    /// # Errors
    /// As [`kv_log`](Self::kv_log).
    pub fn kv_log_at(
        &self,
        id: Id<Trajectory>,
        model: &ModelFingerprint,
        precision: Precision,
    ) -> Result<Option<KvLogView<'static>>> {
        let fingerprint = model.id().0;
        let rows = self.kv_log_rows(id)?;
        match rows.logs.iter().find(|log| log.fingerprint == fingerprint) {
            Some(log) => self.read_kv_log(log, precision).map(Some),
            None => Ok(None),
        }
    }

    /// Why [`kv_log`](Self::kv_log) finds nothing where there is a log: the field in which the model that made it
    /// differs from `model`. `None` when `model` has a log here, or nobody has.
    ///
    /// # Errors
    /// As [`kv_log`](Self::kv_log).
    pub fn kv_log_mismatch(&self, id: Id<Trajectory>, model: &ModelFingerprint) -> Result<Option<&'static str>> {
        let mut mismatch = None;
        for log in &self.kv_log_rows(id)?.logs {
            match self.store.segments.fingerprint(self.located(log)?)?.mismatch(model) {
                None => return Ok(None),
                field => mismatch = field,
            }
        }
        Ok(mismatch)
    }

    pub(crate) fn read_kv_log(&self, log: &KvLogRow, precision: Precision) -> Result<KvLogView<'static>> {
        let located = self.located(log)?;
        let view = self.store.segments.read(located, precision)?;
        if lagdb_format::KvRead::fingerprint(&view).id().0 != log.fingerprint {
            let what = "the row group is of another model than the catalog says".to_owned();
            return Err(Error::Corrupt { file: crate::segment::file_name(located.segment).into(), offset: None, what });
        }
        Ok(view)
    }

    fn located(&self, log: &KvLogRow) -> Result<Located> {
        let segment = SegmentId::from_u64(log.segment);
        if self.pending.contains(&segment) {
            return Err(Error::invalid("KV log", "was put in this transaction; commit before reading it"));
        }
        Ok(Located { segment, row: self.segment_row(segment)?, row_group: RowGroupIndex(log.row_group) })
    }

    pub(crate) fn segment_row(&self, segment: SegmentId) -> Result<SegmentRow> {
        let key = Key::segment(segment);
        let missing = || value::corrupt(Table::Segments, key.as_bytes(), "the row is missing");
        self.rows.get_row(Table::Segments, &key)?.ok_or_else(missing)
    }

    pub(crate) fn kv_log_rows(&self, id: Id<Trajectory>) -> Result<KvLogRows> {
        let Some(scope) = self.scope else { return Ok(KvLogRows::default()) };
        let key = Key::record(scope, id.as_u64());
        if let Some(found) = self.rows.get_row(Table::KvLogs, &key)? {
            return Ok(found);
        }
        if self.contains(id)? && bitmaps::contains(&self.rows, scope, Field::KvLog, id.as_u64())? {
            return Err(value::corrupt(Table::KvLogs, key.as_bytes(), "the row is missing"));
        }
        Ok(KvLogRows::default())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(mut pin) = self.pin.take() {
            self.store.unpin(&mut pin);
        }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("scope", &self.scope).field("commit", &self.commit).finish_non_exhaustive()
    }
}
