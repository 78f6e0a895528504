//! A file that no commit names is not data: the next open unlinks it, and its number is not given out again.

use crate::kit::{self, kv_log, model};
use lagdb::{Database, Error};
use std::fs;
use std::path::Path;

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
