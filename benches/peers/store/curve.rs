//! Costs as guardrails become many: asking before an action, a commit, an open, a compaction; beside SQLite with an index
//! over the signatures, and beside the syncs that a commit needs. And as vectors become many: a search, and an open.
//!
//! `--curve N` sets how far it goes (100,000 unless said otherwise; the goals are set at 1,000,000). Each size is opened anew
//! before it is asked: as an agent does, which did not put them all.

use crate::report::{Row, median, wall};
use crate::vectors;
use cpu_time::ThreadTime;
use lagdb::{Database, Scope, Snapshot, Strategy, StrategyKind};
use lagdb_peers::BenchResult;
use rusqlite::{Connection, params};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const PER_COMMIT: u64 = 10_000;
const N_LOOK_UPS: u64 = 10_000;
const N_COMMITS: u64 = 50;

pub(crate) fn rows() -> BenchResult<Vec<Row>> {
    let mut args = std::env::args().skip_while(|arg| arg != "--curve").skip(1);
    let last = args.next().map_or(Ok(100_000), |n| n.parse())?;
    let mut rows = Vec::new();
    let mut n = 1_000;
    while n <= last {
        rows.extend(at_size(n)?);
        rows.extend(searches(n)?);
        n *= 10;
    }
    Ok(rows)
}

/// Searching among `n` vectors.
fn searches(n: u64) -> BenchResult<[Row; 3]> {
    let [median, p99, open] = vectors::searched(usize::try_from(n)?)?;
    let row = |name: &str, unit, lagdb, goal| Row {
        name: format!("{name}, {n} vectors"),
        unit,
        higher_is_better: false,
        lagdb,
        peers: Vec::new(),
        goal,
    };
    Ok([
        row("ten nearest, p50", "CPU ms", median, None),
        row("ten nearest, p99", "CPU ms", p99, Some(0.5)),
        row("open to the first ten nearest", "ms", open, None),
    ])
}

fn at_size(n: u64) -> BenchResult<Vec<Row>> {
    let directory = tempfile::tempdir()?;
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs.sqlite"));
    fill(&Database::open(&ours)?.scope("bench")?, n)?;
    fill_sqlite(&mut connect(&theirs)?, n)?;

    let (open_ours, database) = wall(|| -> BenchResult<_> {
        let database = Database::open(&ours)?;
        found(&database.scope("bench")?, n / 2)?;
        Ok(database)
    });
    let (open_theirs, connection) = wall(|| -> BenchResult<_> {
        let connection = connect(&theirs)?;
        found_by_sqlite(&connection, n / 2)?;
        Ok(connection)
    });
    let (database, mut connection) = (database?, connection?);
    let scope = database.scope("bench")?;
    let row = |name: &str, unit, lagdb, sqlite, floor: Option<(&'static str, f64)>, goal| Row {
        name: format!("{name}, {n} guardrails"),
        unit,
        higher_is_better: false,
        lagdb,
        peers: [("SQLite", sqlite)].into_iter().chain(floor).collect(),
        goal,
    };

    let snapshot = scope.snapshot()?;
    let (mut asked, mut asked_sqlite) = (vec![], vec![]);
    let (mut computed, mut computed_sqlite) = (vec![], vec![]);
    for round in 0..N_LOOK_UPS {
        let which = scattered(round) % n;
        asked.push(time(|| asked_before(&snapshot, which))? * 1e6);
        asked_sqlite.push(time(|| found_by_sqlite(&connection, which))? * 1e6);
        computed.push(thread_time(|| asked_before(&snapshot, which))? * 1e6);
        computed_sqlite.push(thread_time(|| found_by_sqlite(&connection, which))? * 1e6);
    }
    drop(snapshot);
    let (mut commits, mut commits_sqlite, mut syncs) = (vec![], vec![], vec![]);
    let floor = File::create(directory.path().join("floor"))?;
    for i in 0..N_COMMITS {
        commits.push(time(|| put(&scope, n + i..n + i + 1))? * 1e3);
        commits_sqlite.push(time(|| insert(&mut connection, n + i..n + i + 1))? * 1e3);
        syncs.push(time(|| Ok(floor.write_all_at(&[i as u8; 4096], 0).and_then(|()| floor.sync_data())?))? * 1e3);
    }
    let compacted = time(|| Ok(database.compact(&mut |_| {}).map(drop)?))? * 1e3;
    let vacuumed = time(|| Ok(connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?))? * 1e3;
    let floor = median(syncs);
    Ok(vec![
        row("guard, p50", "us", at(&asked, 0.5), at(&asked_sqlite, 0.5), None, None),
        row("guard, p99", "us", at(&asked, 0.99), at(&asked_sqlite, 0.99), None, Some(20.0)),
        row("guard, p50", "CPU us", at(&computed, 0.5), at(&computed_sqlite, 0.5), None, None),
        row("guard, p99", "CPU us", at(&computed, 0.99), at(&computed_sqlite, 0.99), None, Some(20.0)),
        row("commit of one, p50", "ms", median(commits), median(commits_sqlite), Some(("one bare fsync", floor)), None),
        row("open to the first answer", "ms", open_ours * 1e3, open_theirs * 1e3, None, Some(200.0)),
        row("compaction (VACUUM)", "ms", compacted, vacuumed, None, None),
    ])
}

fn time(work: impl FnOnce() -> BenchResult<()>) -> BenchResult<f64> {
    let (seconds, done) = wall(work);
    done.map(|()| seconds)
}

/// What this thread computed, whatever else the machine did.
fn thread_time(work: impl FnOnce() -> BenchResult<()>) -> BenchResult<f64> {
    let start = ThreadTime::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// The time that this share did not exceed.
fn at(times: &[f64], share: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((share * sorted.len() as f64) as usize).copied().unwrap_or(f64::NAN)
}

fn signature(n: u64) -> String {
    format!("tool_{}.call({n}, *)", n % 97)
}

/// A number that looks random, the same in every run.
fn scattered(n: u64) -> u64 {
    n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17
}

const TEXTS: [&str; 3] = ["ask first", "before this call", "ask whether it can be undone"];

fn put(scope: &Scope, which: std::ops::Range<u64>) -> BenchResult<()> {
    let mut tx = scope.begin()?;
    for i in which {
        let lesson = Strategy::new(TEXTS[0], TEXTS[1], TEXTS[2]).kind(StrategyKind::Guardrail);
        tx.put(&lesson.action_signature(signature(i)))?;
    }
    tx.commit()?;
    Ok(())
}

fn fill(scope: &Scope, n: u64) -> BenchResult<()> {
    (0..n).step_by(PER_COMMIT as usize).try_for_each(|from| put(scope, from..n.min(from + PER_COMMIT)))
}

fn found(scope: &Scope, which: u64) -> BenchResult<()> {
    asked_before(&scope.snapshot()?, which)
}

fn asked_before(snapshot: &Snapshot, which: u64) -> BenchResult<()> {
    assert_eq!(snapshot.guard(&signature(which))?.len(), 1);
    Ok(())
}

fn connect(path: &Path) -> BenchResult<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS strategy(id INTEGER PRIMARY KEY, kind INTEGER, status INTEGER, signature TEXT,
           title TEXT, description TEXT, content TEXT);
         CREATE INDEX IF NOT EXISTS by_signature ON strategy(signature);",
    )?;
    Ok(connection)
}

fn insert(connection: &mut Connection, which: std::ops::Range<u64>) -> BenchResult<()> {
    let tx = connection.transaction()?;
    for i in which {
        let [title, description, content] = TEXTS;
        tx.prepare_cached("INSERT INTO strategy VALUES (?, 2, 1, ?, ?, ?, ?)")?.execute(params![
            i as i64,
            signature(i),
            title,
            description,
            content
        ])?;
    }
    tx.commit()?;
    Ok(())
}

fn fill_sqlite(connection: &mut Connection, n: u64) -> BenchResult<()> {
    (0..n).step_by(PER_COMMIT as usize).try_for_each(|from| insert(connection, from..n.min(from + PER_COMMIT)))
}

fn found_by_sqlite(connection: &Connection, which: u64) -> BenchResult<()> {
    let sql = "SELECT title, description, content FROM strategy WHERE signature = ? AND kind IN (2, 3) AND status = 1";
    let mut statement = connection.prepare_cached(sql)?;
    let texts =
        statement.query_map([signature(which)], |row| Ok([row.get::<_, String>(0)?, row.get(1)?, row.get(2)?]))?;
    let texts = texts.collect::<Result<Vec<[String; 3]>, _>>()?;
    assert_eq!(texts.len(), 1, "found");
    Ok(())
}
