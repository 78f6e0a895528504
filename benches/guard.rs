//! What it costs to ask before every action whether something is known against it: `guard` among a million signatures.
//!
//! The floor is what any store on disk pays at least: one read of a random 4 KiB of the same file, which the operating
//! system has in memory. `--n N` takes another number of signatures.

mod report;

use lagdb::{Database, Scope, Snapshot, Strategy, StrategyKind};
use report::{Row, wall};
use std::fs::File;
use std::os::unix::fs::FileExt;

const N_SIGNATURES: u64 = 1_000_000;
const PER_COMMIT: u64 = 50_000;
const N_LOOK_UPS: u64 = 20_000;

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> BenchResult<()> {
    let n = n_signatures()?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("bench.lagdb");
    let database = Database::open(&path)?;
    let scope = database.scope("bench")?;
    let (seconds, filled) = wall(|| fill(&scope, n));
    filled?;
    let fresh = look_ups(&scope.snapshot()?, n, N_LOOK_UPS / 4)?;
    drop((scope, database));
    // As it is asked: by a process that did not put them.
    let database = Database::open(&path)?;
    let snapshot = database.scope("bench")?.snapshot()?;
    let file = File::open(path.join("catalog.redb"))?;
    let (mut known, mut unknown, mut floor) = (vec![], vec![], vec![]);
    for round in 0..N_LOOK_UPS {
        let which = scattered(round) % n;
        known.push(micros(|| found(&snapshot, &signature(which), 1))?);
        unknown.push(micros(|| found(&snapshot, &format!("nobody.does({which})"), 0))?);
        floor.push(micros(|| read_page(&file, scattered(round)))?);
    }
    let row = |name: &str, of: f64, goal, times: Vec<f64>| Row {
        name: format!("guard among {n} signatures, {name}"),
        unit: "µs",
        higher_is_better: false,
        lagdb: at(times, of),
        peers: vec![("one read of 4 KiB", at(floor.clone(), of))],
        goal,
    };
    report::print(&[
        row("with a lesson, p50", 0.5, None, known.clone()),
        row("with a lesson, p99", 0.99, Some(20.0), known),
        row("with a lesson, by the process that just put them, p99", 0.99, None, fresh),
        row("nothing known, p50", 0.5, None, unknown.clone()),
        row("nothing known, p99", 0.99, Some(20.0), unknown),
        Row {
            name: format!("put of a guardrail, {PER_COMMIT} per commit"),
            unit: "µs",
            higher_is_better: false,
            lagdb: seconds * 1e6 / n as f64,
            peers: Vec::new(),
            goal: None,
        },
        report::memory(),
    ]);
    Ok(())
}

/// Times of looking up what is known.
fn look_ups(snapshot: &Snapshot, n: u64, n_look_ups: u64) -> BenchResult<Vec<f64>> {
    (0..n_look_ups).map(|round| micros(|| found(snapshot, &signature(scattered(!round) % n), 1))).collect()
}

fn n_signatures() -> BenchResult<u64> {
    let mut args = std::env::args().skip_while(|arg| arg != "--n").skip(1);
    Ok(args.next().map_or(Ok(N_SIGNATURES), |n| n.parse())?)
}

fn signature(n: u64) -> String {
    format!("tool_{}.call({n}, *)", n % 97)
}

/// A number that looks random, the same in every run.
fn scattered(n: u64) -> u64 {
    n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17
}

fn fill(scope: &Scope, n: u64) -> BenchResult<()> {
    let mut next = 0;
    while next < n {
        let mut tx = scope.begin()?;
        for i in next..n.min(next + PER_COMMIT) {
            let lesson = Strategy::new("ask first", "before this call", "ask whether it can be undone");
            tx.put(&lesson.kind(StrategyKind::Guardrail).action_signature(signature(i)))?;
        }
        tx.commit()?;
        next += PER_COMMIT;
    }
    Ok(())
}

fn found(snapshot: &Snapshot, signature: &str, n: usize) -> BenchResult<()> {
    assert_eq!(snapshot.guard(signature)?.len(), n, "{signature}");
    Ok(())
}

fn read_page(file: &File, which: u64) -> BenchResult<()> {
    let n_pages = file.metadata()?.len() / 4096;
    file.read_exact_at(&mut [0; 4096], which % n_pages * 4096)?;
    Ok(())
}

fn micros(work: impl FnOnce() -> BenchResult<()>) -> BenchResult<f64> {
    let (seconds, result) = wall(work);
    result.map(|()| seconds * 1e6)
}

/// The time that this share of the look-ups did not exceed.
fn at(mut times: Vec<f64>, share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}
