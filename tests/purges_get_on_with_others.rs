//! A purge erases also what others copy meanwhile, and waits for nobody at leisure: the upkeep, a compaction, another
//! purge.

use crate::kit::purging::{in_files, logs_in_one_segment, numbers, options, upkeep};
use crate::kit::{kv_log, model};
use lagdb::medium::MemoryMedium;
use std::sync::Arc;
use std::time::Duration;

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
    let mut left = in_files(&medium.dump(), &numbers(12));
    // The upkeep is a reader, too, while it counts; the receipt says so.
    left.retain(|file| !receipt.waiting.contains(&file.into()));
    assert!(left.is_empty() && receipt.files.len() > 1, "{left:?} {receipt:?}");
    let log = scope.snapshot().unwrap().kv_log(ids[2], &model(1)).unwrap().unwrap().to_log().unwrap();
    assert_eq!(log, kv_log(&model(1), 40, 13));
    drop(upkeep);
    assert!(!database.stats().unwrap().is_erasing);
    assert!(in_files(&medium.dump(), &numbers(12)).is_empty(), "nobody reads any more");
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
