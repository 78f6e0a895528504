//! No space, a failed write, a failed sync: a typed error naming the file; what was committed stays, and once the disk
//! works again an open goes on from there.

use crate::kit::{self, kv_log, model};
use lagdb::medium::{FailingMedium, Fault, OpKind};
use lagdb::{Database, Error, ErrorKind, Id, Scope, Trajectory};
use std::sync::Arc;

fn prepared() -> (FailingMedium, Database, Scope, Id<Trajectory>) {
    let disk = FailingMedium::new();
    let database = Database::options().open_on(Arc::new(disk.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let id = kit::remember(&scope, "first", Some(&kv_log(&model(1), 20, 1)));
    (disk, database, scope, id)
}

fn commit(scope: &Scope) -> lagdb::Result<()> {
    let mut tx = scope.begin()?;
    let id = tx.put_new(&kit::trajectory("second"))?;
    tx.put_kv_log(id, &kv_log(&model(1), 30, 2))?;
    tx.commit().map(drop)
}

fn try_every_operation(fault: Fault) {
    for at in 0.. {
        let (disk, database, scope, id) = prepared();
        let n_before = disk.ops().len();
        disk.fail_at(at, fault);
        let error = commit(&scope).err();
        let kind = disk.ops().get(n_before + at as usize).copied();
        if let Some(error) = &error {
            assert_eq!(error.kind(), ErrorKind::Environment, "operation {at}: {error}");
            assert!(matches!(error, Error::Io { .. } | Error::Poisoned { .. }), "{error}");
        }
        if fault == Fault::IoError && matches!(kind, Some(OpKind::Sync | OpKind::SyncDir)) && error.is_some() {
            assert!(matches!(scope.begin().err(), Some(Error::Poisoned { .. })), "operation {at}: writing must stop");
        }
        disk.heal();
        drop((scope, database));

        let database = Database::options().open_on(Arc::new(disk.clone())).unwrap();
        let scope = database.scope("s").unwrap();
        let snapshot = scope.snapshot().unwrap();
        assert_eq!(snapshot.kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 20, 1));
        let n = snapshot.len::<Trajectory>().unwrap();
        assert!(n == 2 || error.is_some(), "operation {at}: an acknowledged commit is lost");
        commit(&scope).unwrap();
        assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), n + 1);
        if kind.is_none() {
            return;
        }
    }
}

#[test]
fn no_space_at_every_operation() {
    try_every_operation(Fault::NoSpace);
}

#[test]
fn one_error_at_every_operation() {
    try_every_operation(Fault::IoError);
}

#[test]
fn a_segment_that_does_not_fit_leaves_the_database_usable() {
    let (disk, _database, scope, _) = prepared();
    let mut tx = scope.begin().unwrap();
    let id = tx.put(&kit::trajectory("second")).unwrap();
    disk.fail_at(0, Fault::NoSpace);
    let error = tx.put_kv_log(id, &kv_log(&model(1), 30, 2)).unwrap_err();
    assert!(error.to_string().contains("segments/"), "{error}");
    drop(tx);
    disk.heal();
    commit(&scope).unwrap();
}

/// A compaction that failed left the segments it had written and `catalog.new` behind until the next open, and a sync
/// that failed in it did not stop the database, as it does in a commit.
#[test]
fn one_error_at_every_operation_of_a_compaction() {
    let mut n_refused = 0;
    for at in 0.. {
        let (disk, database, scope, id) = prepared();
        commit(&scope).unwrap();
        let n_before = disk.ops().len();
        disk.fail_at(at, Fault::IoError);
        let error = database.compact(&mut |_| {}).err();
        let kind = disk.ops().get(n_before + at as usize).copied();
        let is_stopped = matches!(scope.begin().err(), Some(Error::Poisoned { .. }));
        let names: Vec<_> = disk.dump().into_keys().collect();
        if let Some(error) = &error {
            n_refused += 1;
            let of_a_segment = matches!(error, Error::Io { action, path, .. }
                if action.starts_with("sync") && path.starts_with("segments"));
            assert!(is_stopped || !of_a_segment, "operation {at}: {error}");
            let is_named = |name: &&String| name.ends_with(".kv");
            if of_a_segment {
                assert_eq!(names.iter().filter(is_named).count(), 2, "operation {at}: {names:?}");
            }
            if !is_stopped {
                let n_segments = database.stats().unwrap().segments;
                assert_eq!(names.iter().filter(is_named).count() as u64, n_segments, "operation {at}: {error}");
                assert!(names.iter().all(|name| !name.ends_with(".tmp")), "operation {at}: {names:?}");
                let cleaning = matches!(error, Error::Io { action: "unlink", .. });
                assert!(cleaning || !names.iter().any(|name| name == "catalog.new"), "operation {at}: {names:?}");
            }
        }
        disk.heal();
        drop((scope, database));
        let database = Database::options().open_on(Arc::new(disk.clone())).unwrap();
        let snapshot = database.scope("s").unwrap().snapshot().unwrap();
        assert_eq!(snapshot.kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 20, 1));
        if kind.is_none() {
            break;
        }
    }
    assert!(n_refused > 5);
}
