//! Bitmaps are derived: they are built again from the rows and compared.
//!
//! A missing id is always wrong. One too many is wrong where a bitmap says what exists; elsewhere it is a deleted
//! record's, and harmless.

use super::VerifyReport;
use crate::catalog::{CATALOG, Key, Rows, ScopeId, Table};
use crate::index::bitmaps::{self, Field};
use crate::maintenance::{OnProgress, Progress};
use crate::record::{Outcome, Record, Strategy, Trajectory, codec};
use crate::txn::{lineage, own_fields};
use crate::{Id, Result};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// The ids that each bitmap should have, by key without the number of the chunk.
type Expected = BTreeMap<Vec<u8>, RoaringBitmap>;

pub(super) fn check(rows: &Rows, report: &mut VerifyReport, progress: &mut OnProgress<'_>) {
    progress(Progress { stage: "bitmaps", done: 0, total: 0 });
    let expected = match expected(rows) {
        Ok(expected) => expected,
        // The rows themselves are damaged, and were reported.
        Err(_) => return report.add(CATALOG, "bitmaps cannot be checked while rows are damaged"),
    };
    let Some(actual) = report.note(CATALOG, actual(rows)) else { return };
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
    let none = RoaringBitmap::new();
    for key in keys {
        let (wanted, found) = (expected.get(key).unwrap_or(&none), actual.get(key).unwrap_or(&none));
        let (missing, extra) = ((wanted - found).len(), (found - wanted).len());
        if missing > 0 || (extra > 0 && bitmaps::is_exact(key)) {
            report.add(CATALOG, format!("bitmap {} lacks {missing} ids and has {extra} too many", Key::of(key)));
        }
    }
}

fn actual(rows: &Rows) -> Result<Expected> {
    let mut actual = Expected::new();
    rows.scan(Table::Bitmaps, &Key::all(), &mut |key, opened| {
        let field = key.get(..key.len().saturating_sub(2)).unwrap_or_default().to_vec();
        *actual.entry(field).or_default() |= bitmaps::parse(key, opened)?;
        Ok(())
    })?;
    Ok(actual)
}

fn expected(rows: &Rows) -> Result<Expected> {
    let mut expected = Expected::new();
    let outcomes = outcomes(rows)?;
    of_records::<Trajectory>(rows, &mut |scope, id, trajectory| {
        own_fields(&trajectory).into_iter().for_each(|field| add(&mut expected, scope, field, id));
        let outcome = outcomes.get(&(scope, id)).copied().unwrap_or_default();
        add(&mut expected, scope, Field::Outcome(outcome), id);
        Ok(())
    })?;
    of_records::<Strategy>(rows, &mut |scope, id, strategy| {
        own_fields(&strategy).into_iter().for_each(|field| add(&mut expected, scope, field, id));
        for evidence in &strategy.provenance.evidence {
            if let Some(trajectory) = trajectory(rows, scope, evidence.trajectory)? {
                lineage(&trajectory).for_each(|field| add(&mut expected, scope, field, id));
                let outcome = outcomes.get(&(scope, evidence.trajectory.as_u64())).copied().unwrap_or_default();
                add(&mut expected, scope, Field::Outcome(outcome), id);
            }
        }
        Ok(())
    })?;
    for (table, field) in [(Table::Embeddings, Field::Embedded), (Table::KvLogs, Field::KvLog)] {
        rows.scan(table, &Key::all(), &mut |key, _| {
            if let Some((scope, id)) = Key::record_of(key) {
                add(&mut expected, scope, field, id);
            }
            Ok(())
        })?;
    }
    Ok(expected)
}

fn add(expected: &mut Expected, scope: ScopeId, field: Field<'_>, id: u64) {
    if let Ok(document) = bitmaps::document(id) {
        expected.entry(field.key(scope).as_bytes().to_vec()).or_default().insert(document);
    }
}

fn of_records<R: Record>(rows: &Rows, visit: &mut dyn FnMut(ScopeId, u64, R) -> Result<()>) -> Result<()> {
    let table = crate::txn::table_of(R::KIND);
    rows.scan(table, &Key::all(), &mut |key, opened| {
        let undecodable = |error| crate::catalog::row::undecodable(table, key, error);
        let record = R::decode(opened.schema, opened.payload).map_err(undecodable)?;
        match Key::record_of(key) {
            Some((scope, id)) => visit(scope, id, record),
            None => Err(crate::catalog::value::corrupt(table, key, "is no key of a record")),
        }
    })
}

fn trajectory(rows: &Rows, scope: ScopeId, id: Id<Trajectory>) -> Result<Option<Trajectory>> {
    let key = Key::record(scope, id.as_u64());
    rows.get(Table::Trajectories, &key, |opened| {
        Trajectory::decode(opened.schema, opened.payload)
            .map_err(|error| crate::catalog::row::undecodable(Table::Trajectories, key.as_bytes(), error))
    })
}

/// The outcome of each judged trajectory; judgments come in the order of their numbers.
fn outcomes(rows: &Rows) -> Result<BTreeMap<(ScopeId, u64), Outcome>> {
    let mut outcomes = BTreeMap::new();
    rows.scan(Table::Judgments, &Key::all(), &mut |key, opened| {
        let judgment = codec::decode_judgment(opened.schema, opened.payload)
            .map_err(|error| crate::catalog::row::undecodable(Table::Judgments, key, error))?;
        if let Some(record) = Key::record_of(key) {
            outcomes.insert(record, judgment.outcome);
        }
        Ok(())
    })?;
    Ok(outcomes)
}
