//! What stops a purge half-way, damage, a disk that refuses or a power cut, leaves a database that opens, and is made good
//! later.

use crate::kit::purging::{MARKER, check_gone, in_files, live, logs_in_one_segment, numbers, options, upkeep};
use crate::kit::refusing::RefusingMedium;
use crate::kit::{kv_log, model};
use lagdb::medium::{Damage, FailingMedium, Fault, MemoryMedium};
use lagdb::{Database, Error};
use std::path::Path;
use std::sync::Arc;

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
