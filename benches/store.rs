//! What a durable commit costs beside the bare syncs it needs, alone and with eight writers; point reads, opening and
//! compaction as the database grows.
//!
//! The floor of a commit is what any store pays: the same number of writes, each synced, on the same file system in the
//! same run. `--curve N` sets how far the cost curves go (default 10,000; the goal for opening is set at 1,000,000).

mod report;
mod synthetic;

use lagdb::format::{ElementType, KvGeometry, KvLog};
use lagdb::{
    Database, Embedding, EmbeddingSpace, Evidence, Id, Judgment, LexicalEmbedder, Outcome, Polarity, Provenance, Query,
    Scope, Strategy, Trajectory,
};
use report::{Row, cpu, median, wall};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use synthetic::Random;

const N_COMMITS: usize = 200;
/// Numbers per vector in the commits that are measured.
const DIM: usize = 384;
/// How long eight writers write.
const WRITING: Duration = Duration::from_secs(3);
/// The demo model: a log of 7 tokens is 7 KiB as f16.
const DEMO: KvGeometry = KvGeometry { n_layers: 4, n_kv_heads: 2, head_dim: 32 };

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> BenchResult<()> {
    let directory = tempfile::tempdir()?;
    let mut rows = commits(directory.path())?;
    rows.extend(writers(directory.path())?);
    rows.extend(tasks(directory.path())?);
    let last = curve_end();
    let mut n = 1_000;
    while n <= last {
        rows.extend(at_size(directory.path(), n)?);
        n *= 10;
    }
    rows.push(report::memory());
    report::print(&rows);
    Ok(())
}

/// What follows `--curve`.
fn curve_end() -> usize {
    let mut args = std::env::args().skip_while(|arg| arg != "--curve").skip(1);
    args.next().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}

fn row(name: impl Into<String>, unit: &'static str, lagdb: f64) -> Row {
    Row { name: name.into(), unit, higher_is_better: false, lagdb, peers: Vec::new(), goal: None }
}

fn time_of(work: impl FnOnce() -> BenchResult<()>) -> BenchResult<f64> {
    let (seconds, result) = wall(work);
    result.map(|()| seconds)
}

/// Writes and syncs, as many as a commit makes.
struct Floor(File);

impl Floor {
    fn new(directory: &Path) -> BenchResult<Self> {
        let file = File::create(directory.join("floor"))?;
        file.set_len(1 << 20)?;
        file.sync_all()?;
        Ok(Self(file))
    }

    fn sync(&self, times: usize) -> BenchResult<()> {
        for i in 0..times as u64 {
            let mut file = &self.0;
            file.seek(SeekFrom::Start((i % 8) * 4096))?;
            file.write_all(&[i as u8; 4096])?;
            file.sync_data()?;
        }
        Ok(())
    }
}

fn space() -> BenchResult<EmbeddingSpace> {
    Ok(EmbeddingSpace::new("bench", DIM)?)
}

/// One trajectory, one strategy learned from it, and a vector.
fn learn(scope: &Scope, random: &mut Random, i: usize) -> BenchResult<()> {
    let vector = (0..DIM).map(|_| random.normal()).collect();
    let embedding = Embedding::new(&space()?, vector)?;
    let mut tx = scope.begin()?;
    let id = tx.put(&Trajectory::new(format!("task number {i}")).step("the documents", "the answer"))?;
    let strategy = tx.put(&lesson(i, Some(id)))?;
    tx.embed(strategy, &embedding)?;
    tx.commit()?;
    Ok(())
}

fn lesson(i: usize, from: Option<Id<Trajectory>>) -> Strategy {
    let evidence = |trajectory| Evidence { trajectory, first_step: 0, last_step: 0, polarity: Polarity::Support };
    let provenance = Provenance { distiller: "bench".to_owned(), evidence: from.map(evidence).into_iter().collect() };
    Strategy { provenance, ..Strategy::new(format!("lesson {i}"), "when it applies", "what to do then, and why") }
}

/// One writer alone: catalog only, one sync a commit.
fn commits(directory: &Path) -> BenchResult<Vec<Row>> {
    let database = Database::open(directory.join("alone.lagdb"))?;
    let (scope, floor, mut random) = (database.scope("bench")?, Floor::new(directory)?, Random(1));
    let (mut commits, mut floors) = (vec![], vec![]);
    for i in 0..N_COMMITS {
        commits.push(time_of(|| learn(&scope, &mut random, i))? * 1e3);
        floors.push(time_of(|| floor.sync(1))? * 1e3);
    }
    let floor = median(floors);
    let mut commit = row("commit of trajectory, strategy and vector, p50", "ms", median(commits));
    (commit.peers, commit.goal) = (vec![("one write, synced", floor)], Some(1.3 * floor));
    Ok(vec![commit])
}

/// Commits a second of `n_writers` threads, each of which commits again as soon as it is told.
fn rate(scope: &Scope, n_writers: usize) -> BenchResult<f64> {
    let (is_over, n_commits) = (AtomicBool::new(false), AtomicUsize::new(0));
    let write = |seed: usize| {
        let mut random = Random(seed as u64);
        let mut i = seed << 32;
        while !is_over.load(Ordering::Relaxed) {
            learn(scope, &mut random, i).map_err(|error| error.to_string())?;
            n_commits.fetch_add(1, Ordering::Relaxed);
            i += 1;
        }
        Ok::<(), String>(())
    };
    let (seconds, outcomes) = wall(|| {
        std::thread::scope(|threads| {
            let writers: Vec<_> = (0..n_writers).map(|seed| threads.spawn(move || write(seed + 1))).collect();
            std::thread::sleep(WRITING);
            is_over.store(true, Ordering::Relaxed);
            writers
                .into_iter()
                .map(|writer| writer.join().map_err(|_| "a writer panicked".to_owned()))
                .collect::<Vec<_>>()
        })
    });
    outcomes.into_iter().try_for_each(|outcome| outcome.and_then(|written| written))?;
    Ok(n_commits.into_inner() as f64 / seconds)
}

fn writers(directory: &Path) -> BenchResult<Vec<Row>> {
    let mut rates = vec![];
    for n_writers in [1, 8] {
        let database = Database::open(directory.join(format!("writers-{n_writers}.lagdb")))?;
        rates.push(rate(&database.scope("bench")?, n_writers)?);
    }
    let mut eight = row("commits a second, eight writers", "1/s", rates[1]);
    (eight.higher_is_better, eight.peers, eight.goal) = (true, vec![("one writer", rates[0])], Some(5.0 * rates[0]));
    Ok(vec![eight])
}

/// A task as the demo remembers it, with its KV log: one more sync of the segment and one of its directory.
fn tasks(directory: &Path) -> BenchResult<Vec<Row>> {
    let database = Database::open(directory.join("tasks.lagdb"))?;
    let (scope, floor) = (database.scope("bench")?, Floor::new(directory)?);
    let log = synthetic::kv_log(DEMO, 7, ElementType::F16, 1)?;
    let (mut commits, mut floors) = (vec![], vec![]);
    for i in 0..N_COMMITS {
        commits.push(time_of(|| remember(&scope, i, &log))? * 1e3);
        floors.push(time_of(|| floor.sync(3))? * 1e3);
    }
    let n_bytes = database.stats()?;
    let disk = (n_bytes.catalog_bytes + n_bytes.segment_bytes) as f64 / 1024.0 / N_COMMITS as f64;
    let mut commit = row("commit of one task with its KV log, p50", "ms", median(commits));
    commit.peers = vec![("three writes, each synced", median(floors))];
    let found = row(format!("search among {N_COMMITS}, with records"), "CPU ms", search(&scope)?);
    Ok(vec![commit, row("disk per task", "KiB", disk), found])
}

fn remember(scope: &Scope, i: usize, log: &KvLog) -> BenchResult<()> {
    let task = format!("find the city of employer number {i}");
    let mut tx = scope.begin()?;
    let id = tx.put(&Trajectory::new(&task).step("the documents", "the answer"))?;
    tx.judge(id, &Judgment::new(Outcome::Success, "bench"))?;
    tx.embed(id, &LexicalEmbedder::default().embed(&task))?;
    tx.put_kv_log(id, log)?;
    tx.commit()?;
    Ok(())
}

fn search(scope: &Scope) -> BenchResult<f64> {
    let snapshot = scope.snapshot()?;
    let embedding = LexicalEmbedder::default().embed("city of employer number 7");
    let mut times = vec![];
    for _ in 0..101 {
        let query = Query::near(embedding.clone()).outcome(Outcome::Success).limit(3);
        let (seconds, hits) = cpu(|| snapshot.search::<Trajectory>(&query));
        assert_eq!(hits?.len(), 3, "found");
        times.push(seconds * 1e3);
    }
    Ok(median(times))
}

/// Costs at `n` strategies: a commit, a point read, an open to the first read, a compaction.
fn at_size(directory: &Path, n: usize) -> BenchResult<Vec<Row>> {
    let path = directory.join(format!("{n}.lagdb"));
    let database = Database::open(&path)?;
    let (scope, mut random) = (database.scope("bench")?, Random(n as u64));
    let mut ids = Vec::with_capacity(n);
    for from in (0..n).step_by(10_000) {
        let mut tx = scope.begin()?;
        for i in from..n.min(from + 10_000) {
            ids.push(tx.put(&lesson(i, None))?);
        }
        tx.commit()?;
    }
    let mut rows = Vec::new();
    let floor = Floor::new(directory)?;
    let (mut commits, mut floors) = (vec![], vec![]);
    for i in 0..50 {
        commits.push(time_of(|| learn(&scope, &mut random, n + i))? * 1e3);
        floors.push(time_of(|| floor.sync(1))? * 1e3);
    }
    let mut commit = row(format!("commit at {n} strategies, p50"), "ms", median(commits));
    commit.peers = vec![("one write, synced", median(floors))];
    rows.push(commit);

    let snapshot = scope.snapshot()?;
    let mut reads = vec![];
    for _ in 0..2_001 {
        let id = ids[(random.unit() * n as f32) as usize % n];
        let (seconds, found) = wall(|| snapshot.get(id));
        assert!(found?.is_some(), "found");
        reads.push(seconds * 1e6);
    }
    let mut read = row(format!("point read at {n} strategies, p50"), "us", median(reads));
    read.goal = Some(10.0);
    rows.push(read);
    drop((snapshot, scope, database));

    let (seconds, opened) = wall(|| -> BenchResult<Database> {
        let database = Database::open(&path)?;
        assert!(database.scope("bench")?.snapshot()?.get(ids[n / 2])?.is_some(), "found");
        Ok(database)
    });
    let database = opened?;
    let mut open = row(format!("open to the first read at {n} strategies"), "ms", seconds * 1e3);
    open.goal = Some(200.0);
    rows.push(open);

    let (seconds, compacted) = wall(|| database.compact(&mut |_| {}));
    let compacted = compacted?;
    rows.push(row(format!("compaction at {n} strategies"), "ms", seconds * 1e3));
    rows.push(row(format!("disk per strategy at {n}, compacted"), "B", compacted.bytes_after as f64 / n as f64));
    Ok(rows)
}
