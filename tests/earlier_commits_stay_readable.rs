//! Inside the retention window, the database answers as it did at an earlier commit.

use crate::kit::{self, kv_log, model};
use lagdb::format::KvRead;
use lagdb::{CommitId, Database, Error, Outcome, Trajectory};

#[test]
fn the_past_answers_as_it_did() {
    let database = Database::options().retain_commits(8).in_memory().unwrap();
    let scope = database.scope("s").unwrap();
    let mut commits: Vec<CommitId> = Vec::new();
    let mut ids = Vec::new();
    for i in 0..4 {
        ids.push(kit::remember(&scope, &format!("t{i}"), Some(&kv_log(&model(1), 20, i))));
        commits.push(scope.snapshot().unwrap().commit_id());
    }
    let mut tx = scope.begin().unwrap();
    tx.judge(ids[0], &kit::failure()).unwrap();
    tx.delete(ids[1]).unwrap();
    tx.put_kv_log(ids[2], &kv_log(&model(1), 20, 99)).unwrap();
    let last = tx.commit().unwrap();
    database.compact(&mut |_| {}).unwrap();

    for (i, commit) in commits.iter().enumerate() {
        let past = scope.as_of(*commit).unwrap();
        assert_eq!((past.commit_id(), past.ids::<Trajectory>().unwrap()), (*commit, ids[..=i].to_vec()));
        assert_eq!(past.outcome(ids[0]).unwrap(), Outcome::Success);
        let log = past.kv_log(ids[i], &model(1)).unwrap().unwrap().to_log().unwrap();
        assert_eq!(log, kv_log(&model(1), 20, i as u32));
    }
    assert_eq!(scope.as_of(last).unwrap().len::<Trajectory>().unwrap(), 3);
    let is_outside = |commit| matches!(scope.as_of(commit), Err(Error::Invalid { what: "commit", .. }));
    for i in 0..12 {
        kit::remember(&scope, &format!("later {i}"), None);
    }
    assert!(is_outside(commits[0]) && is_outside(last), "the window moved on");
}

/// Of commits that shared a sync only the last was kept: the others answered as the one before all of them, without what
/// they had themselves acknowledged.
#[test]
fn every_commit_of_a_group_answers_as_it_did() {
    const WRITERS: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let database = Database::options().retain_commits(10_000).open(dir.path()).unwrap();
    let scope = database.scope("s").unwrap();
    kit::remember(&scope, "first", None);
    let written: Vec<(CommitId, lagdb::Id<Trajectory>)> = std::thread::scope(|threads| {
        let write = |writer: usize| {
            let scope = database.scope("s").unwrap();
            (0..12)
                .map(|i| {
                    let mut tx = scope.begin().unwrap();
                    let id = tx.put(&kit::trajectory(&format!("{writer} {i}"))).unwrap();
                    if writer == 0 {
                        tx.put_kv_log(id, &kv_log(&model(1), 8, i)).unwrap();
                    }
                    (tx.commit().unwrap(), id)
                })
                .collect::<Vec<_>>()
        };
        let running: Vec<_> = (0..WRITERS).map(|writer| threads.spawn(move || write(writer))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    database.compact(&mut |_| {}).unwrap();
    for (commit, id) in &written {
        let past = scope.as_of(*commit).unwrap();
        let mut expected: Vec<_> = written.iter().filter(|(at, _)| at <= commit).map(|(_, id)| *id).collect();
        expected.sort();
        let mut found = past.ids::<Trajectory>().unwrap();
        found.remove(0);
        assert_eq!((past.commit_id(), found), (*commit, expected), "its own record and no later one");
        if let Some(log) = past.kv_log(*id, &model(1)).unwrap() {
            assert_eq!(log.n_tokens(), 8);
        }
    }
}

#[test]
fn a_commit_that_is_to_come_has_no_answer_and_a_purge_ends_the_window() {
    let database = Database::options().retain_commits(8).in_memory().unwrap();
    let scope = database.scope("s").unwrap();
    let id = kit::remember(&scope, "t", Some(&kv_log(&model(1), 20, 1)));
    let first = scope.snapshot().unwrap().commit_id();
    let second = {
        kit::remember(&scope, "u", None);
        scope.snapshot().unwrap().commit_id()
    };
    assert!(scope.as_of(first).unwrap().contains(id).unwrap());
    let receipt = scope.purge(id).unwrap();
    assert!(receipt.waiting.is_empty(), "the window holds nothing back: {receipt:?}");
    for commit in [first, second] {
        assert!(scope.as_of(commit).is_err(), "no earlier commit answers with what was purged");
    }
    assert!(!scope.as_of(scope.snapshot().unwrap().commit_id()).unwrap().contains(id).unwrap());

    let (_database, scope) = kit::in_memory();
    kit::remember(&scope, "t", None);
    let first = scope.snapshot().unwrap().commit_id();
    assert_eq!(scope.as_of(first).unwrap().commit_id(), first, "the latest is no past");
    kit::remember(&scope, "u", None);
    assert!(scope.as_of(first).is_err(), "without a window there is no past");
}
