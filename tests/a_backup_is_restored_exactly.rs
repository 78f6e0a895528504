//! A backup is one commit, taken while writing goes on; restored, it answers as the database did; damaged, it is refused.

use crate::kit::{self, kv_log, model};
use lagdb::maintenance::{restore, restore_on};
use lagdb::medium::{FailingMedium, Fault, MemoryMedium};
use lagdb::{Database, Error, Polarity, Query, Scope, Strategy, Trajectory};
use std::fs;
use std::sync::Arc;

fn filled(database: &Database) -> Scope {
    let scope = database.scope("s").unwrap();
    let ids: Vec<_> =
        (0..6).map(|i| kit::remember(&scope, &format!("t{i}"), Some(&kv_log(&model(1), 30 + i, i)))).collect();
    let mut tx = scope.begin().unwrap();
    let strategy = tx.put(&kit::strategy("lesson", ids[1], Polarity::Support)).unwrap();
    tx.embed(strategy, &kit::embed("lesson")).unwrap();
    tx.delete(ids[0]).unwrap();
    tx.commit().unwrap();
    scope
}

/// Everything that a scope answers, as text.
fn answers(scope: &Scope) -> String {
    let snapshot = scope.snapshot().unwrap();
    let mut text = format!("{}\n", snapshot.commit_id());
    for id in snapshot.ids::<Trajectory>().unwrap() {
        let log = snapshot.kv_log(id, &model(1)).unwrap().map(|view| view.to_log().unwrap());
        let (record, embedding) = (snapshot.get(id).unwrap(), snapshot.embedding(id).unwrap());
        text += &format!("{id} {record:?} {:?} {embedding:?} {log:?}\n", snapshot.judgments(id).unwrap());
    }
    for id in snapshot.ids::<Strategy>().unwrap() {
        text += &format!("{id} {:?}\n", snapshot.get(id).unwrap());
    }
    let hits = snapshot.search::<Trajectory>(&Query::near(kit::embed("t3"))).unwrap();
    text + &format!("{hits:?}")
}

#[test]
fn what_is_restored_answers_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (path, backup, restored) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    let database = Database::open(&path).unwrap();
    let scope = filled(&database);
    let expected = answers(&scope);
    let written = database.backup(&backup, &mut |_| {}).unwrap();
    assert_eq!((written.commit, written.files), (scope.snapshot().unwrap().commit_id(), 7));
    // What comes later is not in it, and does not change it.
    kit::remember(&scope, "later", Some(&kv_log(&model(1), 9, 9)));
    database.compact(&mut |_| {}).unwrap();

    assert_eq!(restore(&backup, &restored, &mut |_| {}).unwrap(), written);
    assert!(lagdb::maintenance::verify(&restored, &mut |_| {}).unwrap().is_sound());
    let copy = Database::open(&restored).unwrap();
    assert!(answers(&copy.scope("s").unwrap()) == expected, "other answers");
    kit::remember(&copy.scope("s").unwrap(), "goes on", None);

    let refused = |error: Error| assert!(matches!(error, Error::Invalid { what: "path", .. }), "{error}");
    refused(database.backup(&backup, &mut |_| {}).unwrap_err());
    refused(restore(&backup, &restored, &mut |_| {}).unwrap_err());
    refused(Database::open(&backup).unwrap_err());
}

#[test]
fn a_backup_beside_writers_is_one_commit() {
    let (database, _) = kit::in_memory();
    let scope = filled(&database);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for i in 0..50 {
                kit::remember(&scope, &format!("more {i}"), None);
            }
        });
        for _ in 0..5 {
            let (backup, restored) = (MemoryMedium::new(), MemoryMedium::new());
            let written = database.backup_on(&backup, &mut |_| {}).unwrap();
            restore_on(&backup, &restored, &mut |_| {}).unwrap();
            let copy = Database::options().open_on(Arc::new(restored)).unwrap();
            let snapshot = copy.scope("s").unwrap().snapshot().unwrap();
            assert_eq!(snapshot.commit_id(), written.commit);
            // Six, one deleted, in seven commits; then one a commit.
            assert_eq!(snapshot.len::<Trajectory>().unwrap(), 5 + written.commit.as_u64() - 7);
            assert!(copy.verify(&mut |_| {}).unwrap().is_sound());
        }
    });
}

#[test]
fn a_damaged_backup_is_refused_and_nothing_is_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path().join("a")).unwrap();
    filled(&database);
    let backup = dir.path().join("b");
    database.backup(&backup, &mut |_| {}).unwrap();
    let try_restore = |to: &str| {
        let to = dir.path().join(to);
        let error = restore(&backup, &to, &mut |_| {}).unwrap_err();
        assert!(!to.join("catalog.redb").exists());
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        error.to_string()
    };
    for (n, name) in ["manifest", "catalog.backup", "segments/3.kv"].into_iter().enumerate() {
        let path = backup.join(name);
        let sound = fs::read(&path).unwrap();
        let mut damaged = sound.clone();
        damaged[sound.len() / 2] ^= 4;
        fs::write(&path, &damaged).unwrap();
        assert!(try_restore(&format!("flipped {n}")).contains(name));
        fs::write(&path, &sound[..sound.len() - 1]).unwrap();
        assert!(try_restore(&format!("cut {n}")).contains(name));
        fs::remove_file(&path).unwrap();
        assert!(try_restore(&format!("missing {n}")).contains(name));
        fs::write(&path, &sound).unwrap();
    }
    restore(&backup, dir.path().join("sound"), &mut |_| {}).unwrap();
}

#[test]
fn damage_does_not_get_into_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path().join("a")).unwrap();
    filled(&database);
    let segment = dir.path().join("a/segments/4.kv");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let error = database.backup(dir.path().join("b"), &mut |_| {}).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { file, .. } if file.ends_with("4.kv")), "{error}");
    assert!(!dir.path().join("b/manifest").exists());
}

/// A power cut at any moment of a backup or a restore leaves none, or the whole of it; never one that restores wrongly.
#[test]
fn a_power_cut_at_every_operation() {
    let (database, _) = kit::in_memory();
    let scope = filled(&database);
    let expected = answers(&scope);
    let is_whole = |from: &MemoryMedium| {
        let to = MemoryMedium::new();
        match restore_on(from, &to, &mut |_| {}) {
            Ok(_) => {
                let copy = Database::options().open_on(Arc::new(to)).unwrap();
                assert!(answers(&copy.scope("s").unwrap()) == expected, "other answers");
                true
            }
            Err(error) => {
                assert!(matches!(error, Error::Corrupt { .. }), "{error}");
                false
            }
        }
    };
    let mut n_whole = 0;
    for at in 0.. {
        let disk = FailingMedium::new();
        disk.fail_at(at, Fault::PowerCut);
        let is_done = database.backup_on(&disk, &mut |_| {}).is_ok();
        let rebooted = disk.rebooted(lagdb::medium::Damage::Scattered(at));
        let whole = is_whole(&rebooted);
        assert!(whole || !is_done, "operation {at}");
        n_whole += u32::from(whole);
        if !disk.is_dead() {
            break;
        }
    }
    assert!(n_whole > 0);

    let backup = MemoryMedium::new();
    database.backup_on(&backup, &mut |_| {}).unwrap();
    for at in 0.. {
        let disk = FailingMedium::new();
        disk.fail_at(at, Fault::PowerCut);
        let is_done = restore_on(&backup, &disk, &mut |_| {}).is_ok();
        let rebooted = disk.rebooted(lagdb::medium::Damage::Scattered(at));
        let opened = Database::options().create(false).open_on(Arc::new(rebooted));
        match opened {
            Ok(copy) => assert!(answers(&copy.scope("s").unwrap()) == expected, "operation {at}"),
            Err(error) => assert!(!is_done, "operation {at}: {error}"),
        }
        if !disk.is_dead() {
            break;
        }
    }
}
