//! Bitmaps and counters are derived: they are built again from the rows and compared.
//!
//! A missing id is always wrong. One too many is wrong where a bitmap says what exists; elsewhere it is a deleted
//! record's, and harmless. Those of an older catalog are not looked at: the next open builds them anew.

use super::VerifyReport;
use crate::catalog::row::DerivedRow;
use crate::catalog::{CATALOG, Key, Rows, Table};
use crate::index::bitmaps;
use crate::maintenance::{OnProgress, Progress};
use crate::txn::Derived;
use roaring::RoaringBitmap;
use std::collections::BTreeSet;

pub(super) fn check(rows: &Rows, report: &mut VerifyReport, progress: &mut OnProgress<'_>) {
    progress(Progress { stage: "derived", done: 0, total: 0 });
    match report.note(CATALOG, rows.get_row::<DerivedRow>(Table::Meta, &Key::derived())) {
        Some(Some(row)) if row == DerivedRow::NOW => {}
        _ => return,
    }
    // If the rows themselves are damaged, that was reported.
    let Ok(expected) = Derived::of_records(rows) else {
        return report.add(CATALOG, "bitmaps and counters cannot be checked while rows are damaged");
    };
    let Some(actual) = report.note(CATALOG, Derived::as_stored(rows)) else { return };
    let none = RoaringBitmap::new();
    for key in expected.bitmaps.keys().chain(actual.bitmaps.keys()).collect::<BTreeSet<_>>() {
        let (wanted, found) = (expected.bitmaps.get(key).unwrap_or(&none), actual.bitmaps.get(key).unwrap_or(&none));
        let (missing, extra) = ((wanted - found).len(), (found - wanted).len());
        if missing > 0 || (extra > 0 && bitmaps::is_exact(key)) {
            report.add(CATALOG, format!("bitmap {} lacks {missing} ids and has {extra} too many", Key::of(key)));
        }
    }
    for key in expected.counters.keys().chain(actual.counters.keys()).collect::<BTreeSet<_>>() {
        if expected.counters.get(key) != actual.counters.get(key) {
            report.add(CATALOG, format!("counters {} are not what exposures and judgments say", Key::of(key)));
        }
    }
}
