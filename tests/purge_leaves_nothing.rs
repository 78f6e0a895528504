//! A purged trajectory is on no path and in no file: not its words, not its keys and values, not what was learned from
//! it alone; and a receipt says what went.

use crate::kit::purging::{MARKER, check_gone, in_files, live, numbers, options};
use crate::kit::{self, kv_log, model};
use lagdb::medium::MemoryMedium;
use lagdb::{Status, Strategy};
use std::sync::Arc;

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
