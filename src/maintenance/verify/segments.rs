//! Every segment, to the last page; every KV log that the catalog names; and the files that nobody names.

use super::{Problem, VerifyReport};
use crate::catalog::row::{KvLogRows, SegmentRow};
use crate::catalog::{CATALOG, Key, Rows, Table, row, value};
use crate::maintenance::{OnProgress, Progress};
use crate::medium::Medium;
use crate::segment::{self, Checked, SEGMENTS, file_name, id_of};
use crate::store::segment_rows;
use crate::{Error, Result, SegmentId};
use lagdb_format::Digest;
use std::collections::BTreeMap;

/// The fingerprint of each row group of each sound segment.
type RowGroups = BTreeMap<u64, Vec<Digest>>;

pub(super) fn check(medium: &dyn Medium, rows: &Rows, report: &mut VerifyReport, progress: &mut OnProgress<'_>) {
    let Some(segments) = report.note(CATALOG, segment_rows(rows)) else { return };
    let mut row_groups = RowGroups::new();
    let total = segments.len() as u64;
    for (done, (id, row)) in segments.iter().enumerate() {
        progress(Progress { stage: "segments", done: done as u64, total });
        if let Some(found) = check_segment(medium, *id, row, report) {
            row_groups.insert(id.as_u64(), found);
        }
    }
    progress(Progress { stage: "segments", done: total, total });
    check_kv_logs(rows, &segments.iter().copied().collect(), &row_groups, report);
    note_orphans(medium, &segments, report);
}

/// Segments of a database whose catalog cannot be read.
pub(super) fn check_alone(medium: &dyn Medium, report: &mut VerifyReport, progress: &mut OnProgress<'_>) {
    let names = medium.list(SEGMENTS).map_err(|source| Error::io("list", SEGMENTS, source));
    let Some(names) = report.note(SEGMENTS, names) else { return };
    for name in names.iter().filter(|name| name.ends_with(".kv")) {
        progress(Progress { stage: "segments", done: report.segments, total: names.len() as u64 });
        let Some(id) = id_of(name) else { continue };
        look_at(medium, id, None, report);
    }
}

/// Fails with the first thing that is wrong with a segment.
pub(in crate::maintenance) fn require_segment(medium: &dyn Medium, id: SegmentId, row: &SegmentRow) -> Result<()> {
    let mut report = VerifyReport::default();
    check_segment(medium, id, row, &mut report);
    match report.problems.into_iter().next() {
        None => Ok(()),
        Some(Problem { file, offset, what }) => Err(Error::Corrupt { file, offset, what }),
    }
}

fn check_segment(
    medium: &dyn Medium,
    id: SegmentId,
    row: &SegmentRow,
    report: &mut VerifyReport,
) -> Option<Vec<Digest>> {
    let found = look_at(medium, id, Some(row), report)?;
    if found.len() != row.n_row_groups as usize {
        report.add(file_name(id), format!("{} row groups; {} were written", found.len(), row.n_row_groups));
    }
    Some(found)
}

fn look_at(
    medium: &dyn Medium,
    id: SegmentId,
    row: Option<&SegmentRow>,
    report: &mut VerifyReport,
) -> Option<Vec<Digest>> {
    let checked = segment::check_segment(medium, id, row, &mut |error| report.add_error(file_name(id), error));
    let Checked { n_bytes, fingerprints } = report.note(file_name(id), checked)?;
    report.segments += 1;
    report.segment_bytes += n_bytes;
    Some(fingerprints)
}

fn check_kv_logs(
    rows: &Rows,
    known: &BTreeMap<SegmentId, SegmentRow>,
    row_groups: &RowGroups,
    report: &mut VerifyReport,
) {
    let scanned = rows.scan_raw(Table::KvLogs, &Key::all(), &mut |key, bytes| {
        let logs = value::open(Table::KvLogs, key, bytes).and_then(|o| row::decode::<KvLogRows>(Table::KvLogs, key, o));
        // A damaged row was reported with the rows.
        for log in logs.unwrap_or_default().logs {
            if !known.contains_key(&SegmentId::from_u64(log.segment)) {
                report.add_error(CATALOG, value::corrupt(Table::KvLogs, key, "names a segment that is not known"));
            }
            let Some(found) = row_groups.get(&log.segment) else { continue };
            let number = log.row_group;
            if found.get(number as usize) != Some(&Digest(log.fingerprint)) {
                let what = format!("row group {number} of segment {} is not the KV log", log.segment);
                report.add_error(CATALOG, value::corrupt(Table::KvLogs, key, what));
            }
        }
        Ok(())
    });
    report.note(CATALOG, scanned);
}

fn note_orphans(medium: &dyn Medium, segments: &[(SegmentId, SegmentRow)], report: &mut VerifyReport) {
    let names = medium.list(SEGMENTS).map_err(|source| Error::io("list", SEGMENTS, source));
    let Some(names) = report.note(SEGMENTS, names) else { return };
    let is_named = |name: &str| id_of(name).is_some_and(|id| segments.iter().any(|(known, _)| *known == id));
    let orphans = names.iter().filter(|name| name.ends_with(".tmp") || !is_named(name));
    report.orphans.extend(orphans.map(|name| format!("{SEGMENTS}/{name}").into()));
}
