//! A purged trajectory is on no path and in no file: not its words, not its keys and values, not what was learned from
//! it alone; and a receipt says what went.

use crate::kit::{self, embed, kv_log, model};
use lagdb::medium::{Damage, FailingMedium, Fault, MemoryMedium};
use lagdb::{
    Database, Evidence, Exposure, Id, Judgment, Offered, Outcome, Polarity, Query, Scope, Status, Strategy, Trajectory,
};
use std::sync::Arc;

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
