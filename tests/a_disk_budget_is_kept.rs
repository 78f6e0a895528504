//! What is too much goes, the least valuable first; it is counted, never silently, and what can be given back goes first.

use crate::kit::{self, kv_log, model};
use lagdb::format::Encoding;
use lagdb::{Database, DiskBudget, KvStorage, Scope, Trajectory, Upkeep};
use std::fs;
use std::time::Duration;

/// An upkeep that moves whatever is dead and never looks unasked.
fn eager() -> Upkeep {
    Upkeep { every: Duration::from_secs(3600), dead_share: 0.0, dead_bytes: 1, ..Upkeep::default() }
}

fn lives(scope: &Scope, n: u32) -> Vec<lagdb::Id<Trajectory>> {
    (0..n).map(|i| kit::remember(scope, &format!("t{i}"), Some(&kv_log(&model(1), 100, i)))).collect()
}

#[test]
fn the_least_valuable_logs_go_until_the_budget_holds() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    let scope = database.scope("s").unwrap();
    let ids = lives(&scope, 4);
    let mut tx = scope.begin().unwrap();
    tx.judge(ids[3], &kit::failure()).unwrap();
    tx.commit().unwrap();
    let theirs = kit::remember(&database.scope("other").unwrap(), "theirs", Some(&kv_log(&model(1), 100, 9)));
    let one = scope.snapshot().unwrap().kv_logs(ids[0]).unwrap()[0].n_bytes;

    let none = DiskBudget::default();
    assert_eq!(database.evict(none).unwrap().kv_logs, 0);
    assert_eq!(database.evict(DiskBudget { bytes: Some(6 * one), ..none }).unwrap().commit, None);
    let evicted = database.evict(DiskBudget { bytes_per_scope: Some(2 * one + one / 2), ..none }).unwrap();
    assert_eq!((evicted.kv_logs, evicted.commit), (2, Some(scope.snapshot().unwrap().commit_id())));
    let has = |scope: &Scope, id| scope.snapshot().unwrap().kv_log(id, &model(1)).unwrap().is_some();
    assert_eq!(ids.iter().map(|id| has(&scope, *id)).collect::<Vec<_>>(), [false, true, true, false]);
    assert!(has(&database.scope("other").unwrap(), theirs), "another scope has a budget of its own");
    assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), 4, "only KV logs go");
    let live = database.stats().unwrap().live_bytes;
    database.evict(DiskBudget { bytes: Some(live - 1), ..none }).unwrap();

    let stats = database.stats().unwrap();
    assert_eq!((stats.kv_logs, stats.evicted_kv_logs), (2, 3));
    assert!(stats.evicted_bytes > 2 * one && stats.dead_bytes >= stats.evicted_bytes);
    database.compact(&mut |_| {}).unwrap();
    drop((scope, database));
    let database = Database::open(dir.path()).unwrap();
    assert_eq!(database.stats().unwrap().evicted_kv_logs, 3, "counted for good");
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());

    let upkeep = database.keep_up(Upkeep { budget: DiskBudget { bytes: Some(0), ..none }, ..eager() }).unwrap();
    let report = upkeep.look_now().unwrap();
    assert_eq!((report.evicted.kv_logs, database.stats().unwrap().segments), (2, 0), "{report:?}");
}

/// A budget once counted only the bytes that can be read: files with dead bytes in them grew beyond it.
#[test]
fn all_files_together_keep_a_budget() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Database::options().kv_storage(KvStorage::Encoding(Encoding::Plain));
    let database = options().open(dir.path()).unwrap();
    let scope = database.scope("s").unwrap();
    let ids = lives(&scope, 24);
    let on_disk = || -> u64 {
        let size = |dir: std::path::PathBuf| -> u64 {
            fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().metadata().unwrap())
                .filter(|it| it.is_file())
                .map(|it| it.len())
                .sum()
        };
        ["", "segments", "index"].map(|name| size(dir.path().join(name))).iter().sum()
    };
    let one = scope.snapshot().unwrap().kv_logs(ids[0]).unwrap()[0].n_bytes;
    let mut tx = scope.begin().unwrap();
    assert!(ids[..8].iter().all(|id| tx.delete(*id).unwrap()));
    tx.commit().unwrap();
    let limit = on_disk() - 12 * one;
    // What is dead is less than asks for a move by itself.
    let patient = Upkeep { dead_bytes: 1 << 40, ..eager() };
    let upkeep = database
        .keep_up(Upkeep { budget: DiskBudget { file_bytes: Some(limit), ..DiskBudget::default() }, ..patient })
        .unwrap();
    let report = upkeep.look_now().unwrap();
    assert_eq!((&report.failure, report.beyond_bytes), (&None, 0), "{report:?}");
    assert!(on_disk() <= limit, "{} of {limit}", on_disk());
    let left = database.stats().unwrap().kv_logs;
    assert!((10..=13).contains(&left), "no more went than had to: {left} of 16");

    drop(upkeep);
    let upkeep = database
        .keep_up(Upkeep { budget: DiskBudget { file_bytes: Some(1), ..DiskBudget::default() }, ..patient })
        .unwrap();
    let report = upkeep.look_now().unwrap();
    assert_eq!(
        (database.stats().unwrap().kv_logs, report.beyond_bytes),
        (0, on_disk() - 1),
        "what cannot be kept is said"
    );
    assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), 16);
}

/// KV logs went for good for pages of the catalog that were free.
#[test]
fn a_catalog_that_is_mostly_free_gives_way_before_a_kv_log() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    let scope = database.scope("s").unwrap();
    let ids = lives(&scope, 4);
    let text = |i: u32| format!("{i} {}", "long ".repeat(20_000));
    let mut tx = scope.begin().unwrap();
    let long: Vec<_> = (0..60).map(|i| tx.put(&kit::trajectory(&text(i))).unwrap()).collect();
    tx.commit().unwrap();
    // Whoever reads keeps the pages of what is deleted from being used again.
    let reader = scope.snapshot().unwrap();
    let mut tx = scope.begin().unwrap();
    assert!(long.iter().all(|id| tx.delete(*id).unwrap()));
    tx.commit().unwrap();
    let full = database.stats().unwrap().catalog_bytes;
    let budget = DiskBudget { file_bytes: Some(full), ..DiskBudget::default() };
    let upkeep = database.keep_up(Upkeep { budget, ..Upkeep::default() }).unwrap();
    let report = upkeep.look_now().unwrap();
    assert_eq!((report.evicted.kv_logs, report.beyond_bytes, &report.failure), (0, 0, &None), "{report:?}");
    assert!(database.stats().unwrap().catalog_bytes < full / 2);
    assert!(ids.iter().all(|id| scope.snapshot().unwrap().kv_log(*id, &model(1)).unwrap().is_some()));
    assert_eq!(reader.get(long[7]).unwrap().unwrap().task, text(7));
}
