//! A stream of tasks whose process is killed, again and again, goes on where it was: no trajectory is lost, none is lived twice,
//! and no lesson is learned twice from one.

use crate::kit::town::{self, Door};
use lagdb::agent::{Allot, Environment, Learner, Living, Policy, Scaling, Scripted, TaskKey, Way};
use lagdb::{Database, Error, Filter, Outcome, Query, Scope, Strategy, Trajectory};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const DIRECTORY: &str = "LAGDB_TEST_STREAM";
const N_ROUNDS: u64 = 5;
const LESSON: &str = "title: Magic words\ndescription: When a door is to be opened.\ncontent: Say the word.\n";

/// Pleads in the first attempt, says the word in the second, and always learns the same.
fn learner(scope: &Scope) -> Learner {
    let model = Scripted::answering(|said, _| {
        let (asks, has_pleaded) = (said.contains("Attempt 0"), said.contains("please"));
        Some(
            if asks {
                LESSON
            } else if has_pleaded {
                "sesame"
            } else {
                "please"
            }
            .to_owned(),
        )
    });
    let policy = Policy { max_steps: 1, guard: None, ..Policy::default() };
    let mut learner = town::learner_with(&model, scope, policy);
    learner.scaling = Scaling { way: Way::Sequential, k: 2, allot: Allot::UntilSuccess };
    (learner.recall.withhold, learner.recall.floor, learner.lessons.contrast) = (0.0, -1.0, true);
    learner
}

/// A door; every fifth is jammed, and its world breaks down.
fn door(number: u64) -> Door {
    let breaks_at = is_jammed(number).then_some(0);
    Door { breaks_at, ..Door::new(&format!("open door {number}"), "sesame") }
}

fn is_jammed(number: u64) -> bool {
    number % 5 == 4
}

fn key(number: u64) -> TaskKey {
    TaskKey { stream: "doors, seed 1".to_owned(), number }
}

/// What the killed process does: lives the stream from its beginning and tells of every task. Run as any other test it lives a
/// few in a directory of its own.
#[test]
fn live_until_it_is_killed() {
    let own = tempfile::tempdir().unwrap();
    let given = std::env::var_os(DIRECTORY);
    let database = Database::open(given.as_deref().map_or(own.path(), Path::new)).unwrap();
    let scope = database.scope("s").unwrap();
    let learner = learner(&scope);
    let n = if given.is_some() { u64::MAX } else { 7 };
    for number in 0..n {
        let lived = learner.live(&mut door(number), Some(&key(number))).unwrap();
        let word = if matches!(lived, Living::Now(_)) { "lived" } else { "knew" };
        let mut out = std::io::stdout();
        writeln!(out, "\n{word} {number}").and_then(|()| out.flush()).unwrap();
    }
    check(&scope, n);
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

/// Exactly the tasks up to some number were lived, those that were told of among them; each once and whole.
fn check(scope: &Scope, n_told: u64) -> u64 {
    let snapshot = scope.snapshot().unwrap();
    let n_all = snapshot.len::<Trajectory>().unwrap();
    let (mut n_found, mut n) = (0, 0);
    while n_found < n_all {
        let query = Query::newest().filter(Filter::group(key(n).group()));
        let mut group = snapshot.search::<Trajectory>(&query).unwrap();
        group.sort_by_key(|hit| hit.record.rollout.as_ref().unwrap().attempt);
        let outcomes: Vec<Outcome> = group.iter().map(|hit| snapshot.outcome(hit.id).unwrap()).collect();
        let jammed = vec![Outcome::Unknown; 2];
        let opened = vec![Outcome::Failure, Outcome::Success];
        assert_eq!(outcomes, if is_jammed(n) { jammed } else { opened }, "task {n}");
        for hit in &group {
            assert_eq!(hit.record.task, door(n).task().name);
            let judgments = snapshot.judgments(hit.id).unwrap();
            assert!(judgments.len() == 1 && judgments[0].rationale.contains("jammed") == is_jammed(n));
        }
        n_found += group.len() as u64;
        n += 1;
    }
    assert!(n == n_told || n == n_told + 1, "{n} tasks where {n_told} were told of");
    // One lesson, that every task but the first got to read, and that both attempts at every open door speak for.
    let lessons = snapshot.ids::<Strategy>().unwrap();
    if let [id] = lessons.as_slice() {
        let evidence = snapshot.get(*id).unwrap().unwrap().provenance.evidence;
        let n_open = (0..n).filter(|number| !is_jammed(*number)).count();
        assert_eq!(evidence.len(), (2 * n_open).min(64));
        assert_eq!(snapshot.strategy_stats(*id).unwrap().unwrap().injected.n(), n - 1);
    } else {
        assert!(n == 0 && lessons.is_empty(), "{lessons:?} after {n} tasks");
    }
    n
}

#[test]
fn no_trajectory_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let mut n = 0;
    for round in 0..N_ROUNDS {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "agent_streams_survive_a_kill::live_until_it_is_killed", "--nocapture"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        let number = |line: &str, word: &str| line.strip_prefix(word)?.strip_prefix(' ')?.parse::<u64>().ok();
        let (before, mut n_knew, mut told) = (n, 0, n);
        for line in lines.by_ref() {
            n_knew += u64::from(number(&line, "knew").is_some());
            told = number(&line, "lived").map_or(told, |number| number + 1);
            if told >= before + 4 + round {
                break;
            }
        }
        assert_eq!(n_knew, before, "what was lived is not lived again");
        assert!(matches!(Database::open(dir.path()), Err(Error::Locked { .. })));
        // Not right after a task: anywhere in the next.
        std::thread::sleep(Duration::from_micros(700 * round));
        victim.kill().unwrap();
        // What it told before it died is still in the pipe.
        told = lines.filter_map(|line| number(&line, "lived")).last().map_or(told, |number| number + 1);
        victim.wait().unwrap();
        let database = Database::open(dir.path()).unwrap();
        n = check(&database.scope("s").unwrap(), told);
        let report = database.verify(&mut |_| {}).unwrap();
        assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");
    }
    assert!(n >= N_ROUNDS * 4, "{n}");
}
