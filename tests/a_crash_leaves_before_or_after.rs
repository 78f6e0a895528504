//! A power cut at any write, sync or rename of a commit leaves the state before it or after it, whole; and a commit
//! that returned is never lost.

use crate::kit::{self, kv_log, model};
use lagdb::medium::{Damage, FailingMedium, Fault, MemoryMedium};
use lagdb::{Database, Id, Polarity, Query, Result, Strategy, Trajectory};
use std::collections::BTreeMap;
use std::sync::Arc;

type Files = BTreeMap<String, Vec<u8>>;

/// A database with one trajectory and its KV log.
fn before() -> (Files, Id<Trajectory>) {
    let medium = MemoryMedium::new();
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    let id = kit::remember(&database.scope("s").unwrap(), "first", Some(&kv_log(&model(1), 20, 1)));
    drop(database);
    (medium.dump(), id)
}

/// A commit of everything that there is.
fn commit(database: &Database, first: Id<Trajectory>) -> Result<()> {
    let scope = database.scope("s")?;
    let mut tx = scope.begin()?;
    let id = tx.put_new(&kit::trajectory("second"))?;
    tx.embed(id, &kit::embed("second"))?;
    tx.put_kv_log(id, &kv_log(&model(1), 30, 2))?;
    let strategy = tx.put_new(&kit::strategy("lesson", first, Polarity::Support))?;
    tx.embed(strategy, &kit::embed("lesson"))?;
    tx.judge(first, &kit::failure())?;
    tx.put_kv_log(first, &kv_log(&model(1), 25, 3))?;
    tx.commit().map(drop)
}

/// Whether the commit happened; all of it must agree.
fn happened(database: &Database, first: Id<Trajectory>) -> bool {
    let snapshot = database.scope("s").unwrap().snapshot().unwrap();
    let after = snapshot.len::<Trajectory>().unwrap() == 2;
    assert_eq!(snapshot.len::<Strategy>().unwrap(), u64::from(after));
    assert_eq!(snapshot.judgments(first).unwrap().len(), if after { 2 } else { 1 });
    let expected = if after { kv_log(&model(1), 25, 3) } else { kv_log(&model(1), 20, 1) };
    assert_eq!(snapshot.kv_log(first, &model(1)).unwrap().unwrap().to_log().unwrap(), expected);
    let hits = snapshot.search::<Trajectory>(&Query::near(kit::embed("second"))).unwrap();
    assert_eq!(hits[0].record.task, if after { "second" } else { "first" });
    if after {
        let log = snapshot.kv_log(hits[0].id, &model(1)).unwrap().unwrap().to_log().unwrap();
        assert_eq!(log, kv_log(&model(1), 30, 2));
    }
    after
}

fn damages(seed: u64) -> [Damage; 4] {
    [Damage::LoseAll, Damage::KeepAll, Damage::Prefix(seed), Damage::Scattered(seed)]
}

#[test]
fn a_power_cut_at_every_operation_of_a_commit() {
    let (files, first) = before();
    let mut outcomes = [0, 0];
    for at in 0.. {
        let disk = FailingMedium::holding(files.clone());
        let database = Database::options().open_on(Arc::new(disk.clone())).unwrap();
        disk.fail_at(at, Fault::PowerCut);
        let acknowledged = commit(&database, first).is_ok();
        let struck = disk.is_dead();
        drop(database);
        for damage in damages(at) {
            let medium = disk.rebooted(damage);
            let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
            let happened = happened(&database, first);
            assert!(happened || !acknowledged, "operation {at}, {damage:?}: an acknowledged commit is lost");
            outcomes[usize::from(happened)] += 1;
            commit(&database, first).unwrap();
            let names: Vec<_> = medium.dump().into_keys().collect();
            assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
            let report = database.verify(&mut |_| {}).unwrap();
            assert!(report.is_sound(), "operation {at}, {damage:?}: {report:?}");
        }
        if !struck {
            assert!(at > 10, "a commit has more operations than that");
            break;
        }
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0);
}

#[test]
fn a_power_cut_while_a_database_is_made() {
    for at in 0.. {
        let disk = FailingMedium::new();
        disk.fail_at(at, Fault::PowerCut);
        let opened = Database::options().open_on(Arc::new(disk.clone())).is_ok();
        let struck = disk.is_dead();
        for damage in damages(at) {
            let database = Database::options().open_on(Arc::new(disk.rebooted(damage))).unwrap();
            kit::remember(&database.scope("s").unwrap(), "t", None);
        }
        if !struck {
            assert!(opened);
            break;
        }
    }
}

#[test]
fn a_power_cut_while_a_database_is_compacted() {
    let (files, first) = before();
    let medium = MemoryMedium::from_dump(files);
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    commit(&database, first).unwrap();
    drop(database);
    let files = medium.dump();
    for at in 0.. {
        let disk = FailingMedium::holding(files.clone());
        let database = Database::options().open_on(Arc::new(disk.clone())).unwrap();
        disk.fail_at(at, Fault::PowerCut);
        drop(database.compact(&mut |_| {}));
        let struck = disk.is_dead();
        drop(database);
        for damage in damages(at) {
            let database = Database::options().open_on(Arc::new(disk.rebooted(damage))).unwrap();
            assert!(happened(&database, first), "operation {at}, {damage:?}");
        }
        if !struck {
            break;
        }
    }
}
