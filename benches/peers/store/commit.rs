//! A durable commit of a trajectory, a strategy and a vector; then many at once.

use crate::engine::{self, Engine, Writer};
use crate::floor::{CountingMedium, Floor};
use crate::memories::Memory;
use crate::report::{Row, median, wall};
use lagdb_peers::BenchResult;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

const N_COMMITS: u64 = 400;
/// Commits before the clock counts: files grow, pages are faulted in.
const N_WARM_UP: u64 = 20;
const N_WRITERS: u64 = 8;
const COMMITS_A_WRITER: u64 = 100;
const ROUNDS: usize = 3;

/// A time above a share of others: 0.5 is the median.
fn quantile(times: &[f64], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((share * (sorted.len() - 1) as f64) as usize).copied().unwrap_or(f64::NAN)
}

/// Syncs of one of lagdb's commits, once the first few are over.
fn syncs_per_commit() -> BenchResult<usize> {
    let directory = tempfile::tempdir()?;
    let (medium, syncs) = CountingMedium::new(directory.path());
    let engine = crate::lagdb_engine::open_on(medium)?;
    let mut writer = engine.writer()?;
    let mut counts = Vec::new();
    for i in 0..N_WARM_UP + 11 {
        let before = syncs.count();
        writer.commit(i, &[Memory::number(i)])?;
        counts.push(syncs.count() - before);
    }
    let counts = counts.into_iter().skip(N_WARM_UP as usize).map(|n| n as f64).collect();
    Ok(median(counts) as usize)
}

/// One writer, every store in turn.
pub(crate) fn one_writer() -> BenchResult<Vec<Row>> {
    let directory = tempfile::tempdir()?;
    let n_syncs = syncs_per_commit()?;
    let engines = engine::open_all(directory.path())?;
    let mut floor = Floor::new(&directory.path().join("floor"), n_syncs)?;
    let mut writers = engines.iter().map(|engine| engine.writer()).collect::<BenchResult<Vec<_>>>()?;
    let mut times = vec![Vec::new(); writers.len()];
    let mut floor_times = Vec::new();
    for i in 0..N_WARM_UP + N_COMMITS {
        let memories = [Memory::number(i)];
        for (writer, times) in writers.iter_mut().zip(&mut times) {
            times.push(time_of(writer.as_mut(), i, &memories)?);
        }
        floor_times.push(time_of(&mut floor, i, &memories)?);
    }
    let warm = |times: &[f64]| times.get(N_WARM_UP as usize..).unwrap_or_default().to_vec();
    let times: Vec<Vec<f64>> = times.iter().map(|times| warm(times)).collect();
    let floor = warm(&floor_times);
    let row = |what: &str, share: f64, goal| {
        let mut figures =
            engines.iter().map(|engine| engine.name()).zip(times.iter().map(|times| quantile(times, share)));
        let lagdb = figures.next().map_or(f64::NAN, |(_, figure)| figure);
        let floor = ("bare fsyncs", quantile(&floor, share));
        Row {
            name: format!("durable commit of trajectory, strategy and vector ({n_syncs} syncs), {what}"),
            unit: "ms",
            higher_is_better: false,
            lagdb,
            peers: figures.chain([floor]).collect(),
            goal,
        }
    };
    Ok(vec![row("p50", 0.5, Some(1.3 * quantile(&floor, 0.5))), row("p99", 0.99, None)])
}

fn time_of(writer: &mut dyn Writer, first: u64, memories: &[Memory]) -> BenchResult<f64> {
    let (seconds, committed) = wall(|| writer.commit(first, memories));
    committed.map(|()| seconds * 1e3)
}

/// Eight writers at once against one, commits per second.
pub(crate) fn eight_writers() -> BenchResult<Vec<Row>> {
    let directory = tempfile::tempdir()?;
    let engines = engine::open_all(directory.path())?;
    let next: Vec<AtomicU64> = engines.iter().map(|_| AtomicU64::new(0)).collect();
    let (mut one, mut eight) = (vec![Vec::new(); engines.len()], vec![Vec::new(); engines.len()]);
    for _ in 0..ROUNDS {
        for (i, engine) in engines.iter().enumerate() {
            one[i].push(rate(engine.as_ref(), 1, &next[i])?);
            eight[i].push(rate(engine.as_ref(), N_WRITERS, &next[i])?);
        }
    }
    let (one, eight): (Vec<f64>, Vec<f64>) = one.into_iter().map(median).zip(eight.into_iter().map(median)).unzip();
    let row = |name: &str, unit, figures: Vec<f64>, goal| {
        let mut figures = engines.iter().map(|engine| engine.name()).zip(figures);
        let lagdb = figures.next().map_or(f64::NAN, |(_, figure)| figure);
        Row { name: name.to_owned(), unit, higher_is_better: true, lagdb, peers: figures.collect(), goal }
    };
    let gain = one.iter().zip(&eight).map(|(one, eight)| eight / one).collect();
    Ok(vec![
        row("durable commits by eight writers", "1/s", eight, None),
        row("eight writers, times the rate of one", "x", gain, Some(5.0)),
    ])
}

fn rate(engine: &dyn Engine, n_writers: u64, next: &AtomicU64) -> BenchResult<f64> {
    let start = Barrier::new(n_writers as usize);
    let work = || -> Result<(), String> {
        let mut writer = engine.writer().map_err(|it| it.to_string())?;
        start.wait();
        for _ in 0..COMMITS_A_WRITER {
            let i = next.fetch_add(1, Ordering::Relaxed);
            writer.commit(i, &[Memory::number(i)]).map_err(|it| it.to_string())?;
        }
        Ok(())
    };
    let (seconds, done) = wall(|| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..n_writers).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Err("a writer panicked".to_owned())))
        })
    });
    done?;
    Ok((n_writers * COMMITS_A_WRITER) as f64 / seconds)
}
