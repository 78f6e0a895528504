//! A second process, or the same one a second time, reads beside the one that writes: one commit, right to the byte, or
//! a typed error that says to come again.

use crate::kit::{self, kv_log, model};
use lagdb::{Database, Error, ErrorKind, Trajectory, maintenance};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_reader_sees_one_commit_and_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Database::options().owner("the writer").open(dir.path()).unwrap();
    let scope = writer.scope("s").unwrap();
    let id = kit::remember(&scope, "first", Some(&kv_log(&model(1), 20, 1)));
    assert!(matches!(Database::open(dir.path()), Err(Error::Locked { .. })));

    let reader = Database::options().read_only(true).open(dir.path()).unwrap();
    let upkeep = reader.keep_up(lagdb::Upkeep::default());
    assert!(matches!(upkeep, Err(Error::Invalid { .. })), "rounds that could only fail");
    kit::remember(&scope, "second", None);
    let seen = reader.scope("s").unwrap();
    let snapshot = seen.snapshot().unwrap();
    assert_eq!((snapshot.commit_id().as_u64(), snapshot.len::<Trajectory>().unwrap()), (1, 1));
    assert_eq!(snapshot.kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 20, 1));
    assert_eq!(reader.stats().unwrap().kv_logs, 1);
    assert_eq!(reader.admin().scopes().unwrap(), ["s"]);
    let refused = |error: Error| assert!(matches!(error, Error::Invalid { what: "database", .. }), "{error}");
    refused(seen.begin().map(drop).unwrap_err());
    refused(reader.compact(&mut |_| {}).unwrap_err());
    refused(seen.purge(id).unwrap_err());
    let later = Database::options().read_only(true).open(dir.path()).unwrap();
    assert_eq!(later.scope("s").unwrap().snapshot().unwrap().len::<Trajectory>().unwrap(), 2);
}

/// What a writer gives up is gone for a reader beside it: that is not damage.
#[test]
fn a_reader_that_comes_too_late_is_told_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Database::open(dir.path()).unwrap();
    let scope = writer.scope("s").unwrap();
    let id = kit::remember(&scope, "first", Some(&kv_log(&model(1), 20, 1)));
    kit::remember(&scope, "second", Some(&kv_log(&model(1), 20, 2)));
    let reader = Database::options().read_only(true).open(dir.path()).unwrap();
    writer.compact(&mut |_| {}).unwrap();
    let error = reader.scope("s").unwrap().snapshot().unwrap().kv_log(id, &model(1)).unwrap_err();
    assert!(matches!(error, Error::Outdated { .. }) && error.kind() == ErrorKind::Retry, "{error}");
    let again = Database::options().read_only(true).open(dir.path()).unwrap();
    assert!(again.scope("s").unwrap().snapshot().unwrap().kv_log(id, &model(1)).unwrap().is_some());
}

/// A backup through a reader said of such a segment that it "is missing", as if data were lost.
#[test]
fn a_backup_that_comes_too_late_is_told_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let writer = Database::open(&path).unwrap();
    let scope = writer.scope("s").unwrap();
    kit::remember(&scope, "first", Some(&kv_log(&model(1), 20, 1)));
    kit::remember(&scope, "second", Some(&kv_log(&model(1), 20, 2)));
    let reader = Database::options().read_only(true).open(&path).unwrap();
    writer.compact(&mut |_| {}).unwrap();
    let error = reader.backup(dir.path().join("b"), &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Outdated { .. }) && error.kind() == ErrorKind::Retry, "{error}");
    assert!(!dir.path().join("b/manifest").exists());
    let again = Database::options().read_only(true).open(&path).unwrap();
    again.backup(dir.path().join("c"), &mut |_| {}).unwrap();
}

#[test]
fn reading_needs_no_lock_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Database::open(dir.path()).unwrap();
    kit::remember(&writer.scope("s").unwrap(), "first", None);
    drop(writer);
    let path = dir.path().join("catalog.redb");
    let before = std::fs::read(&path).unwrap();
    let reader = Database::options().read_only(true).open(dir.path()).unwrap();
    assert_eq!(reader.scope("s").unwrap().snapshot().unwrap().len::<Trajectory>().unwrap(), 1);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    Database::open(dir.path()).unwrap();
    let none = dir.path().join("none");
    assert!(matches!(Database::options().read_only(true).open(&none), Err(Error::Io { .. })) && !none.exists());
}

/// Readers and verifications beside a writer that commits, deletes and compacts all the time: every answer is that of one
/// commit. The writer's n-th commit makes trajectory `n` of a task that says how many came before it.
#[test]
fn nothing_wrong_is_ever_read() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Database::open(dir.path()).unwrap();
    let scope = writer.scope("s").unwrap();
    kit::remember(&scope, "0", Some(&kv_log(&model(1), 20, 0)));
    let is_over = AtomicBool::new(false);
    let (mut n_read, mut n_verified) = (0, 0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for i in 1.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                kit::remember(&scope, &i.to_string(), Some(&kv_log(&model(1), 20, i)));
                if i % 16 == 0 {
                    writer.compact(&mut |_| {}).unwrap();
                }
            }
        });
        for _ in 0..20 {
            match Database::options().read_only(true).open(dir.path()) {
                Ok(reader) => {
                    let snapshot = reader.scope("s").unwrap().snapshot().unwrap();
                    let ids = snapshot.ids::<Trajectory>().unwrap();
                    for (i, id) in ids.iter().enumerate() {
                        assert_eq!(snapshot.get(*id).unwrap().unwrap().task, i.to_string());
                    }
                    let last = ids.len() - 1;
                    match snapshot.kv_log(ids[last], &model(1)) {
                        Ok(log) => assert_eq!(log.unwrap().to_log().unwrap(), kv_log(&model(1), 20, last as u32)),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
                    }
                    n_read += 1;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
            }
            match maintenance::verify(dir.path(), &mut |_| {}) {
                Ok(report) => {
                    assert!(report.is_sound(), "{report:?}");
                    n_verified += 1;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(n_read > 0 && n_verified > 0, "{n_read} reads, {n_verified} verifications");
}
