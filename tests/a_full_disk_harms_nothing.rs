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
    let id = tx.put(&kit::trajectory("second"))?;
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
