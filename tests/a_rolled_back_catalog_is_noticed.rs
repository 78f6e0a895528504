//! A catalog that was replaced as a whole by an older one, or taken away, is noticed although every checksum is right: a
//! commit that was acknowledged does not vanish in silence.

use crate::kit::answers::{CATALOG, Files};
use crate::kit::{self, kv_log, model};
use lagdb::medium::{FailingMedium, MemoryMedium, OpKind};
use lagdb::{Database, Error, Options, Trajectory};
use std::sync::Arc;

const LATEST: &str = "latest";

/// A database after one commit and after two more, the last of them with a KV log.
fn early_and_late() -> (Files, Files) {
    let medium = MemoryMedium::new();
    let open = || Database::options().open_on(Arc::new(medium.clone())).unwrap();
    let commit = |database: &Database, task, log| {
        kit::remember(&database.scope("s").unwrap(), task, log);
    };
    commit(&open(), "first", None);
    let early = medium.dump();
    commit(&open(), "second", None);
    commit(&open(), "third", Some(&kv_log(&model(1), 3, 3)));
    (early, medium.dump())
}

fn open(files: &Files, options: Options) -> (MemoryMedium, lagdb::Result<Database>) {
    let medium = MemoryMedium::from_dump(files.clone());
    let opened = options.open_on(Arc::new(medium.clone()));
    (medium, opened)
}

fn refused(files: &Files, options: Options, why: &str) {
    let (medium, opened) = open(files, options);
    match opened {
        Err(Error::Corrupt { file, what, .. }) if file.ends_with(CATALOG) => {
            assert!(what.contains("commit 3"), "{what}")
        }
        other => panic!("{why}: {other:?}"),
    }
    assert_eq!(medium.dump().contains_key("segments/1.kv"), files.contains_key("segments/1.kv"), "{why}: unlinked");
    let report = lagdb::maintenance::verify_on(&medium, &mut |_| {});
    assert!(!report.is_ok_and(|report| report.is_sound()), "{why}: verify finds it");
}

#[test]
fn an_older_catalog_in_place_of_the_latest() {
    let (early, late) = early_and_late();
    let mut rolled_back = late.clone();
    rolled_back.insert(CATALOG.to_owned(), early[CATALOG].clone());
    refused(&rolled_back, Database::options(), "rolled back");
    refused(&rolled_back, Database::options().read_only(true), "rolled back, to read");
    rolled_back.remove("segments/1.kv");
    refused(&rolled_back, Database::options(), "rolled back, without its segments");

    rolled_back.remove(LATEST);
    let (_, opened) = open(&rolled_back, Database::options());
    let ids = opened.unwrap().scope("s").unwrap().snapshot().unwrap().ids::<Trajectory>().unwrap();
    assert_eq!(ids.len(), 1, "who takes the note away gets the older catalog");
}

#[test]
fn a_catalog_that_is_gone() {
    let (_, mut files) = early_and_late();
    files.remove(CATALOG);
    files.remove("segments/1.kv");
    let (medium, opened) = open(&files, Database::options());
    assert!(matches!(opened, Err(Error::Corrupt { .. })), "{opened:?}");
    assert!(!medium.dump().contains_key(CATALOG), "no other is made in its place");
    files.remove(LATEST);
    assert!(open(&files, Database::options()).1.is_ok());
}

#[test]
fn a_damaged_note_is_no_note_and_is_written_anew() {
    let (_, late) = early_and_late();
    for at in 0..late[LATEST].len() {
        let mut files = late.clone();
        files.get_mut(LATEST).unwrap()[at] ^= 0x10;
        let (medium, opened) = open(&files, Database::options());
        let database = opened.unwrap();
        kit::remember(&database.scope("s").unwrap(), "fourth", None);
        drop(database);
        let mut rolled_back = medium.dump();
        rolled_back.insert(CATALOG.to_owned(), late[CATALOG].clone());
        assert!(open(&rolled_back, Database::options()).1.is_err(), "byte {at}");
    }
}

/// What it costs: a write, and no sync. A commit is one sync; with a KV log, one more of the segment and one of its name.
#[test]
fn a_commit_is_one_sync_nevertheless() {
    let disk = FailingMedium::new();
    let database = Database::options().open_on(Arc::new(disk.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    kit::remember(&scope, "warm", None);
    let syncs_of = |task: &str, log: Option<lagdb::format::KvLog>| {
        let before = disk.ops().len();
        kit::remember(&scope, task, log.as_ref());
        let ops = disk.ops().split_off(before);
        let [syncs, names, lengths] =
            [OpKind::Sync, OpKind::SyncDir, OpKind::SetLen].map(|kind| ops.iter().filter(|op| **op == kind).count());
        // Before the file is cut off there is one more, which is seldom.
        (lengths == 0).then_some([syncs, names])
    };
    let syncs: Vec<_> = (0..20).filter_map(|i| syncs_of(&format!("task {i}"), None)).collect();
    assert!(syncs.len() > 10 && syncs.iter().all(|of| *of == [1, 0]), "{syncs:?}");
    let syncs: Vec<_> = (0..4).filter_map(|i| syncs_of("with a KV log", Some(kv_log(&model(1), 3, i)))).collect();
    assert!(syncs.len() > 1 && syncs.iter().all(|of| *of == [2, 1]), "{syncs:?}");
}
