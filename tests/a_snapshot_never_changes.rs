//! A snapshot is one commit: whatever is written, deleted or compacted later, it answers the same, and never waits.

use crate::kit::{self, embed, kv_log, model};
use lagdb::{Outcome, Query, Trajectory};

#[test]
fn later_commits_are_not_seen() {
    let (database, scope) = kit::in_memory();
    let log = kv_log(&model(1), 40, 1);
    let id = kit::remember(&scope, "first", Some(&log));
    let before = scope.snapshot().unwrap();

    kit::remember(&scope, "second", None);
    let mut tx = scope.begin().unwrap();
    tx.judge(id, &kit::failure()).unwrap();
    tx.put_kv_log(id, &kv_log(&model(1), 41, 2)).unwrap();
    tx.commit().unwrap();
    let mut tx = scope.begin().unwrap();
    assert!(tx.delete(id).unwrap());
    tx.commit().unwrap();
    database.compact(&mut |_| {}).unwrap();

    assert_eq!(before.ids::<Trajectory>().unwrap(), [id]);
    assert_eq!(before.outcome(id).unwrap(), Outcome::Success);
    assert_eq!(before.kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap(), log);
    let hits = before.search::<Trajectory>(&Query::near(embed("first"))).unwrap();
    assert_eq!(hits.iter().map(|hit| hit.id).collect::<Vec<_>>(), [id]);

    let after = scope.snapshot().unwrap();
    assert_eq!(after.get(id).unwrap(), None);
    assert!(after.kv_log(id, &model(1)).unwrap().is_none());
    assert_eq!(after.len::<Trajectory>().unwrap(), 1);
    assert!(after.commit_id() > before.commit_id());
}

#[test]
fn a_snapshot_from_before_and_one_from_after_share_the_index() {
    let (_database, scope) = kit::in_memory();
    let first = kit::remember(&scope, "alpha", None);
    let before = scope.snapshot().unwrap();
    let second = kit::remember(&scope, "alpha", None);
    let after = scope.snapshot().unwrap();
    let query = Query::near(embed("alpha"));
    let ids = |s: &lagdb::Snapshot| s.search(&query).unwrap().iter().map(|h| h.id).collect::<Vec<_>>();
    assert_eq!(ids(&after), [first, second], "equal scores: the lower id first");
    assert_eq!(ids(&before), [first]);
}

#[test]
fn reading_goes_on_while_somebody_writes() {
    let (_database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    tx.put(&kit::trajectory("t")).unwrap();
    assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), 0);
    assert_eq!(tx.len::<Trajectory>().unwrap(), 1, "a transaction sees its own writes");
    tx.commit().unwrap();
}

#[test]
fn snapshots_and_databases_go_between_threads() {
    fn goes<T: Send + Sync>() {}
    goes::<lagdb::Database>();
    goes::<lagdb::Scope>();
    goes::<lagdb::Snapshot>();
    goes::<lagdb::Transaction>();
}
