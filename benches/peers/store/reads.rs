//! Reading strategies back by id, and opening a store that has many.

use crate::engine::{self, Engine, Reader};
use crate::report::{Row, median, wall};
use crate::synthetic::Random;
use lagdb_peers::BenchResult;

const N_READS: usize = 20_000;
const N_OPENS: usize = 5;
/// A commit, a read and an open are measured at each of these sizes.
const SIZES: [u64; 3] = [1_000, 10_000, 100_000];

/// The cost of reading and opening, by how many memories there are.
pub(crate) fn rows() -> BenchResult<Vec<Row>> {
    let mut rows = Vec::new();
    for n in SIZES {
        let directory = tempfile::tempdir()?;
        let mut engines = engine::open_all(directory.path())?;
        engines.iter().try_for_each(|engine| engine::fill(engine.as_ref(), n))?;
        rows.push(point_reads(&engines, n)?);
        let names: Vec<_> = engines.iter().map(|engine| engine.name()).collect();
        engines.clear();
        let mut times = vec![Vec::new(); names.len()];
        for _ in 0..N_OPENS {
            for (i, (open, times)) in engine::ALL.iter().zip(&mut times).enumerate() {
                let (seconds, read) = wall(|| open(&directory.path().join(i.to_string()))?.reader()?.strategy(n / 2));
                read?;
                times.push(seconds * 1e3);
            }
        }
        let times = times.into_iter().map(median).collect();
        rows.push(row(format!("open to the first read, {n} strategies"), "ms", &names, times, Some(200.0)));
    }
    Ok(rows)
}

fn row(name: String, unit: &'static str, names: &[&'static str], figures: Vec<f64>, goal: Option<f64>) -> Row {
    let mut figures = names.iter().copied().zip(figures);
    let lagdb = figures.next().map_or(f64::NAN, |(_, figure)| figure);
    Row { name, unit, higher_is_better: false, lagdb, peers: figures.collect(), goal }
}

/// The same ids for all, each read in turn by every store.
fn point_reads(engines: &[Box<dyn Engine>], n: u64) -> BenchResult<Row> {
    let mut readers = engines.iter().map(|engine| engine.reader()).collect::<BenchResult<Vec<_>>>()?;
    let mut times = vec![Vec::new(); readers.len()];
    let mut random = Random(7);
    for _ in 0..N_READS {
        let id = (f64::from(random.unit()) * n as f64) as u64;
        for (reader, times) in readers.iter_mut().zip(&mut times) {
            times.push(time_of(reader.as_mut(), id)?);
        }
    }
    let names: Vec<_> = engines.iter().map(|engine| engine.name()).collect();
    let times = times.into_iter().map(median).collect();
    Ok(row(format!("point read of a strategy among {n}, p50"), "us", &names, times, Some(10.0)))
}

fn time_of(reader: &mut dyn Reader, id: u64) -> BenchResult<f64> {
    let (seconds, read) = wall(|| reader.strategy(id));
    read.map(|_| seconds * 1e6)
}
