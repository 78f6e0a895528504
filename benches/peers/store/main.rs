//! The store beside its peers: `cargo bench --manifest-path benches/peers/Cargo.toml --bench store -- --json`.
//!
//! Names of parts on the command line (`-- commit`) run only those. Wall time, medians of rounds in which all take turns,
//! each store in a directory of its own on the same disk.

#[path = "../../report.rs"]
mod report;
#[path = "../../synthetic.rs"]
mod synthetic;

mod commit;
mod curve;
mod engine;
mod fjall_engine;
mod floor;
mod lagdb_engine;
mod lmdb;
mod memories;
mod reads;
mod redb_engine;
mod sqlite;
mod vectors;

use lagdb_peers::BenchResult;
use report::Row;

/// A part of the bench, by the name that selects it.
type Part = (&'static str, fn() -> BenchResult<Vec<Row>>);

const PARTS: [Part; 4] = [
    ("commit", commit::one_writer),
    ("writers", commit::eight_writers),
    ("reads", reads::rows),
    ("curve", curve::rows),
];

fn main() -> BenchResult<()> {
    let mut rows = Vec::new();
    for (_, part) in PARTS.iter().filter(|(name, _)| report::is_wanted(name)) {
        rows.extend(part()?);
    }
    let mut absent = Vec::new();
    if report::is_wanted("vectors") {
        let (more, missing) = vectors::rows()?;
        rows.extend(more);
        absent.extend(missing);
    }
    rows.push(report::memory());
    report::print_with(&rows, &absent);
    Ok(())
}
