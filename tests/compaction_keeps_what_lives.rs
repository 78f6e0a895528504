//! Compaction frees what is dead, keeps what lives to the bit, and leaves files alone that a snapshot still reads.

use crate::kit::{self, kv_log, model};
use lagdb::{Database, Trajectory};
use std::fs;

#[test]
fn small_segments_are_merged_and_dead_logs_go() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    let scope = database.scope("s").unwrap();
    let n_files = || fs::read_dir(dir.path().join("segments")).unwrap().count();
    let ids: Vec<_> =
        (0..8).map(|i| kit::remember(&scope, &format!("t{i}"), Some(&kv_log(&model(1), 100 + i, i)))).collect();
    let mut tx = scope.begin().unwrap();
    ids[..3].iter().for_each(|id| assert!(tx.delete(*id).unwrap()));
    tx.commit().unwrap();
    assert_eq!(n_files(), 8);
    let before = database.stats().unwrap();
    assert!(before.dead_bytes > 0 && before.kv_logs == 5 && before.trajectories == 5);

    let pinned = scope.snapshot().unwrap();
    let view = pinned.kv_log(ids[7], &model(1)).unwrap().unwrap();
    let mut stages = Vec::new();
    let done = database.compact(&mut |progress| stages.push(progress.stage)).unwrap();
    assert_eq!((done.segments_before, done.segments_after), (8, 1));
    assert!(done.bytes_after <= done.bytes_before && stages.contains(&"segments"));
    assert_eq!(n_files(), 9, "the snapshot still reads the old ones");
    assert_eq!(pinned.kv_log(ids[3], &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 103, 3));
    drop(pinned);
    assert_eq!(n_files(), 1);
    assert_eq!(view.to_log().unwrap(), kv_log(&model(1), 107, 7));

    let after = database.stats().unwrap();
    assert_eq!((after.dead_bytes, after.live_bytes, after.kv_logs), (0, before.live_bytes, 5));
    let last = kit::remember(&scope, "after", Some(&kv_log(&model(1), 10, 99)));
    drop((scope, database));
    let report = lagdb::maintenance::verify(dir.path(), &mut |_| {}).unwrap();
    assert!(report.is_sound() && report.segments == 2, "{report:?}");
    let database = Database::open(dir.path()).unwrap();
    let snapshot = database.scope("s").unwrap().snapshot().unwrap();
    for (i, id) in ids.iter().enumerate().skip(3) {
        let log = snapshot.kv_log(*id, &model(1)).unwrap().unwrap().to_log().unwrap();
        assert_eq!(log, kv_log(&model(1), 100 + i as u32, i as u32));
    }
    assert_eq!(snapshot.len::<Trajectory>().unwrap(), 6);
    assert!(snapshot.kv_log(last, &model(1)).unwrap().is_some());
}

#[test]
fn nothing_to_do_is_done_twice_as_well() {
    let (database, scope) = kit::in_memory();
    database.compact(&mut |_| {}).unwrap();
    kit::remember(&scope, "t", Some(&kv_log(&model(1), 10, 1)));
    database.compact(&mut |_| {}).unwrap();
    let done = database.compact(&mut |_| {}).unwrap();
    assert_eq!((done.segments_before, done.segments_after), (1, 1));
    assert_eq!(scope.snapshot().unwrap().commit_id().as_u64(), 1, "no commit was needed");
}
