//! Damaged bytes give the same answer or a typed error; never another answer, never a panic.

use crate::kit::answers::{
    CATALOG, Files, SEGMENT, answers, answers_with, database, n_wrong, of_the_first_version,
    without_redbs_panic_messages,
};
use crate::kit::{self, model};
use lagdb::medium::{Medium, MemoryMedium};
use lagdb::{Database, Error, Options, Result, Trajectory};
use std::sync::Arc;

fn flipped(files: &Files, name: &str, bit: usize) -> Files {
    let mut files = files.clone();
    files.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
    files
}

#[test]
fn every_bit_of_a_segment() {
    let files = database();
    let good = answers(&files);
    let n_bits = files[SEGMENT].len() * 8;
    for bit in (0..n_bits).step_by(share(11)) {
        let damaged = answers(&flipped(&files, SEGMENT, bit));
        assert_eq!(n_wrong(&good, &damaged), 0, "bit {bit} of {n_bits}");
    }
}

#[test]
fn a_segment_that_is_truncated_missing_or_another_one() {
    let files = database();
    let good = answers(&files);
    let segment = files[SEGMENT].clone();
    let mut another = segment.clone();
    another.extend_from_slice(&segment);
    let mut others: Vec<Option<Vec<u8>>> = vec![None, Some(another), Some(Vec::new()), Some(vec![0; segment.len()])];
    others.extend((0..segment.len()).step_by(97).map(|len| Some(segment[..len].to_vec())));
    for other in others {
        let mut files = files.clone();
        match other {
            Some(bytes) => files.insert(SEGMENT.to_owned(), bytes),
            None => files.remove(SEGMENT),
        };
        let damaged = answers(&files);
        assert_eq!(n_wrong(&good, &damaged), 0);
        let named = damaged
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .all(|error| matches!(error, Error::Corrupt { file, .. } if file.ends_with("1.kv")));
        assert!(named && damaged.iter().any(Result::is_err));
        let medium = MemoryMedium::from_dump(files);
        let report = lagdb::maintenance::verify_on(&medium, &mut |_| {}).unwrap();
        assert!(!report.is_sound());
    }
}

/// Bits that give another answer, of those that `bits` says and `share` leaves.
fn wrong_flips(files: &Files, name: &str, bits: impl Iterator<Item = usize>, options: fn() -> Options) -> Vec<usize> {
    let good = answers_with(options(), files);
    assert!(good.iter().all(Result::is_ok));
    bits.filter(|bit| n_wrong(&good, &answers_with(options(), &flipped(files, name, *bit))) > 0).collect()
}

/// `EVERY_BIT=1` tries all of them.
fn share(step: usize) -> usize {
    if std::env::var_os("EVERY_BIT").is_some() { 1 } else { step }
}

#[test]
fn flipped_bits_of_the_catalog() {
    without_redbs_panic_messages();
    let files = database();
    let bytes = &files[CATALOG];
    // Zero bytes are mostly free space: every other one is tried, and a few of them.
    let used = (8192..bytes.len()).filter(|&at| bytes[at] != 0 || at % 4099 == 0);
    let bits = used.flat_map(|at| at * 8..at * 8 + 8).step_by(share(131));
    assert!(wrong_flips(&files, CATALOG, bits, Database::options).is_empty());
}

#[test]
fn flipped_bits_of_the_heads_of_the_catalog() {
    let files = database();
    let bits = [0, 4096].into_iter().flat_map(|head| head * 8..(head + 400) * 8).step_by(share(13));
    assert!(wrong_flips(&files, CATALOG, bits, Database::options).is_empty());
}

/// The block with the keys of label bitmaps: no count and no other row says that one of them is missing.
fn block_of_labels(files: &Files) -> std::ops::Range<usize> {
    let key_of_a_label = [0, 0, 0, 1, 4];
    let at = files[CATALOG].windows(5).position(|window| window == key_of_a_label).unwrap();
    at / 4096 * 4096 * 8..(at / 4096 + 1) * 4096 * 8
}

/// One damaged block stopped the handle, and every later read said only that something had failed before.
#[test]
fn every_read_after_damage_names_the_block() {
    let medium = MemoryMedium::new();
    let open = || Database::options().catalog_cache_bytes(1 << 20).open_on(Arc::new(medium.clone())).unwrap();
    let mut tx = open().scope("s").unwrap().begin().unwrap();
    for i in 0..40 {
        tx.put(&kit::trajectory(&format!("task {i} {}", "x".repeat(100_000)))).unwrap();
    }
    tx.commit().unwrap();
    let database = open();
    // Some of it is in memory; everything is damaged on disk from now on.
    let file = medium.open(CATALOG).unwrap();
    for at in (12_288..file.len().unwrap()).step_by(4096) {
        let mut byte = [0];
        file.read_at(at, &mut byte).unwrap();
        file.write_at(at, &[byte[0] ^ 1]).unwrap();
    }
    let ask = || database.scope("s")?.snapshot()?.search::<Trajectory>(&lagdb::Query::newest().limit(50));
    for _ in 0..3 {
        match ask() {
            Err(Error::Corrupt { file, offset: Some(offset), .. }) => {
                assert!(file.ends_with(CATALOG) && offset >= 12_288 && offset % 4096 == 0, "{offset}");
            }
            other => panic!("{:?}", other.map(|hits| hits.len())),
        }
    }
}

/// redb checks no page when it reads one: a flipped bit of a key hid the row of a bitmap, and a search with a filter
/// returned too little, without an error, unless all pages were checked at the open.
#[test]
fn damage_that_hides_a_row_is_noticed() {
    without_redbs_panic_messages();
    let files = database();
    let bits = block_of_labels(&files).step_by(share(23));
    assert!(wrong_flips(&files, CATALOG, bits, Database::options).is_empty());
}

#[test]
fn checked_pages_leave_nothing_unnoticed_in_a_catalog_of_the_first_version() {
    without_redbs_panic_messages();
    let files = of_the_first_version(database());
    let bits = block_of_labels(&files).step_by(share(23));
    assert!(wrong_flips(&files, CATALOG, bits, || Database::options().check_pages(true)).is_empty());
}

#[test]
fn a_catalog_of_the_first_version_is_read_written_and_brought_up_to_date() {
    let files = database();
    let old = of_the_first_version(files.clone());
    let [expected, found] =
        [&files, &old].map(|files| answers(files).into_iter().map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(found, expected);
    let medium = MemoryMedium::from_dump(old.clone());
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
    let scope = database.scope("s").unwrap();
    for i in 0..40 {
        kit::remember(&scope, &format!("more of it {i}"), None);
    }
    assert!(medium.dump()[CATALOG].starts_with(b"redb"));
    database.compact(&mut |_| {}).unwrap();
    assert!(!medium.dump()[CATALOG].starts_with(b"redb"), "with checksums from now on");
    assert_eq!(scope.snapshot().unwrap().len::<Trajectory>().unwrap(), 52);
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

#[test]
fn a_truncated_catalog() {
    without_redbs_panic_messages();
    let files = database();
    let good = answers(&files);
    let len = files[CATALOG].len();
    for len in (0..len).step_by(len / 40) {
        let mut files = files.clone();
        files.get_mut(CATALOG).unwrap().truncate(len);
        assert_eq!(n_wrong(&good, &answers(&files)), 0, "length {len}");
    }
}

#[test]
fn verify_finds_damage_also_where_open_fails() {
    without_redbs_panic_messages();
    let files = database();
    let verify = |files: Files| lagdb::maintenance::verify_on(&MemoryMedium::from_dump(files), &mut |_| {}).unwrap();
    let sound = verify(files.clone());
    assert!(sound.is_sound() && sound.segments == 1 && sound.rows > 50, "{sound:?}");

    let mut headless = files.clone();
    headless.get_mut(CATALOG).unwrap()[..8192].fill(0xff);
    assert!(Database::options().open_on(Arc::new(MemoryMedium::from_dump(headless.clone()))).is_err());
    let report = verify(headless);
    assert!(!report.is_sound() && report.segments == 1, "{report:?}");

    let text = b"task number 5 about flights";
    let at = files[CATALOG].windows(text.len()).position(|window| window == text).unwrap();
    let report = verify(flipped(&files, CATALOG, at * 8));
    assert!(!report.is_sound(), "{report:?}");
    let block = Some(at as u64 / 4096 * 4096);
    assert!(report.problems.iter().any(|problem| problem.offset == block), "the damaged block is named: {report:?}");
    for bit in (0..files[SEGMENT].len() * 8).step_by(211) {
        assert!(!verify(flipped(&files, SEGMENT, bit)).is_sound(), "bit {bit} of the segment");
    }
}

/// A put whose row was written and whose bitmaps were not, because one of them is damaged, could still be committed: a
/// record that no filter finds.
#[test]
fn a_call_that_failed_half_way_is_not_committed() {
    without_redbs_panic_messages();
    // Without checksums of blocks, for it is the row that must be met.
    let files = of_the_first_version(database());
    let schema_and_cookie_of_a_bitmap = [1, 0, 0x3a, 0x30, 0, 0];
    let bitmaps = files[CATALOG].windows(6).enumerate().filter(|(_, window)| *window == schema_and_cookie_of_a_bitmap);
    let mut n_refused = 0;
    for (at, _) in bitmaps {
        let medium = MemoryMedium::from_dump(flipped(&files, CATALOG, at * 8));
        let Ok(database) = Database::options().open_on(Arc::new(medium)) else { continue };
        let Ok(mut tx) = database.scope("s").unwrap().begin() else { continue };
        if let Err(error) = tx.put(&kit::trajectory("one more")) {
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            assert!(matches!(tx.put(&kit::trajectory("another")), Err(Error::Invalid { .. })));
            assert!(matches!(tx.commit(), Err(Error::Invalid { .. })));
            n_refused += 1;
        }
    }
    assert!(n_refused > 0);
}

/// A damaged page was met when its KV log was attached, where nobody knew the file any more: "KV log: corrupt at byte 64".
#[test]
fn a_damaged_page_is_named_with_its_file_and_byte() {
    let files = database();
    let segment = lagdb::format::Segment::open(&files[SEGMENT]).unwrap();
    let pages: Vec<_> = segment.kv_log(lagdb::format::RowGroupIndex(1)).unwrap().pages().collect();
    for page in pages {
        let medium = MemoryMedium::from_dump(flipped(&files, SEGMENT, page.offset as usize * 8 + 3));
        let database = Database::options().open_on(Arc::new(medium)).unwrap();
        let snapshot = database.scope("s").unwrap().snapshot().unwrap();
        let logs: Vec<_> = snapshot.ids().unwrap().iter().map(|id| snapshot.kv_log(*id, &model(1))).collect();
        let damaged: Vec<_> = logs.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
        // A plain page has a checksum for each token.
        let field = if page.encoding == lagdb::format::Encoding::Plain { "row" } else { "page" };
        let expected = format!("{SEGMENT}: corrupt at byte {}: {field} checksum: does not match", page.offset);
        assert_eq!(damaged, [expected]);
    }
}

/// Damage of the catalog was reported "at byte 0", which nobody had measured.
#[test]
fn a_byte_that_is_not_known_is_not_named() {
    without_redbs_panic_messages();
    let mut files = database();
    files.get_mut(CATALOG).unwrap().pop();
    let error = Database::options().open_on(Arc::new(MemoryMedium::from_dump(files))).unwrap_err();
    assert!(matches!(error, Error::Corrupt { offset: None, .. }));
    assert!(error.to_string().starts_with("catalog.redb: corrupt: "), "{error}");
}
