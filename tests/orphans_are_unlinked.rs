//! A file that no commit names is not data: the next open unlinks it, and its number is not given out again.

use crate::kit::{self, kv_log, model};
use lagdb::medium::{Damage, FailingMedium, Fault, MemoryMedium};
use lagdb::{Database, Error};
use std::fs;
use std::path::Path;
use std::sync::Arc;

#[test]
fn an_orphan_is_unlinked_and_never_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lagdb");
    let database = Database::open(&path).unwrap();
    let scope = database.scope("s").unwrap();
    let id = kit::remember(&scope, "t", Some(&kv_log(&model(1), 10, 1)));
    drop((scope, database));

    let segments = path.join("segments");
    fs::copy(segments.join("1.kv"), segments.join("2.kv")).unwrap();
    fs::write(segments.join("9.tmp"), b"half").unwrap();
    fs::write(path.join("catalog.new"), b"half").unwrap();
    let report = lagdb::maintenance::verify(&path, &mut |_| {}).unwrap();
    assert!(report.is_sound() && report.orphans.len() == 2, "{report:?}");

    let database = Database::open(&path).unwrap();
    assert!(!segments.join("2.kv").exists() && !segments.join("9.tmp").exists() && !path.join("catalog.new").exists());
    let scope = database.scope("s").unwrap();
    assert!(scope.snapshot().unwrap().kv_log(id, &model(1)).unwrap().is_some());
    kit::remember(&scope, "u", Some(&kv_log(&model(1), 10, 2)));
    assert!(segments.join("10.kv").exists(), "the numbers of orphans are burnt");
}

/// After a file with the last number of all, numbers began again at 0, and the next segment emptied a living one.
#[test]
fn a_stray_name_makes_no_number_be_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lagdb");
    let database = Database::open(&path).unwrap();
    let scope = database.scope("s").unwrap();
    let id = kit::remember(&scope, "t", Some(&kv_log(&model(1), 10, 1)));
    drop((scope, database));
    let stray = path.join("segments").join(format!("{}.kv", u64::MAX));
    fs::write(&stray, b"stray").unwrap();
    assert!(matches!(Database::open(&path), Err(Error::Corrupt { .. })));
    // It was no segment of a living commit, and is gone: now there are numbers again.
    let scope = Database::open(&path).unwrap().scope("s").unwrap();
    for i in 0..3 {
        kit::remember(&scope, &format!("u{i}"), Some(&kv_log(&model(1), 10, 2)));
    }
    let log = scope.snapshot().unwrap().kv_log(id, &model(1)).unwrap().unwrap().to_log().unwrap();
    assert_eq!(log, kv_log(&model(1), 10, 1));
}

/// A segment is made under a number that nobody has; where a file has it all the same, it is not emptied.
#[test]
fn a_segment_is_not_written_over_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    let scope = database.scope("s").unwrap();
    kit::remember(&scope, "t", Some(&kv_log(&model(1), 10, 1)));
    let theirs = dir.path().join("segments/2.kv");
    fs::write(&theirs, b"theirs").unwrap();
    let mut tx = scope.begin().unwrap();
    let id = tx.put(&kit::trajectory("u")).unwrap();
    assert!(matches!(tx.put_kv_log(id, &kv_log(&model(1), 10, 2)), Err(Error::Corrupt { .. })));
    drop(tx);
    assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
}

#[test]
fn segments_whose_catalog_was_lost_are_no_orphans() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    kit::remember(&database.scope("s").unwrap(), "t", Some(&kv_log(&model(1), 10, 1)));
    drop(database);
    fs::remove_file(dir.path().join("catalog.redb")).unwrap();
    assert!(matches!(Database::open(dir.path()), Err(Error::Corrupt { .. })));
    assert!(dir.path().join("segments/1.kv").exists());
}

/// It was refused, but only after `lock` and `segments/` had been made there; and a directory that holds nothing but
/// directories counted as empty.
#[test]
fn no_database_is_made_among_other_files() {
    let names = |dir: &Path| -> Vec<_> { fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
    let letter = |dir: &Path| fs::write(dir.join("letter.txt"), b"dear");
    let attic = |dir: &Path| fs::create_dir(dir.join("attic"));
    for make in [&letter as &dyn Fn(&Path) -> std::io::Result<()>, &attic] {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path()).unwrap();
        let before = names(dir.path());
        assert!(matches!(Database::open(dir.path()), Err(Error::Invalid { .. })));
        assert_eq!(names(dir.path()), before, "nothing was left there");
    }
}

/// A crash left a catalog under the name of a new one. The next open took that name away, a purge gave it to its own new
/// catalog and renamed that: a power cut that kept only the renaming put the old leftover in place of the catalog. So the
/// name is taken away durably before it is given again.
#[test]
fn an_unfinished_catalog_never_takes_the_place_of_the_catalog() {
    let medium = MemoryMedium::new();
    let open = |medium: MemoryMedium| Database::options().open_on(Arc::new(medium)).unwrap();
    drop(open(medium.clone()));
    let unfinished = medium.dump()["catalog.redb"].clone();
    let database = open(medium.clone());
    let scope = database.scope("s").unwrap();
    let (gone, kept) = (kit::remember(&scope, "gone", None), kit::remember(&scope, "kept", None));
    drop((scope, database));
    let mut files = medium.dump();
    files.insert("catalog.new".to_owned(), unfinished);
    for at in 0.. {
        let disk = FailingMedium::holding(files.clone());
        disk.fail_at(at, Fault::PowerCut);
        let opened = Database::options().open_on(Arc::new(disk.clone()));
        let purged = opened.and_then(|database| database.scope("s")?.purge(gone));
        for seed in 0..24 {
            let database = open(disk.rebooted(Damage::Scattered(seed)));
            let snapshot = database.scope("s").unwrap().snapshot().unwrap();
            assert!(snapshot.get(kept).unwrap().is_some(), "cut at {at}, seed {seed}");
            assert!(purged.is_err() || !snapshot.contains(gone).unwrap(), "cut at {at}, seed {seed}");
        }
        if !disk.is_dead() {
            break;
        }
    }
}
