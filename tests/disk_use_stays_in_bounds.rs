//! What is dead is given back in the background and what is too much is evicted: bounded, counted, never silently, and
//! never what a reader still reads.

use crate::kit::{self, kv_log, model};
use lagdb::format::Encoding;
use lagdb::maintenance::SegmentDebt;
use lagdb::medium::MemoryMedium;
use lagdb::{Database, Error, KvStorage, Scope, Trajectory, Upkeep};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// An upkeep that moves whatever is dead and never looks unasked.
fn eager() -> Upkeep {
    Upkeep { every: Duration::from_secs(3600), dead_share: 0.0, dead_bytes: 1, ..Upkeep::default() }
}

fn lives(scope: &Scope, n: u32) -> Vec<lagdb::Id<Trajectory>> {
    (0..n).map(|i| kit::remember(scope, &format!("t{i}"), Some(&kv_log(&model(1), 100, i)))).collect()
}

#[test]
fn debt_is_visible_by_segment_and_is_given_back_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    let scope = database.scope("s").unwrap();
    let n_files = || fs::read_dir(dir.path().join("segments")).unwrap().count();
    let mut tx = scope.begin().unwrap();
    let ids: Vec<_> = (0..4).map(|i| tx.put(&kit::trajectory(&format!("a{i}"))).unwrap()).collect();
    (0..4).for_each(|i| tx.put_kv_log(ids[i], &kv_log(&model(1), 100, i as u32)).unwrap());
    tx.commit().unwrap();
    let others = lives(&scope, 2);
    assert_eq!(database.debt().unwrap().dead_bytes, 0);
    let mut tx = scope.begin().unwrap();
    tx.delete(ids[0]).unwrap();
    tx.delete(others[0]).unwrap();
    tx.commit().unwrap();

    let debt = database.debt().unwrap();
    let of = |segment: u64| debt.segments.iter().find(|debt| debt.segment.as_u64() == segment).unwrap();
    assert_eq!(debt.segments.len(), 2);
    assert!(of(1).live_bytes > 2 * of(1).dead_bytes && of(1).dead_bytes > 0, "{debt:?}");
    assert_eq!(of(2).live_bytes, 0);
    assert_eq!(debt.dead_bytes, debt.segments.iter().map(|SegmentDebt { dead_bytes, .. }| dead_bytes).sum::<u64>());
    assert_eq!((debt.dead_bytes, debt.live_bytes), {
        let stats = database.stats().unwrap();
        (stats.dead_bytes, stats.live_bytes)
    });

    let patient = database.keep_up(Upkeep { dead_bytes: 1 << 30, ..eager() }).unwrap();
    assert_eq!(patient.look_now().unwrap().segments, 0, "too little is dead");
    drop(patient);
    assert_eq!(n_files(), 3);

    let pinned = scope.snapshot().unwrap();
    let upkeep = database.keep_up(eager()).unwrap();
    let report = upkeep.look_now().unwrap();
    assert_eq!((report.segments, report.freed_bytes, &report.failure), (2, debt.dead_bytes, &None));
    assert_eq!(report.copied_bytes, of(1).live_bytes);
    assert_eq!(n_files(), 4, "a reader keeps what it reads");
    assert!(pinned.kv_log(ids[1], &model(1)).unwrap().is_some());
    drop(pinned);
    assert_eq!(n_files(), 2);
    assert_eq!(database.debt().unwrap().dead_bytes, 0);
    let snapshot = scope.snapshot().unwrap();
    for (i, id) in ids.iter().enumerate().skip(1) {
        let log = snapshot.kv_log(*id, &model(1)).unwrap().unwrap().to_log().unwrap();
        assert_eq!(log, kv_log(&model(1), 100, i as u32));
    }
    drop(upkeep);
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

#[test]
fn the_pace_is_kept_and_an_end_comes_at_once() {
    let (database, scope) = kit::in_memory();
    let ids = lives(&scope, 3);
    let mut tx = scope.begin().unwrap();
    let doubled: Vec<_> = (0..2).map(|i| tx.put(&kit::trajectory(&format!("d{i}"))).unwrap()).collect();
    doubled.iter().for_each(|id| tx.put_kv_log(*id, &kv_log(&model(1), 100, 7)).unwrap());
    tx.commit().unwrap();
    let mut tx = scope.begin().unwrap();
    tx.delete(doubled[0]).unwrap();
    tx.commit().unwrap();
    // At a byte a second the copy would take hours.
    let upkeep = database.keep_up(Upkeep { bytes_per_second: 1, every: Duration::from_millis(1), ..eager() }).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    drop(upkeep);
    let debt = database.debt().unwrap();
    assert!(debt.dead_bytes > 0, "nothing was moved");
    assert!(scope.snapshot().unwrap().kv_log(ids[0], &model(1)).unwrap().is_some());
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

/// One damaged log made every round copy all that lives before it, throw the copies away and begin again for ever; nothing
/// was given back.
#[test]
fn a_damaged_log_keeps_only_its_own_segment() {
    let medium = MemoryMedium::new();
    let options = || Database::options().kv_storage(KvStorage::Encoding(Encoding::Plain));
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let segment = |seed: u32| {
        let mut tx = scope.begin().unwrap();
        let ids = [seed, seed + 1].map(|seed| {
            let id = tx.put_new(&kit::trajectory(&format!("log {seed}"))).unwrap();
            tx.put_kv_log(id, &kv_log(&model(1), 100, seed)).unwrap();
            id
        });
        tx.commit().unwrap();
        ids
    };
    let [rotten, sound, later] = [segment(10), segment(20), segment(30)];
    let mut tx = scope.begin().unwrap();
    tx.delete(rotten[0]).unwrap();
    tx.delete(sound[0]).unwrap();
    tx.commit().unwrap();
    drop((scope, database));
    let mut files = medium.dump();
    let bytes = files.get_mut("segments/1.kv").unwrap();
    let at = bytes.len() * 3 / 4;
    bytes[at] ^= 1;

    let medium = MemoryMedium::from_dump(files);
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    assert!(scope.snapshot().unwrap().kv_log(rotten[1], &model(1)).is_err(), "the damage is in what lives");
    let upkeep = database.keep_up(eager()).unwrap();
    let report = upkeep.look_now().unwrap();
    assert_eq!((report.segments, report.damaged.len()), (1, 1), "{report:?}");
    assert!(report.damaged.values().all(|error| error.contains("segments/1.kv")), "{report:?}");
    assert!(!medium.dump().contains_key("segments/2.kv") && medium.dump().contains_key("segments/1.kv"));
    let mut tx = scope.begin().unwrap();
    tx.delete(later[0]).unwrap();
    tx.commit().unwrap();
    let again = upkeep.look_now().unwrap();
    assert_eq!((again.segments, again.damaged), (2, report.damaged), "{:?}", again.failure);
    let snapshot = scope.snapshot().unwrap();
    for (id, seed) in [(sound[1], 21), (later[1], 31)] {
        let log = snapshot.kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap();
        assert_eq!(log, kv_log(&model(1), 100, seed));
    }
}

/// Every commit of a KV log makes a segment: an agent that remembered a task at a time had as many files as tasks.
#[test]
fn many_small_segments_become_few() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::options().kv_storage(KvStorage::Encoding(Encoding::Plain)).open(dir.path()).unwrap();
    let scope = database.scope("s").unwrap();
    let ids = lives(&scope, 40);
    let one = scope.snapshot().unwrap().kv_logs(ids[0]).unwrap()[0].n_bytes;
    let n_files = || fs::read_dir(dir.path().join("segments")).unwrap().count();
    assert_eq!(n_files(), 40);
    drop(database.keep_up(Upkeep { merge: 0, ..Upkeep::default() }).map(|upkeep| upkeep.look_now().unwrap()).unwrap());
    drop(database.keep_up(Upkeep { merge: 41, ..Upkeep::default() }).map(|upkeep| upkeep.look_now().unwrap()).unwrap());
    assert_eq!(n_files(), 40, "left as they are");
    let upkeep = database.keep_up(Upkeep::default()).unwrap();
    let report = upkeep.look_now().unwrap();
    assert_eq!((report.segments, report.copied_bytes, &report.failure), (40, 40 * one, &None));
    assert_eq!(n_files(), 1);
    let copied = upkeep.look_now().unwrap().copied_bytes;
    assert_eq!(copied, report.copied_bytes, "once");
    for (id, i) in ids.iter().zip(0..) {
        let log = scope.snapshot().unwrap().kv_log(*id, &model(1)).unwrap().unwrap().to_log().unwrap();
        assert_eq!(log, kv_log(&model(1), 100, i));
    }
    drop(upkeep);
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

#[test]
fn writers_and_readers_go_on_while_logs_move() {
    let (database, scope) = kit::in_memory();
    let upkeep = database.keep_up(eager()).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| (0..30).for_each(|_| drop(upkeep.look_now().unwrap())));
        let mut ids = Vec::new();
        for i in 0..60u32 {
            ids.push(kit::remember(&scope, &format!("t{i}"), Some(&kv_log(&model(1), 20, i))));
            let mut tx = scope.begin().unwrap();
            // Replaced and deleted while they may be on the move.
            let at = (i as usize * 7) % ids.len();
            tx.put_kv_log(ids[at], &kv_log(&model(1), 20, 1000 + i)).unwrap();
            tx.commit().unwrap();
            let snapshot = scope.snapshot().unwrap();
            let log = snapshot.kv_log(ids[at], &model(1)).unwrap().unwrap().to_log().unwrap();
            assert_eq!(log, kv_log(&model(1), 20, 1000 + i));
        }
    });
    assert_eq!(upkeep.look_now().unwrap().failure, None);
    assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), 60);
    assert_eq!(database.stats().unwrap().kv_logs, 60);
    let report = database.verify(&mut |_| {}).unwrap();
    assert!(report.is_sound() && report.orphans.is_empty(), "{report:?}");
}

/// A snapshot kept every segment that was given up after it began, those included that were made after it began: with one
/// reader, merging and moving filled the disk.
#[test]
fn a_reader_keeps_only_what_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::options().kv_storage(KvStorage::Encoding(Encoding::Plain)).open(dir.path()).unwrap();
    let scope = database.scope("s").unwrap();
    let old = lives(&scope, 2);
    let reader = scope.snapshot().unwrap();
    let n_files = || fs::read_dir(dir.path().join("segments")).unwrap().count();
    let upkeep = database.keep_up(eager()).unwrap();
    for i in 0..20 {
        let name = format!("later {i}");
        let id = kit::remember(&scope, &name, Some(&kv_log(&model(1), 100, 100 + i)));
        kit::remember(&scope, &format!("kept {i}"), Some(&kv_log(&model(1), 100, 200 + i)));
        let mut tx = scope.begin().unwrap();
        tx.delete(id).unwrap();
        tx.commit().unwrap();
        let report = upkeep.look_now().unwrap();
        assert_eq!(report.failure, None);
    }
    assert!(n_files() <= 2 + 16 + 1, "{} files", n_files());
    let mut tx = scope.begin().unwrap();
    assert!(old.iter().all(|id| tx.delete(*id).unwrap()));
    tx.commit().unwrap();
    upkeep.look_now().unwrap();
    for (id, i) in old.iter().zip(0..) {
        assert_eq!(reader.kv_log(*id, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 100, i));
    }
    let before = n_files();
    drop(reader);
    assert_eq!(n_files(), before - 2);
}

/// The dead bytes of a damaged segment, which nobody can give back, made the upkeep copy all others in every round.
#[test]
fn what_is_dead_in_a_damaged_segment_asks_for_nothing() {
    let medium = MemoryMedium::new();
    let options = || Database::options().kv_storage(KvStorage::Encoding(Encoding::Plain));
    let database = options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let put = |seeds: std::ops::Range<u32>| {
        let mut tx = scope.begin().unwrap();
        let ids: Vec<_> = seeds
            .map(|seed| {
                let id = tx.put_new(&kit::trajectory(&format!("log {seed}"))).unwrap();
                tx.put_kv_log(id, &kv_log(&model(1), 100, seed)).unwrap();
                id
            })
            .collect();
        tx.commit().unwrap();
        ids
    };
    let (rotten, sound) = (put(0..10), put(20..30));
    let mut tx = scope.begin().unwrap();
    assert!(rotten[..9].iter().chain(&sound[..1]).all(|id| tx.delete(*id).unwrap()));
    tx.commit().unwrap();
    drop((scope, database));
    let mut files = medium.dump();
    let bytes = files.get_mut("segments/1.kv").unwrap();
    let at = bytes.len() * 19 / 20 - 600;
    bytes[at] ^= 1;

    let database = options().open_on(Arc::new(MemoryMedium::from_dump(files))).unwrap();
    let scope = database.scope("s").unwrap();
    assert!(scope.snapshot().unwrap().kv_log(rotten[9], &model(1)).is_err(), "the damage is in what lives");
    let debt = database.debt().unwrap();
    let of = |id: u64| debt.segments.iter().find(|of| of.segment.as_u64() == id).unwrap().dead_bytes;
    // With the damaged one enough is dead, without it too little.
    let upkeep = database.keep_up(Upkeep { dead_bytes: 3 * of(2), ..eager() }).unwrap();
    for seed in 40..43 {
        let report = upkeep.look_now().unwrap();
        assert_eq!((report.segments, report.copied_bytes, report.damaged.len()), (0, 0, 1), "{report:?}");
        kit::remember(&scope, &format!("one more {seed}"), Some(&kv_log(&model(1), 100, seed)));
    }
}

/// To wait for the background while one's own transaction stopped it was to wait for ever.
#[test]
fn an_upkeep_never_waits_for_the_thread_that_waits_for_it() {
    let (database, scope) = kit::in_memory();
    let ids = lives(&scope, 2);
    let mut tx = scope.begin().unwrap();
    tx.delete(ids[0]).unwrap();
    tx.commit().unwrap();
    let upkeep = database.keep_up(Upkeep { every: Duration::from_millis(1), ..eager() }).unwrap();
    let tx = scope.begin().unwrap();
    assert!(matches!(upkeep.look_now(), Err(Error::Invalid { .. })));
    // The round that began meanwhile, if one did, waits for the transaction.
    std::thread::sleep(Duration::from_millis(20));
    drop(upkeep);
    drop(tx);
    assert!(scope.snapshot().unwrap().kv_log(ids[1], &model(1)).unwrap().is_some());
}

/// A transaction of many KV logs once wrote one segment without a limit, which a compaction had to copy as a whole.
#[test]
fn a_segment_ends_when_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Database::options().kv_storage(KvStorage::Encoding(Encoding::Plain)).segment_bytes(100_000);
    let database = options().open(dir.path()).unwrap();
    let scope = database.scope("s").unwrap();
    let sizes = || -> Vec<u64> {
        let files = fs::read_dir(dir.path().join("segments")).unwrap();
        files.map(|entry| entry.unwrap().metadata().unwrap().len()).collect()
    };
    let put = |n: u32| -> Vec<_> {
        let mut tx = scope.begin().unwrap();
        let ids: Vec<_> = (0..n).map(|i| tx.put_new(&kit::trajectory(&format!("{i}"))).unwrap()).collect();
        ids.iter().zip(0..).for_each(|(id, i)| tx.put_kv_log(*id, &kv_log(&model(1), 100, i)).unwrap());
        assert!(matches!(tx.kv_log(ids[0], &model(1)), Err(Error::Invalid { .. })), "not readable before the commit");
        tx.commit().unwrap();
        ids
    };
    let ids = put(12);
    let one = scope.snapshot().unwrap().kv_logs(ids[0]).unwrap()[0].n_bytes;
    assert!(sizes().len() >= 2 && sizes().iter().all(|len| *len < 100_000 + 2 * one), "{:?} of {one}", sizes());
    let check = |ids: &[_]| {
        let snapshot = scope.snapshot().unwrap();
        for (id, i) in ids.iter().zip(0..) {
            assert_eq!(snapshot.kv_log(*id, &model(1)).unwrap().unwrap().to_log().unwrap(), kv_log(&model(1), 100, i));
        }
    };
    check(&ids);

    // One that is dropped leaves no file of the several behind.
    let n_files = sizes().len();
    let mut tx = scope.begin().unwrap();
    let id = tx.put_new(&kit::trajectory("dropped")).unwrap();
    (0..12).for_each(|i| {
        let of_model = model(50 + i as u8);
        tx.put_kv_log(id, &kv_log(&of_model, 100, i)).unwrap();
    });
    assert!(sizes().len() >= n_files + 2);
    drop(tx);
    assert_eq!(sizes().len(), n_files);
    check(&ids);
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    let (database, _) = kit::in_memory();
    let refused = |upkeep: Upkeep, field: &str| match database.keep_up(upkeep) {
        Err(Error::Invalid { what, .. }) => assert_eq!(what, field),
        other => panic!("{other:?}"),
    };
    refused(Upkeep { dead_share: 1.5, ..eager() }, "dead_share");
    refused(Upkeep { dead_share: f64::NAN, ..eager() }, "dead_share");
    refused(Upkeep { bytes_per_second: 0, ..eager() }, "bytes_per_second");
}
