//! A purged trajectory is on no path and in no file: not its words, not its keys and values, not what was learned from
//! it alone; and a receipt says what went.

use crate::kit::refusing::RefusingMedium;
use crate::kit::{self, embed, kv_log, model};
use lagdb::medium::{Damage, FailingMedium, Fault, MemoryMedium};
use lagdb::{
    Database, Error, Evidence, Exposure, Id, Judgment, Offered, Outcome, Polarity, Query, Scope, Status, Strategy,
    Trajectory, Upkeep,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const MARKER: &str = "zanzibar-marker-7081";

fn in_files(files: &std::collections::BTreeMap<String, Vec<u8>>, needle: &[u8]) -> Vec<String> {
    let has = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    files.iter().filter(|(_, bytes)| has(bytes)).map(|(name, _)| name.clone()).collect()
}

/// The stored bytes of a KV log that begins like no other: the values of its first tokens.
fn numbers(seed: u32) -> Vec<u8> {
    (0..4)
        .map(|i| (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed * 31) as f32 / 1e9)
        .flat_map(f32::to_le_bytes)
        .collect()
}

struct Lived {
    kept: Id<Trajectory>,
    gone: Id<Trajectory>,
    only: Id<Strategy>,
    both: Id<Strategy>,
    /// Strategy whose place `only` took.
    replaced: Id<Strategy>,
}

fn live(scope: &Scope) -> Lived {
    let kept = kit::remember(scope, "an ordinary task", Some(&kv_log(&model(1), 40, 1)));
    let mut tx = scope.begin().unwrap();
    let gone = tx
        .put(&Trajectory::new(format!("task {MARKER}")).step(MARKER, "did").label(MARKER).rollout(MARKER, 0))
        .unwrap();
    tx.embed(gone, &embed(MARKER)).unwrap();
    tx.judge(gone, &Judgment::new(Outcome::Failure, "test").rationale(MARKER)).unwrap();
    tx.put_kv_log(gone, &kv_log(&model(1), 40, 2)).unwrap();
    let only = tx.put(&kit::strategy(&format!("only {MARKER}"), gone, Polarity::Support)).unwrap();
    tx.embed(only, &embed(MARKER)).unwrap();
    let mut both = kit::strategy("both", gone, Polarity::Support);
    let evidence = Evidence { trajectory: kept, first_step: 0, last_step: 0, polarity: Polarity::Support };
    both.provenance.evidence.push(evidence);
    let both = tx.put(&both).unwrap();
    tx.commit().unwrap();
    // A replaced log, and a second judgment: their bytes are dead before the purge.
    let mut tx = scope.begin().unwrap();
    tx.put_kv_log(gone, &kv_log(&model(1), 40, 3)).unwrap();
    tx.judge(gone, &Judgment::new(Outcome::Success, "test").rationale(MARKER)).unwrap();
    tx.commit().unwrap();
    // Another task was offered what goes, and what stays.
    let mut tx = scope.begin().unwrap();
    let replaced = tx.put(&Strategy::new("replaced", "", "")).unwrap();
    tx.supersede_by(replaced, only).unwrap();
    let offered = [Offered::Strategy(only), Offered::KvLog(gone), Offered::Strategy(both)];
    tx.expose(kept, &offered.map(Exposure::injected)).unwrap();
    let third = tx.put(&Trajectory::new("a third task")).unwrap();
    tx.expose(third, &[Exposure::injected(Offered::Strategy(only))]).unwrap();
    tx.commit().unwrap();
    Lived { kept, gone, only, both, replaced }
}

fn options() -> lagdb::Options {
    Database::options().kv_storage(lagdb::KvStorage::Encoding(lagdb::format::Encoding::Plain))
}

fn check_gone(scope: &Scope, lived: &Lived) {
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.get(lived.gone).unwrap(), None);
    assert!(!snapshot.contains(lived.gone).unwrap() && !snapshot.ids::<Trajectory>().unwrap().contains(&lived.gone));
    assert!(snapshot.judgments(lived.gone).unwrap().is_empty() && snapshot.embedding(lived.gone).unwrap().is_none());
    assert_eq!(snapshot.outcome(lived.gone).unwrap(), Outcome::Unknown);
    assert!(snapshot.kv_logs(lived.gone).unwrap().is_empty());
    assert!(snapshot.kv_log(lived.gone, &model(1)).unwrap().is_none());
    assert!(snapshot.strategies_from(lived.gone).unwrap().is_empty());
    assert_eq!(snapshot.get(lived.only).unwrap(), None);
    let found = snapshot.search::<Trajectory>(&Query::near(embed(MARKER)).limit(100)).unwrap();
    assert!(found.iter().all(|hit| hit.id != lived.gone));
    let found = snapshot.search::<Strategy>(&Query::near(embed(MARKER)).limit(100)).unwrap();
    assert!(found.iter().all(|hit| hit.id != lived.only));
    let both = snapshot.get(lived.both).unwrap().unwrap();
    assert!(both.provenance.evidence.iter().all(|evidence| evidence.trajectory == lived.kept));
    assert_eq!(snapshot.strategies_from(lived.kept).unwrap(), [lived.both]);
    for id in snapshot.ids::<Trajectory>().unwrap() {
        let offered: Vec<_> = snapshot.exposures(id).unwrap().iter().map(|exposure| exposure.offered).collect();
        let left = if id == lived.kept { vec![Offered::Strategy(lived.both)] } else { vec![] };
        assert_eq!(offered, left, "what trajectory {id} was offered");
    }
    for offered in [Offered::Strategy(lived.only), Offered::KvLog(lived.gone)] {
        assert!(snapshot.exposed_to(offered).unwrap().is_empty());
    }
    assert!(snapshot.strategy_stats(lived.only).unwrap().is_none());
    assert_eq!(snapshot.strategy_stats(lived.both).unwrap().unwrap().injected.n(), 1);
    let replaced = snapshot.get(lived.replaced).unwrap().unwrap();
    assert_eq!((replaced.status, replaced.superseded_by), (Status::Stale, None));
    assert_eq!(snapshot.kv_log(lived.kept, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 40, 1));
}

#[test]
fn no_path_and_no_file_has_what_was_purged() {
    let medium = MemoryMedium::new();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let lived = live(&scope);
    let before = medium.dump();
    assert!(!in_files(&before, MARKER.as_bytes()).is_empty(), "the test must be able to find it");
    for seed in [1, 2, 3] {
        assert!(!in_files(&before, &numbers(seed)).is_empty(), "the numbers of log {seed} must be found");
    }

    let segment_bytes = database.stats().unwrap().segment_bytes;
    let receipt = scope.purge(lived.gone).unwrap();
    check_gone(&scope, &lived);
    let after = medium.dump();
    assert_eq!(in_files(&after, MARKER.as_bytes()), Vec::<String>::new());
    for seed in [2, 3] {
        assert_eq!(in_files(&after, &numbers(seed)), Vec::<String>::new(), "log {seed}");
    }
    assert!(!in_files(&after, &numbers(1)).is_empty());

    assert!(receipt.digest.is_some() && receipt.judgments == 2 && receipt.kv_logs.len() == 1);
    assert_eq!(
        (receipt.strategies.as_slice(), receipt.stale.as_slice()),
        ([lived.only].as_slice(), [lived.both, lived.replaced].as_slice())
    );
    assert!(receipt.waiting.is_empty(), "{receipt:?}");
    // Of the catalog, a small one written anew may be larger: it begins with some room.
    assert!(database.stats().unwrap().segment_bytes < segment_bytes);
    assert!(receipt.files.iter().any(|file| file.to_string_lossy() == "catalog.redb"));
    assert!(receipt.files.iter().filter(|file| file.starts_with("segments")).count() == 2, "{receipt:?}");
    let report = database.verify(&mut |_| {}).unwrap();
    assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");

    let again = scope.purge(lived.gone).unwrap();
    assert!(again.digest.is_none() && again.kv_logs.is_empty());
    drop((scope, database));
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    check_gone(&database.scope("s").unwrap(), &lived);
}

#[test]
fn what_was_only_deleted_is_erased_too() {
    let medium = MemoryMedium::new();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let lived = live(&scope);
    let mut tx = scope.begin().unwrap();
    assert!(tx.delete(lived.gone).unwrap() && tx.delete(lived.only).unwrap());
    tx.commit().unwrap();
    let receipt = scope.purge(lived.gone).unwrap();
    assert!(receipt.digest.is_none());
    assert!(in_files(&medium.dump(), MARKER.as_bytes()).is_empty());
}

/// A trajectory that was deleted, or whose time was over, is no row any more: a purge of it found nothing to do, and what
/// was learned from it alone stayed, active and with its words, as did its id in evidence and exposures.
#[test]
fn a_purge_of_what_was_deleted_takes_what_was_derived_from_it() {
    let medium = MemoryMedium::new();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let lived = live(&scope);
    let mut tx = scope.begin().unwrap();
    tx.delete(lived.gone).unwrap();
    tx.commit().unwrap();
    assert!(scope.snapshot().unwrap().contains(lived.only).unwrap(), "a delete leaves what was learned");
    let receipt = scope.purge(lived.gone).unwrap();
    assert_eq!((receipt.digest, receipt.strategies.as_slice()), (None, [lived.only].as_slice()));
    assert_eq!(receipt.stale, [lived.both, lived.replaced]);
    check_gone(&scope, &lived);
    assert!(in_files(&medium.dump(), MARKER.as_bytes()).is_empty());
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

/// Only active strategies were marked: a suspended one that lost evidence could be made active again with its old words.
#[test]
fn a_suspended_strategy_that_loses_evidence_is_stale() {
    let (_database, scope) = kit::in_memory();
    let lived = live(&scope);
    let mut tx = scope.begin().unwrap();
    tx.set_status(lived.both, Status::Suspended).unwrap();
    tx.commit().unwrap();
    let receipt = scope.purge(lived.gone).unwrap();
    assert!(receipt.stale.contains(&lived.both));
    let both = scope.snapshot().unwrap().get(lived.both).unwrap().unwrap();
    assert_eq!(both.status, Status::Stale);
    // Distilled again to the same words, it is active.
    let mut tx = scope.begin().unwrap();
    let again = Strategy { status: Status::Active, ..both };
    assert_eq!(tx.put(&again).unwrap(), lived.both);
    tx.commit().unwrap();
    assert_eq!(scope.snapshot().unwrap().get(lived.both).unwrap().unwrap(), again);
}

#[test]
fn a_purge_in_one_scope_leaves_the_others() {
    let (database, scope) = kit::in_memory();
    let lived = live(&scope);
    let other = database.scope("other").unwrap();
    let theirs = kit::remember(&other, "theirs", Some(&kv_log(&model(1), 40, 5)));
    assert!(other.purge(lived.gone).unwrap().digest.is_none(), "not of this scope");
    assert!(scope.snapshot().unwrap().contains(lived.gone).unwrap());
    scope.purge(lived.gone).unwrap();
    let log = other.snapshot().unwrap().kv_log(theirs, &model(1)).unwrap().unwrap().to_log().unwrap();
    assert_eq!(log, kv_log(&model(1), 40, 5));
}

/// Files that a snapshot reads stay until it ends; the receipt names them.
#[test]
fn a_snapshot_keeps_what_it_reads_and_the_receipt_says_so() {
    let medium = MemoryMedium::new();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let lived = live(&scope);
    let pinned = scope.snapshot().unwrap();
    let receipt = scope.purge(lived.gone).unwrap();
    assert_eq!(receipt.waiting.len(), 2, "{receipt:?}");
    assert_eq!(pinned.kv_log(lived.gone, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 40, 3));
    drop(pinned);
    assert!(in_files(&medium.dump(), &numbers(3)).is_empty());
}

/// One commit with a KV log of each of these seeds, and so one segment.
fn logs_in_one_segment(scope: &Scope, seeds: &[u32]) -> Vec<Id<Trajectory>> {
    let mut tx = scope.begin().unwrap();
    let put = |seed: &u32| {
        let id = tx.put_new(&kit::trajectory(&format!("log {seed}"))).unwrap();
        tx.put_kv_log(id, &kv_log(&model(1), 40, *seed)).unwrap();
        id
    };
    let ids = seeds.iter().map(put).collect();
    tx.commit().unwrap();
    ids
}

/// An upkeep that moves whatever is dead, at a pace.
fn upkeep(bytes_per_second: u64) -> Upkeep {
    Upkeep { every: Duration::from_millis(1), dead_share: 0.0, dead_bytes: 1, bytes_per_second, ..Upkeep::default() }
}

/// A purge chose the segments to erase, and then waited for an upkeep that was moving them. The upkeep had copied what was
/// purged meanwhile: the copy lay in a new segment, dead, which the purge did not know; its receipt said all was gone.
#[test]
fn a_purge_beside_the_upkeep_erases_what_the_upkeep_copied() {
    let medium = MemoryMedium::new();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let ids = logs_in_one_segment(&scope, &[11, 12, 13]);
    let mut tx = scope.begin().unwrap();
    tx.delete(ids[0]).unwrap();
    tx.commit().unwrap();
    // Some half a second for each of the two logs.
    let upkeep = database.keep_up(upkeep(16 << 10)).unwrap();
    while in_files(&medium.dump(), &numbers(12)).len() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let receipt = scope.purge(ids[1]).unwrap();
    let left = in_files(&medium.dump(), &numbers(12));
    assert!(left.is_empty(), "{left:?} {receipt:?}");
    assert!(receipt.waiting.is_empty() && receipt.files.len() > 1, "{receipt:?}");
    let log = scope.snapshot().unwrap().kv_log(ids[2], &model(1)).unwrap().unwrap().to_log().unwrap();
    assert_eq!(log, kv_log(&model(1), 40, 13));
    drop(upkeep);
    assert!(!database.stats().unwrap().is_erasing);
}

/// A purge and a compaction waited for a move of the upkeep at the pace of the upkeep.
#[test]
fn a_purge_does_not_wait_at_the_pace_of_the_upkeep() {
    let medium = MemoryMedium::new();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let ids = logs_in_one_segment(&scope, &[11, 12, 13]);
    let mut tx = scope.begin().unwrap();
    tx.delete(ids[0]).unwrap();
    tx.commit().unwrap();
    // At a byte a second the two logs would take hours.
    let upkeep = database.keep_up(upkeep(1)).unwrap();
    while in_files(&medium.dump(), &numbers(12)).len() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    scope.purge(ids[1]).unwrap();
    assert!(in_files(&medium.dump(), &numbers(12)).is_empty());
    drop(upkeep);
    database.compact(&mut |_| {}).unwrap();
    let log = scope.snapshot().unwrap().kv_log(ids[2], &model(1)).unwrap().unwrap().to_log().unwrap();
    assert_eq!(log, kv_log(&model(1), 40, 13));
}

/// Purges, an upkeep and compactions at once: each purge answers for its own bytes, and none takes away the mark of another.
#[test]
fn purges_beside_each_other_and_compactions_leave_nothing() {
    let medium = MemoryMedium::new();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let seeds: Vec<u32> = (20..32).collect();
    let ids = logs_in_one_segment(&scope, &seeds);
    let upkeep = database.keep_up(upkeep(1 << 30)).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..4 {
                database.compact(&mut |_| {}).unwrap();
            }
        });
        for of_one in [0..4, 4..8] {
            let (scope, ids, medium) = (&scope, &ids, &medium);
            threads.spawn(move || {
                for i in of_one {
                    let receipt = scope.purge(ids[i]).unwrap();
                    let mut left = in_files(&medium.dump(), &numbers(20 + i as u32));
                    // The upkeep and the compactions are readers, too, while they count.
                    left.retain(|file| !receipt.waiting.contains(&file.into()));
                    assert!(left.is_empty(), "log {i}: {left:?} {receipt:?}");
                }
            });
        }
    });
    drop(upkeep);
    assert!(!database.stats().unwrap().is_erasing);
    let after = medium.dump();
    assert!((20..28).all(|seed| in_files(&after, &numbers(seed)).is_empty()), "nobody reads any more");
    let snapshot = scope.snapshot().unwrap();
    for (i, id) in ids.iter().enumerate().skip(8) {
        let log = snapshot.kv_log(*id, &model(1)).unwrap().unwrap().to_log().unwrap();
        assert_eq!(log, kv_log(&model(1), 40, 20 + i as u32));
    }
}

/// A damaged KV log stopped a purge after it had noted that bytes are to be erased; from then on every open stopped at the
/// same log, and nothing of the database could be read.
#[test]
fn a_purge_that_meets_damage_leaves_a_database_that_opens() {
    let medium = MemoryMedium::new();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let rotten = logs_in_one_segment(&scope, &[11, 12]);
    let sound = logs_in_one_segment(&scope, &[13, 14]);
    let mut tx = scope.begin().unwrap();
    tx.delete(rotten[0]).unwrap();
    tx.commit().unwrap();
    drop((scope, database));
    let mut files = medium.dump();
    let healthy = files["segments/1.kv"].clone();
    let at = healthy.windows(16).position(|window| window == numbers(12)).unwrap();
    files.get_mut("segments/1.kv").unwrap()[at] ^= 1;

    let medium = MemoryMedium::from_dump(files);
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let error = database.scope("s").unwrap().purge(sound[0]).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { file, .. } if file.ends_with("1.kv")), "{error}");
    assert!(in_files(&medium.dump(), &numbers(13)).is_empty(), "what is not damaged is erased");
    assert!(in_files(&medium.dump(), b"log 13").is_empty(), "the catalog too");
    drop(database);

    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    assert!(database.stats().unwrap().is_erasing, "announced");
    let scope = database.scope("s").unwrap();
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.kv_log(sound[1], &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 40, 14));
    assert!(matches!(snapshot.kv_log(rotten[1], &model(1)), Err(Error::Corrupt { .. })));
    drop(snapshot);
    // Once the damaged log is given up the upkeep finishes what the purge began.
    let mut tx = scope.begin().unwrap();
    tx.delete(rotten[1]).unwrap();
    tx.commit().unwrap();
    let report = database.keep_up(upkeep(1 << 30)).unwrap().look_now();
    assert!(!database.stats().unwrap().is_erasing, "{report:?}");
    assert!(in_files(&medium.dump(), &numbers(11)).is_empty());
}

/// A disk that was full when a purge was to be finished at the open was one on which nothing could be read.
#[test]
fn a_full_disk_at_the_open_leaves_the_purge_for_later() {
    let medium = MemoryMedium::new();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let lived = live(&database.scope("s").unwrap());
    drop(database);
    let is_erasing = |database: &Database| database.stats().unwrap().is_erasing;
    // A power cut right after the commit of the purge.
    let left_by = |at| {
        let disk = FailingMedium::holding(medium.dump());
        let database = options().open_on(Arc::new(disk.clone())).unwrap();
        disk.fail_at(at, Fault::PowerCut);
        drop(database.scope("s").unwrap().purge(lived.gone));
        drop(database);
        disk.after_power_cut(Damage::LoseAll)
    };
    let beside = |files| options().read_only(true).open_on(Arc::new(MemoryMedium::from_dump(files))).unwrap();
    let files = (0..).map(left_by).find(|files| is_erasing(&beside(files.clone()))).unwrap();

    let mut n_left = 0;
    for at in 0.. {
        let disk = FailingMedium::holding(files.clone());
        disk.fail_at(at, Fault::NoSpace);
        let opened = options().open_on(Arc::new(disk.clone()));
        let is_over = disk.n_ops() <= at;
        disk.heal();
        if let Ok(database) = opened {
            let scope = database.scope("s").unwrap();
            assert!(scope.snapshot().unwrap().get(lived.kept).unwrap().is_some());
            n_left += u32::from(is_erasing(&database));
            scope.purge(lived.gone).unwrap();
            assert!(!is_erasing(&database) && in_files(&disk.dump(), &numbers(2)).is_empty(), "operation {at}");
        }
        if is_over {
            break;
        }
    }
    assert!(n_left > 3, "{n_left}");
}

/// An unlink that the disk refused was only logged: the receipt said that the file was given up, and all of it was there.
#[test]
fn a_file_that_the_disk_does_not_let_go_is_on_the_receipt() {
    let medium = RefusingMedium::default();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let ids = logs_in_one_segment(&scope, &[11, 12]);
    medium.refuse(Some("1.kv"));
    let receipt = scope.purge(ids[0]).unwrap();
    assert_eq!(in_files(&medium.files.dump(), &numbers(11)), ["segments/1.kv"]);
    assert_eq!(receipt.waiting, [Path::new("segments/1.kv")]);
    let again = scope.purge(ids[0]).unwrap();
    assert_eq!(again.waiting, [Path::new("segments/1.kv")], "it is still there");
    medium.refuse(None);
    let receipt = scope.purge(ids[0]).unwrap();
    assert!(receipt.waiting.is_empty(), "{receipt:?}");
    assert!(in_files(&medium.files.dump(), &numbers(11)).is_empty());
    assert!(!in_files(&medium.files.dump(), &numbers(12)).is_empty());
}

/// Once the purge is committed its bytes go, whatever comes between: the next open finishes it.
#[test]
fn a_power_cut_at_every_operation_of_a_purge() {
    let medium = MemoryMedium::new();
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let lived = live(&database.scope("s").unwrap());
    drop(database);
    let files = medium.dump();
    let mut n_gone = 0;
    for at in 0.. {
        let disk = FailingMedium::holding(files.clone());
        let database = options().open_on(Arc::new(disk.clone())).unwrap();
        disk.fail_at(at, Fault::PowerCut);
        let purged = database.scope("s").unwrap().purge(lived.gone).is_ok();
        let struck = disk.is_dead();
        drop(database);
        for damage in [Damage::LoseAll, Damage::KeepAll, Damage::Prefix(at), Damage::Scattered(at)] {
            let medium = disk.rebooted(damage);
            let database = options().open_on(Arc::new(medium.clone())).unwrap();
            let scope = database.scope("s").unwrap();
            if scope.snapshot().unwrap().contains(lived.gone).unwrap() {
                assert!(!purged, "operation {at}, {damage:?}: an acknowledged purge is lost");
            } else {
                n_gone += 1;
                check_gone(&scope, &lived);
                let left = in_files(&medium.dump(), MARKER.as_bytes());
                assert!(left.is_empty(), "operation {at}, {damage:?}: {left:?}");
                assert!(in_files(&medium.dump(), &numbers(2)).is_empty(), "operation {at}, {damage:?}");
            }
            let report = database.verify(&mut |_| {}).unwrap();
            assert!(report.is_sound(), "operation {at}, {damage:?}: {report:?}");
        }
        if !struck {
            break;
        }
    }
    assert!(n_gone > 20);
}
