//! After a sync failed nobody knows what is on disk. The database stops: whatever begins anew is refused, on every handle,
//! until it is opened again. What is being read goes on being read.

use crate::kit::{self, embed, kv_log, model, space};
use lagdb::medium::{FailingMedium, Fault, MemoryMedium, OpKind};
use lagdb::{CommitId, Database, DiskBudget, Error, Scope, Trajectory, Upkeep};
use std::sync::Arc;
use std::time::Duration;

fn lived() -> (FailingMedium, Database, Scope) {
    let disk = FailingMedium::new();
    let database = Database::options().retain_commits(4).open_on(Arc::new(disk.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    kit::remember(&scope, "first", Some(&kv_log(&model(1), 20, 1)));
    (disk, database, scope)
}

fn commit(scope: &Scope) -> lagdb::Result<CommitId> {
    let mut tx = scope.begin()?;
    tx.put_new(&kit::trajectory("second"))?;
    tx.commit()
}

/// Which operation of a commit is its sync.
fn sync_of_a_commit() -> u64 {
    let (disk, _database, scope) = lived();
    let n_before = disk.ops().len();
    commit(&scope).unwrap();
    disk.ops()[n_before..].iter().position(|op| *op == OpKind::Sync).unwrap() as u64
}

/// The list of scopes was given, and the index cleared, where every other call was refused.
#[test]
fn whatever_begins_is_refused_until_it_is_opened_anew() {
    let (disk, database, scope) = lived();
    let before = scope.snapshot().unwrap();
    let id = before.ids::<Trajectory>().unwrap()[0];
    let upkeep = Upkeep { every: Duration::from_secs(3600), ..Upkeep::default() };
    let earlier = database.keep_up(upkeep.clone()).unwrap();
    disk.fail_at(sync_of_a_commit(), Fault::IoError);
    assert!(matches!(commit(&scope), Err(Error::Io { .. })));
    disk.heal();

    let admin = database.admin();
    let calls: Vec<(&str, lagdb::Result<()>)> = vec![
        ("begin", scope.begin().map(drop)),
        ("snapshot", scope.snapshot().map(drop)),
        ("as_of", scope.as_of(before.commit_id()).map(drop)),
        ("purge", scope.purge(id).map(drop)),
        ("a new scope", database.scope("new").unwrap().snapshot().map(drop)),
        ("scopes", admin.scopes().map(drop)),
        ("snapshots", admin.snapshots().map(drop)),
        ("backup", database.backup_on(&MemoryMedium::new(), &mut |_| {}).map(drop)),
        ("compact", database.compact(&mut |_| {}).map(drop)),
        ("verify", database.verify(&mut |_| {}).map(drop)),
        ("reindex", database.reindex()),
        ("reembed", database.reembed(&space("other", 4), &mut |_| panic!("nothing is read"), &mut |_| {}).map(drop)),
        ("remove_space", database.remove_space(embed("x").space()).map(drop)),
        ("expire", database.expire(u64::MAX).map(drop)),
        ("evict", database.evict(DiskBudget { bytes: Some(0), ..DiskBudget::default() }).map(drop)),
        ("stats", database.stats().map(drop)),
        ("debt", database.debt().map(drop)),
        ("clear_index", database.clear_index()),
    ];
    for (name, outcome) in calls {
        assert!(matches!(outcome, Err(Error::Poisoned { .. })), "{name}: {outcome:?}");
    }
    for handle in [earlier, database.keep_up(upkeep).unwrap()] {
        let failure = handle.look_now().unwrap().failure;
        assert!(failure.as_ref().is_some_and(|failure| failure.contains("stopped")), "upkeep: {failure:?}");
    }

    assert_eq!(before.get(id).unwrap().unwrap(), kit::trajectory("first"), "what was being read");
    assert!(before.kv_log(id, &model(1)).unwrap().is_some());
    drop((before, admin, scope, database));
    let database = Database::options().open_on(Arc::new(disk)).unwrap();
    let scope = database.scope("s").unwrap();
    commit(&scope).unwrap();
    assert!(scope.snapshot().unwrap().contains(id).unwrap());
}
