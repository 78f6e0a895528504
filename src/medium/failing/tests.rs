//! That the disk fails as it says: a test that trusts it would else prove nothing.

use super::*;
use std::collections::BTreeSet;

/// A file of four synced sectors of 1s, over which 2s and then 3s are written, and two more sectors of 3s.
fn written() -> FailingMedium {
    let medium = FailingMedium::holding(BTreeMap::from([("f".to_owned(), vec![1; 2048])]));
    let file = medium.open("f").unwrap();
    file.write_at(0, &[2; 2048]).unwrap();
    file.write_at(0, &[3; 3072]).unwrap();
    medium
}

fn sectors_after(medium: &FailingMedium, damage: Damage) -> Vec<u8> {
    let files = medium.after_power_cut(damage);
    let bytes = &files["f"];
    bytes.chunks(512).for_each(|sector| assert!(sector.iter().all(|byte| *byte == sector[0]), "a torn sector"));
    bytes.iter().step_by(512).copied().collect()
}

#[test]
fn a_sector_keeps_any_version_whatever_the_others_keep() {
    let medium = written();
    let states: BTreeSet<_> = (0..2000).map(|seed| sectors_after(&medium, Damage::Scattered(seed))).collect();
    for at in 0..4 {
        let versions: BTreeSet<_> = states.iter().map(|sectors| sectors[at]).collect();
        assert_eq!(versions, BTreeSet::from([1, 2, 3]), "sector {at}");
    }
    assert!(states.contains([1, 3, 2, 1].as_slice()), "in any order, with the old length");
    assert!(states.iter().any(|sectors| sectors.len() == 6 && sectors[4..] == [0, 3]), "with the new one");
    assert_eq!(sectors_after(&medium, Damage::LoseAll), [1; 4]);
    assert_eq!(sectors_after(&medium, Damage::KeepAll), [3; 6]);
    assert_eq!(sectors_after(&medium, Damage::Scattered(7)), sectors_after(&medium, Damage::Scattered(7)));
}

#[test]
fn what_was_synced_is_kept_unless_the_disk_lies() {
    let medium = written();
    medium.open("f").unwrap().sync().unwrap();
    assert!((0..50).all(|seed| sectors_after(&medium, Damage::Scattered(seed)) == [3; 6]));
    let liar = written();
    liar.lie_about_syncs(1);
    liar.open("f").unwrap().sync().unwrap();
    assert_eq!(sectors_after(&liar, Damage::LoseAll), [1; 4]);
}

#[test]
fn a_truncation_that_was_kept_took_the_bytes_beyond_it() {
    let medium = FailingMedium::holding(BTreeMap::from([("f".to_owned(), vec![1; 1024])]));
    let file = medium.open("f").unwrap();
    file.write_at(512, &[2; 512]).unwrap();
    file.set_len(512).unwrap();
    file.set_len(1024).unwrap();
    let states: BTreeSet<_> = (0..200).map(|seed| sectors_after(&medium, Damage::Scattered(seed))).collect();
    let expected = [vec![1], vec![1, 0], vec![1, 1], vec![1, 2]];
    assert_eq!(states, expected.into_iter().collect());
}

#[test]
fn names_are_lost_until_their_directory_is_synced() {
    let medium = FailingMedium::new();
    let file = medium.create("d/a.tmp").unwrap();
    file.write_at(0, b"x").unwrap();
    file.sync().unwrap();
    medium.rename("d/a.tmp", "d/a").unwrap();
    let names = |damage| medium.after_power_cut(damage).into_keys().collect::<Vec<_>>();
    let states: BTreeSet<_> = (0..200).map(|seed| names(Damage::Scattered(seed))).collect();
    assert_eq!(states, [vec![], vec!["d/a.tmp".to_owned()], vec!["d/a".to_owned()]].into_iter().collect());
    medium.sync_dir("").unwrap();
    assert!(names(Damage::LoseAll).is_empty(), "another directory");
    medium.sync_dir("d").unwrap();
    assert_eq!(names(Damage::LoseAll), ["d/a"]);
}

#[test]
fn faults_strike_where_they_should() {
    let medium = FailingMedium::holding(BTreeMap::from([("f".to_owned(), vec![1; 1024])]));
    let file = medium.open("f").unwrap();
    medium.fail_at(0, Fault::Short);
    assert!(file.write_at(0, &[2; 1024]).is_err());
    assert_eq!(medium.dump()["f"][510..514], [2, 2, 1, 1]);
    medium.fail_look_at(0, Fault::Short);
    let mut out = [0; 4];
    assert!(file.read_at(510, &mut out).is_err());
    assert_eq!(out, [2, 2, 0, 0]);
    medium.fail_at(1, Fault::Broken);
    assert!(file.set_len(3).is_ok() && file.set_len(4).is_err() && medium.unlink("f").is_err());
    assert!(file.read_at(0, &mut out[..3]).is_ok(), "what is there can be read");
    medium.fail_look_at(0, Fault::Broken);
    assert!(medium.open("f").is_err() && medium.list("").is_err());
    medium.heal();
    assert!(medium.open("f").is_ok() && medium.unlink("f").is_ok());
    medium.fail_look_at(0, Fault::PowerCut);
    assert!(medium.list("").is_err() && medium.is_dead() && medium.create("g").is_err());
}
