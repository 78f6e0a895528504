//! Every row of every table: the checksum, and that the payload decodes.

use super::VerifyReport;
use crate::Result;
use crate::catalog::row::{DerivedRow, EvictedRow, KvLogRows, ScopeRow, SegmentRow, SpaceRow, SpacesRow, State};
use crate::catalog::value::{self, Opened};
use crate::catalog::{CATALOG, Key, Rows, Table, row};
use crate::maintenance::{OnProgress, Progress};
use crate::record::{Record, Strategy, Trajectory, codec};
use crate::store::read_state;

pub(super) fn check(rows: &Rows, report: &mut VerifyReport, progress: &mut OnProgress<'_>) {
    report.note(CATALOG, read_state(rows));
    let derived = rows.get_row::<DerivedRow>(Table::Meta, &Key::derived());
    let is_older = derived.is_ok_and(|row| row != Some(DerivedRow::NOW));
    for table in Table::ALL.into_iter().filter(|table| !is_older || table.is_in_every_catalog()) {
        progress(Progress { stage: "rows", done: report.rows, total: 0 });
        let scanned = rows.scan_raw(table, &Key::all(), &mut |key, bytes| {
            report.rows += 1;
            report.note(CATALOG, value::open(table, key, bytes).and_then(|opened| decode(table, key, opened)));
            Ok(())
        });
        report.note(CATALOG, scanned);
    }
}

fn decode(table: Table, key: &[u8], opened: Opened<'_>) -> Result<()> {
    let undecodable = |error| row::undecodable(table, key, error);
    match table {
        Table::Meta if key == Key::space().as_bytes() => row::decode::<SpaceRow>(table, key, opened).map(drop),
        Table::Meta if key == Key::spaces().as_bytes() => row::decode::<SpacesRow>(table, key, opened).map(drop),
        Table::Meta if key == Key::evicted().as_bytes() => row::decode::<EvictedRow>(table, key, opened).map(drop),
        Table::Meta if key == Key::erasing().as_bytes() => Ok(()),
        Table::Meta if key == Key::derived().as_bytes() => row::decode::<DerivedRow>(table, key, opened).map(drop),
        Table::Meta => row::decode::<State>(table, key, opened).map(drop),
        Table::Scopes => row::decode::<ScopeRow>(table, key, opened).map(drop),
        Table::Segments => row::decode::<SegmentRow>(table, key, opened).map(drop),
        Table::KvLogs => row::decode::<KvLogRows>(table, key, opened).map(drop),
        Table::Exposures => codec::decode_exposures(opened.schema, opened.payload).map(drop).map_err(undecodable),
        Table::Counters => codec::decode_counters(opened.schema, opened.payload).map(drop).map_err(undecodable),
        Table::Bitmaps => crate::index::bitmaps::parse(key, opened).map(drop),
        Table::Embeddings if opened.payload.len().is_multiple_of(4) => Ok(()),
        Table::Embeddings => Err(value::corrupt(table, key, "is not made of f32 numbers")),
        Table::Trajectories => Trajectory::decode(opened.schema, opened.payload).map(drop).map_err(undecodable),
        Table::Strategies => Strategy::decode(opened.schema, opened.payload).map(drop).map_err(undecodable),
        Table::Judgments => codec::decode_judgment(opened.schema, opened.payload).map(drop).map_err(undecodable),
    }
}
