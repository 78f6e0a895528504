//! A file that is missing, cut off, swapped with another or taken from another time gives the same answers or an error
//! that names a file; and `verify` finds it.

use crate::kit::answers::{CATALOG, Files, answers, database, n_wrong, without_redbs_panic_messages};
use crate::kit::{self, kv_log, model};
use lagdb::medium::{Medium, MemoryMedium};
use lagdb::{Database, Error, Result};
use std::sync::Arc;

/// May be missing: `a_rolled_back_catalog_is_noticed`.
const LATEST: &str = "latest";

/// The database of [`database`] before and after one more commit, with a second segment.
fn before_and_after() -> (Files, Files) {
    let before = database();
    let medium = MemoryMedium::from_dump(before.clone());
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    kit::remember(&database.scope("s").unwrap(), "task number 3 again", Some(&kv_log(&model(1), 6, 9)));
    drop(database);
    (before, medium.dump())
}

/// Right answers and errors that name a file, and nothing else.
fn check(what: &str, good: &[Result<String>], files: &Files) {
    let found = answers(files);
    assert_eq!(n_wrong(good, &found), 0, "{what}");
    for error in found.into_iter().filter_map(Result::err) {
        let named = match &error {
            Error::Corrupt { file, .. } | Error::Unsupported { file, .. } => file.to_string_lossy().into_owned(),
            Error::Io { path, .. } => path.to_string_lossy().into_owned(),
            Error::Poisoned { cause } => cause.clone(),
            other => panic!("{what}: {other}"),
        };
        let is_named = ["catalog", "segments/"].iter().any(|name| named.contains(name));
        assert!(is_named, "{what}: {error} names no file");
    }
}

fn is_found_by_verify(files: &Files) -> bool {
    match lagdb::maintenance::verify_on(&MemoryMedium::from_dump(files.clone()), &mut |_| {}) {
        Ok(report) => !report.is_sound(),
        Err(error) => matches!(error, Error::Corrupt { .. } | Error::Io { .. }),
    }
}

#[test]
fn every_file_missing_swapped_or_empty() {
    without_redbs_panic_messages();
    let (_, files) = before_and_after();
    let good = answers(&files);
    assert!(good.iter().all(Result::is_ok));
    let names: Vec<_> = files.keys().cloned().collect();
    assert_eq!(names, [CATALOG, LATEST, "segments/1.kv", "segments/2.kv"]);
    for name in names.iter().filter(|name| *name != LATEST) {
        let mut missing = files.clone();
        missing.remove(name);
        check(&format!("{name} is missing"), &good, &missing);
        assert!(is_found_by_verify(&missing), "{name} is missing");
        let mut empty = files.clone();
        empty.insert(name.clone(), Vec::new());
        check(&format!("{name} is empty"), &good, &empty);
        assert!(is_found_by_verify(&empty), "{name} is empty");
        for other in names.iter().filter(|other| *other != name) {
            let mut copied = files.clone();
            copied.insert(name.clone(), files[other].clone());
            check(&format!("{name} is a copy of {other}"), &good, &copied);
            assert!(is_found_by_verify(&copied), "{name} is a copy of {other}");
            copied.insert(other.clone(), files[name].clone());
            check(&format!("{name} and {other} are swapped"), &good, &copied);
            assert!(is_found_by_verify(&copied), "{name} and {other} are swapped");
        }
    }
}

#[test]
fn a_copy_under_a_name_that_nobody_knows_changes_nothing() {
    let (_, files) = before_and_after();
    let good = answers(&files);
    for name in files.keys() {
        for new in ["segments/3.kv", "segments/3.tmp", "catalog.new"] {
            let mut more = files.clone();
            more.insert(new.to_owned(), files[name].clone());
            let found = answers(&more);
            assert!(found.iter().all(Result::is_ok) && n_wrong(&good, &found) == 0, "{name} as {new}");
        }
    }
}

#[test]
fn a_segment_of_another_database() {
    let (_, files) = before_and_after();
    let good = answers(&files);
    let medium = MemoryMedium::new();
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    kit::remember(&database.scope("s").unwrap(), "elsewhere", Some(&kv_log(&model(1), 4, 0)));
    drop(database);
    let mut foreign = files.clone();
    foreign.insert("segments/1.kv".to_owned(), medium.dump()["segments/1.kv"].clone());
    check("a segment of another database", &good, &foreign);
    assert!(answers(&foreign).iter().any(Result::is_err) && is_found_by_verify(&foreign));
}

#[test]
fn every_length() {
    without_redbs_panic_messages();
    let (_, files) = before_and_after();
    let good = answers(&files);
    for name in files.keys().filter(|name| *name != CATALOG) {
        for len in (0..files[name].len()).step_by(7) {
            let mut cut = files.clone();
            cut.get_mut(name).unwrap().truncate(len);
            check(&format!("{name} cut off at {len}"), &good, &cut);
        }
    }
    // Lengths that are no whole number of blocks are refused before anything is written.
    let medium = MemoryMedium::from_dump(files.clone());
    let file = medium.open(CATALOG).unwrap();
    for len in (0..files[CATALOG].len() as u64).rev().step_by(61) {
        file.set_len(len).unwrap();
        if len % 4096 == 0 {
            let cut = medium.dump();
            check(&format!("{CATALOG} cut off at {len}"), &good, &cut);
        } else {
            let refused = Database::options().open_on(Arc::new(medium.clone())).map(drop);
            assert!(matches!(refused, Err(Error::Corrupt { .. })), "{CATALOG} cut off at {len}: {refused:?}");
        }
    }
    for len in (0..files[CATALOG].len()).step_by(4096) {
        let mut cut = files.clone();
        cut.get_mut(CATALOG).unwrap().truncate(len);
        check(&format!("{CATALOG} cut off at {len}"), &good, &cut);
        assert!(is_found_by_verify(&cut), "{CATALOG} cut off at {len}");
    }
}
