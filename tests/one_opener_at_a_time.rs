//! A database that is open is locked: whoever comes second is told by whom, also in the same process.

use crate::kit;
use lagdb::{Database, Error, ErrorKind};

#[test]
fn the_second_opener_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lagdb");
    let first = Database::options().owner("the night shift").open(&path).unwrap();
    let refused = Database::open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Retry);
    let Error::Locked { path: locked, owner } = refused else { panic!("{refused}") };
    assert_eq!((locked, owner.as_str()), (path.clone(), "the night shift"));
    let scope = first.scope("s").unwrap();
    drop(first);
    assert!(Database::open(&path).is_err(), "a scope keeps it open");
    kit::remember(&scope, "t", None);
    drop(scope);
    Database::open(&path).unwrap();
}

/// Closed and opened again while another thread started a process, a database seemed to be open elsewhere: until it runs
/// its program, the child has a copy of the lock.
#[test]
fn a_lock_that_is_just_being_let_go_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    drop(Database::open(dir.path()).unwrap());
    let copy = std::fs::OpenOptions::new().read(true).write(true).open(dir.path().join("lock")).unwrap();
    copy.lock().unwrap();
    let child = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(10));
        drop(copy);
    });
    Database::open(dir.path()).unwrap();
    child.join().unwrap();
}

#[test]
fn the_default_owner_names_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Database::open(dir.path()).unwrap();
    let refused = Database::open(dir.path()).unwrap_err().to_string();
    assert!(refused.contains(&std::process::id().to_string()), "{refused}");
}

#[test]
fn a_database_that_is_not_there_is_not_made_unless_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.lagdb");
    assert!(matches!(Database::options().create(false).open(&path), Err(Error::Io { .. })));
    assert!(lagdb::maintenance::verify(&path, &mut |_| {}).is_err());
    assert!(!path.exists());
}

/// Verifying a database of somebody else's, or on a disk that is mounted to be read, failed: its lock could not be opened
/// to write the owner's name, nor its files.
#[cfg(unix)]
#[test]
fn a_database_that_may_not_be_written_to_is_verified() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    let log = kit::kv_log(&kit::model(1), 5, 1);
    kit::remember(&database.scope("s").unwrap(), "t", Some(&log));
    drop(database);
    let mode =
        |name: &str, mode| std::fs::set_permissions(dir.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
    ["lock", "catalog.redb", "segments/1.kv"].into_iter().for_each(|file| mode(file, 0o444));
    ["segments", ""].into_iter().for_each(|folder| mode(folder, 0o555));
    let report = lagdb::maintenance::verify(dir.path(), &mut |_| {});
    ["", "segments"].into_iter().for_each(|folder| mode(folder, 0o755));
    let report = report.unwrap();
    assert!(report.is_sound() && report.segments == 1, "{report:?}");
}
