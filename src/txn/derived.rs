//! All that is derived, made from the records alone: every bitmap and every counter.
//!
//! Transactions keep both up to date one change at a time; verification compares them with this, and a catalog whose
//! bitmaps are damaged, or were made by an older lagdb that knew fewer of them, gets them from here.
//!
//! One thing no record says any more: which task and group a strategy inherited from a trajectory that is gone.
//! Rebuilding keeps those bits.

use super::content;
use super::exposures::write_counters;
use super::records::{lineage, own_fields, table_of};
use crate::catalog::row::DerivedRow;
use crate::catalog::{Key, Rows, ScopeId, Table, row, value};
use crate::index::bitmaps::{self, Field};
use crate::record::stats::{Change, Counters, decisive};
use crate::record::{Exposure, Outcome, Record, RecordKind, Strategy, Trajectory, codec};
use crate::store::Store;
use crate::{Error, Id, Result};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that is derived.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    /// The ids of each bitmap, by key without the number of the chunk.
    pub(crate) bitmaps: BTreeMap<Vec<u8>, RoaringBitmap>,
    /// By the key of the record.
    pub(crate) counters: BTreeMap<Vec<u8>, Counters>,
}

impl Derived {
    /// What the records of all scopes say.
    pub(crate) fn of_records(rows: &Rows) -> Result<Self> {
        let outcomes = outcomes(rows)?;
        let outcome = |scope, id| outcomes.get(&(scope, id)).copied().unwrap_or_default();
        let mut derived = Self::default();
        of_kind::<Trajectory>(rows, &mut |scope, id, trajectory| {
            own_fields(&trajectory).into_iter().for_each(|field| derived.add(scope, field, id));
            derived.add(scope, Field::Content(content::digest(&trajectory)), id);
            derived.add(scope, Field::Outcome(outcome(scope, id)), id);
            Ok(())
        })?;
        of_kind::<Strategy>(rows, &mut |scope, id, strategy| {
            own_fields(&strategy).into_iter().for_each(|field| derived.add(scope, field, id));
            derived.add(scope, Field::Content(content::digest(&strategy)), id);
            for evidence in &strategy.provenance.evidence {
                if let Some(trajectory) = trajectory(rows, scope, evidence.trajectory)? {
                    lineage(&trajectory).for_each(|field| derived.add(scope, field, id));
                    derived.add(scope, Field::Outcome(outcome(scope, evidence.trajectory.as_u64())), id);
                }
            }
            Ok(())
        })?;
        rows.scan_raw(Table::KvLogs, &Key::all(), &mut |key, _| {
            let (scope, id) = record_of(Table::KvLogs, key)?;
            derived.add(scope, Field::KvLog, id);
            Ok(())
        })?;
        rows.scan_raw(Table::Embeddings, &Key::all(), &mut |key, _| {
            let wrong = || value::corrupt(Table::Embeddings, key, "is no key of an embedding");
            let (scope, id, space) = Key::embedding_of(key).ok_or_else(wrong)?;
            derived.add(scope, Field::Embedded(space), id);
            Ok(())
        })?;
        rows.scan(Table::Exposures, &Key::all(), &mut |key, opened| {
            let (scope, id) = record_of(Table::Exposures, key)?;
            let exposures = codec::decode_exposures(opened.schema, opened.payload)
                .map_err(|error| row::undecodable(Table::Exposures, key, error))?;
            derived.add(scope, Field::Exposed, id);
            exposures.iter().for_each(|one| derived.add(scope, Field::ExposedTo(one.offered.number()), id));
            derived.count(scope, &exposures, outcome(scope, id));
            Ok(())
        })?;
        Ok(derived)
    }

    /// What the catalog has.
    pub(crate) fn as_stored(rows: &Rows) -> Result<Self> {
        let mut stored = Self::default();
        rows.scan(Table::Bitmaps, &Key::all(), &mut |key, opened| {
            let field = key.get(..key.len().saturating_sub(2)).unwrap_or_default().to_vec();
            *stored.bitmaps.entry(field).or_default() |= bitmaps::parse(key, opened)?;
            Ok(())
        })?;
        rows.scan(Table::Counters, &Key::all(), &mut |key, opened| {
            let counters = codec::decode_counters(opened.schema, opened.payload);
            let undecodable = |error| row::undecodable(Table::Counters, key, error);
            stored.counters.insert(key.to_vec(), counters.map_err(undecodable)?);
            Ok(())
        })?;
        Ok(stored)
    }

    fn add(&mut self, scope: ScopeId, field: Field<'_>, id: u64) {
        if let Ok(document) = bitmaps::document(id) {
            self.bitmaps.entry(field.key(scope).as_bytes().to_vec()).or_default().insert(document);
        }
    }

    /// Counts what one trajectory says of those that are still there.
    fn count(&mut self, scope: ScopeId, exposures: &[Exposure], outcome: Outcome) {
        for (offered, exposure) in decisive(exposures) {
            let number = offered.number();
            let kinds = [RecordKind::Trajectory, RecordKind::Strategy];
            let is_there = bitmaps::document(number).is_ok_and(|document| {
                kinds.into_iter().any(|kind| self.live(scope, kind).is_some_and(|ids| ids.contains(document)))
            });
            if is_there {
                let key = Key::record(scope, number).as_bytes().to_vec();
                self.counters.entry(key).or_default().count(&exposure, outcome, Change::Add);
            }
        }
    }

    fn live(&self, scope: ScopeId, kind: RecordKind) -> Option<&RoaringBitmap> {
        self.bitmaps.get(Field::Live(kind).key(scope).as_bytes())
    }
}

/// Puts what the records say in place of every bitmap and every counter. The caller commits.
pub(crate) fn rebuild(rows: &Rows) -> Result<()> {
    let mut derived = Derived::of_records(rows)?;
    keep_inherited(rows, &mut derived)?;
    for table in [Table::Bitmaps, Table::Counters] {
        let mut keys = Vec::new();
        rows.scan_raw(table, &Key::all(), &mut |key, _| {
            keys.push(Key::of(key));
            Ok(())
        })?;
        keys.iter().try_for_each(|key| rows.remove(table, key).map(drop))?;
    }
    for (field, ids) in &derived.bitmaps {
        bitmaps::write(rows, &Key::of(field), ids)?;
    }
    for (key, counters) in &derived.counters {
        write_counters(rows, &Key::of(key), counters)?;
    }
    rows.put_row(Table::Meta, &Key::derived(), &DerivedRow::NOW)
}

/// Takes over what strategies inherited from trajectories that are gone, as far as it can be read. Fails when a record is
/// missing: without its bitmaps nobody would miss it any more.
fn keep_inherited(rows: &Rows, derived: &mut Derived) -> Result<()> {
    rows.scan_raw(Table::Bitmaps, &Key::all(), &mut |key, bytes| {
        let field = key.get(..key.len().saturating_sub(2)).unwrap_or_default();
        let Ok(stored) = value::open(Table::Bitmaps, key, bytes).and_then(|opened| bitmaps::parse(key, opened)) else {
            return Ok(());
        };
        if bitmaps::is_live(field) {
            let none = RoaringBitmap::new();
            return match (&stored - derived.bitmaps.get(field).unwrap_or(&none)).min() {
                Some(id) => Err(value::corrupt(Table::Bitmaps, key, format!("the row of record {id} is missing"))),
                None => Ok(()),
            };
        }
        let Some(scope) = Key::u32_at(key, 0).map(ScopeId).filter(|_| bitmaps::is_inherited(field)) else {
            return Ok(());
        };
        let kept = stored & derived.live(scope, RecordKind::Strategy).cloned().unwrap_or_default();
        if !kept.is_empty() {
            *derived.bitmaps.entry(field.to_vec()).or_default() |= kept;
        }
        Ok(())
    })
}

/// Rebuilds what is derived if an older lagdb made it. Nobody else has the store yet.
pub(crate) fn rebuild_if_older(store: &Store) -> Result<()> {
    if !is_older(store)? {
        return Ok(());
    }
    tracing::info!("rebuilding the bitmaps of an older catalog");
    let catalog = store.catalog();
    catalog.add_tables()?;
    let rows = store.begin_staging()?;
    rebuild(&rows)?;
    catalog.commit(&[Arc::new(rows.into_layer())])
}

/// Fails if an older lagdb made what is derived: it cannot be rebuilt where nothing may be written.
pub(crate) fn refuse_older(store: &Store) -> Result<()> {
    if is_older(store)? {
        return Err(Error::invalid("read only", "an older lagdb wrote the catalog; open it once to be written to"));
    }
    Ok(())
}

fn is_older(store: &Store) -> Result<bool> {
    let found: Option<DerivedRow> = store.catalog().begin_read()?.get_row(Table::Meta, &Key::derived())?;
    match found {
        Some(row) if row.version > DerivedRow::NOW.version => {
            let what = format!("version {} of derived data", row.version);
            Err(Error::Unsupported { file: crate::catalog::CATALOG.into(), what })
        }
        found => Ok(found != Some(DerivedRow::NOW)),
    }
}

fn of_kind<R: Record>(rows: &Rows, visit: &mut dyn FnMut(ScopeId, u64, R) -> Result<()>) -> Result<()> {
    let table = table_of(R::KIND);
    rows.scan(table, &Key::all(), &mut |key, opened| {
        let undecodable = |error| row::undecodable(table, key, error);
        let record = R::decode(opened.schema, opened.payload).map_err(undecodable)?;
        let (scope, id) = record_of(table, key)?;
        visit(scope, id, record)
    })
}

fn record_of(table: Table, key: &[u8]) -> Result<(ScopeId, u64)> {
    Key::record_of(key).ok_or_else(|| value::corrupt(table, key, "is no key of a record"))
}

fn trajectory(rows: &Rows, scope: ScopeId, id: Id<Trajectory>) -> Result<Option<Trajectory>> {
    let key = Key::record(scope, id.as_u64());
    rows.get(Table::Trajectories, &key, |opened| {
        Trajectory::decode(opened.schema, opened.payload)
            .map_err(|error| row::undecodable(Table::Trajectories, key.as_bytes(), error))
    })
}

/// The outcome of each judged trajectory; judgments come in the order of their numbers.
fn outcomes(rows: &Rows) -> Result<BTreeMap<(ScopeId, u64), Outcome>> {
    let mut outcomes = BTreeMap::new();
    rows.scan(Table::Judgments, &Key::all(), &mut |key, opened| {
        let judgment = codec::decode_judgment(opened.schema, opened.payload)
            .map_err(|error| row::undecodable(Table::Judgments, key, error))?;
        outcomes.insert(record_of(Table::Judgments, key)?, judgment.outcome);
        Ok(())
    })?;
    Ok(outcomes)
}
