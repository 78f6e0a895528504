//! A process that is killed in the middle of its work leaves its lock free, and every commit that it told of.

use crate::kit::{self, kv_log, model};
use lagdb::{Database, Error, Trajectory};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const DIRECTORY: &str = "LAGDB_TEST_DIRECTORY";
const N_ROUNDS: u64 = 6;

fn log_of(number: u64) -> lagdb::format::KvLog {
    kv_log(&model(1), 3 + number as u32 % 5, number as u32)
}

fn remember(database: &Database, number: u64) {
    kit::remember(&database.scope("s").unwrap(), &format!("task {number}"), Some(&log_of(number)));
}

/// What the killed process does: commits and tells of each, and compacts now and then. Run as any other test it does a
/// few of them in a directory of its own.
#[test]
fn work_until_it_is_killed() {
    let own = tempfile::tempdir().unwrap();
    let given = std::env::var_os(DIRECTORY);
    let database =
        Database::options().owner("the victim").open(given.as_deref().map_or(own.path(), Path::new)).unwrap();
    let first = database.scope("s").unwrap().snapshot().unwrap().len::<Trajectory>().unwrap();
    let n = if given.is_some() { u64::MAX } else { 5 };
    for number in (first..).take(usize::try_from(n).unwrap_or(usize::MAX)) {
        remember(&database, number);
        let mut out = std::io::stdout();
        writeln!(out, "\ncommitted {number}").and_then(|()| out.flush()).unwrap();
        if number % 7 == 6 {
            database.compact(&mut |_| {}).unwrap();
        }
    }
    check(&database, first + n);
}

/// Exactly the first `n` tasks are there, whole; what is more is one that was not told of.
fn check(database: &Database, n: u64) -> u64 {
    let snapshot = database.scope("s").unwrap().snapshot().unwrap();
    let ids = snapshot.ids::<Trajectory>().unwrap();
    let found = ids.len() as u64;
    assert!(found == n || found == n + 1, "{found} tasks where {n} were told of");
    for (id, number) in ids.into_iter().zip(0..) {
        assert_eq!(snapshot.get(id).unwrap().unwrap().task, format!("task {number}"));
        assert_eq!(snapshot.judgments(id).unwrap().len(), 1);
        assert_eq!(snapshot.kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap(), log_of(number));
    }
    let report = database.verify(&mut |_| {}).unwrap();
    assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");
    found
}

#[test]
fn every_commit_that_was_told_of_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut n = 0;
    for round in 0..N_ROUNDS {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_process_loses_nothing::work_until_it_is_killed", "--nocapture"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let told = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok());
        let mut told = told.inspect(|number| n = number + 1);
        told.by_ref().nth(3 + 5 * round as usize).expect("it works until it is killed");
        match Database::open(dir.path()) {
            Err(Error::Locked { owner, .. }) => assert_eq!(owner, "the victim"),
            other => panic!("{other:?}"),
        }
        victim.kill().unwrap();
        // What it told before it died is still in the pipe.
        told.for_each(drop);
        victim.wait().unwrap();
        n = check(&Database::open(dir.path()).unwrap(), n);
    }
    assert!(n > N_ROUNDS * 4);
}
