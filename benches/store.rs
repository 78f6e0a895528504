//! What a durable task costs: trajectory, judgment, embedding and KV log in one commit; then search.
//!
//! The peer of a commit is the least any durable store pays: the same bytes appended to one file, and one fsync.

mod report;
mod synthetic;

use lagdb::format::{ElementType, KvGeometry, KvLog};
use lagdb::{Database, Judgment, LexicalEmbedder, Outcome, Query, Scope, Trajectory};
use report::{Row, cpu, median, wall};
use std::fs::File;
use std::io::Write;

const N_COMMITS: usize = 300;
/// The demo model: a log of 7 tokens is 7 KiB as f16.
const DEMO: KvGeometry = KvGeometry { n_layers: 4, n_kv_heads: 2, head_dim: 32 };

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> BenchResult<()> {
    let directory = tempfile::tempdir()?;
    let database = Database::open(directory.path().join("bench.lagdb"))?;
    let scope = database.scope("bench")?;
    let log = synthetic::kv_log(DEMO, 7, ElementType::F16, 1)?;
    let mut floor = File::create(directory.path().join("floor"))?;
    let (mut commits, mut floors) = (vec![], vec![]);
    for i in 0..N_COMMITS {
        commits.push(time_of(|| commit(&scope, i, &log))? * 1e3);
        floors.push(time_of(|| append(&mut floor))? * 1e3);
    }
    let n_bytes = database.stats()?;
    let rows = [
        Row {
            name: "commit of one task, p50".to_owned(),
            unit: "ms",
            higher_is_better: false,
            lagdb: median(commits),
            peers: vec![("one append + fsync", median(floors))],
            goal: None,
        },
        Row {
            name: "disk per task".to_owned(),
            unit: "KiB",
            higher_is_better: false,
            lagdb: (n_bytes.catalog_bytes + n_bytes.segment_bytes) as f64 / 1024.0 / N_COMMITS as f64,
            peers: Vec::new(),
            goal: None,
        },
        search(&scope)?,
        report::memory(),
    ];
    report::print(&rows);
    Ok(())
}

fn time_of(work: impl FnOnce() -> BenchResult<()>) -> BenchResult<f64> {
    let (seconds, result) = wall(work);
    result.map(|()| seconds)
}

fn commit(scope: &Scope, i: usize, log: &KvLog) -> BenchResult<()> {
    let task = format!("find the city of employer number {i}");
    let mut tx = scope.begin()?;
    let id = tx.put(&Trajectory::new(&task).step("the documents", "the answer"))?;
    tx.judge(id, &Judgment::new(Outcome::Success, "bench"))?;
    tx.embed(id, &LexicalEmbedder::default().embed(&task))?;
    tx.put_kv_log(id, log)?;
    tx.commit()?;
    Ok(())
}

fn append(file: &mut File) -> BenchResult<()> {
    file.write_all(&[7; 10_000])?;
    file.sync_data()?;
    Ok(())
}

fn search(scope: &Scope) -> BenchResult<Row> {
    let snapshot = scope.snapshot()?;
    let embedding = LexicalEmbedder::default().embed("city of employer number 7");
    let mut times = vec![];
    for _ in 0..101 {
        let query = Query::near(embedding.clone()).outcome(Outcome::Success).limit(3);
        let (seconds, hits) = cpu(|| snapshot.search::<Trajectory>(&query));
        assert_eq!(hits?.len(), 3, "found");
        times.push(seconds * 1e3);
    }
    Ok(Row {
        name: format!("search among {N_COMMITS}, with records"),
        unit: "CPU ms",
        higher_is_better: false,
        lagdb: median(times),
        peers: Vec::new(),
        goal: None,
    })
}
