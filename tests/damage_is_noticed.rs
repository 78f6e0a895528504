//! Damaged bytes give the same answer or a typed error; never another answer, never a panic.

use crate::kit::{self, embed, kv_log, model};
use lagdb::medium::MemoryMedium;
use lagdb::{Database, Error, Id, Options, Outcome, Polarity, Query, Result, Strategy, StrategyKind, Trajectory};
use std::collections::BTreeMap;
use std::sync::{Arc, Once};

type Files = BTreeMap<String, Vec<u8>>;
const CATALOG: &str = "catalog.redb";
const SEGMENT: &str = "segments/1.kv";

/// redb's own panics are caught; their messages would bury those of a failing test.
fn without_redbs_panic_messages() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.location().is_some_and(|at| at.file().contains("redb-")) {
                usual(info);
            }
        }));
    });
}

fn database() -> Files {
    let medium = MemoryMedium::new();
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let mut tx = scope.begin().unwrap();
    for i in 0..12 {
        let task = format!("task number {i} about flights");
        let id = tx.put(&kit::trajectory(&task).rollout("group", i)).unwrap();
        tx.embed(id, &embed(&task)).unwrap();
        tx.judge(id, &if i % 2 == 0 { kit::success() } else { kit::failure() }).unwrap();
        if i < 3 {
            tx.put_kv_log(id, &kv_log(&model(1), 4 + i, i)).unwrap();
        }
        let strategy = tx.put(&kit::strategy(&task, id, Polarity::Support)).unwrap();
        tx.embed(strategy, &embed(&task)).unwrap();
    }
    tx.commit().unwrap();
    drop((scope, database));
    medium.dump()
}

/// Everything that a user asks, each answer apart.
fn answers(files: &Files) -> Vec<Result<String>> {
    answers_with(Database::options(), files)
}

fn answers_with(options: Options, files: &Files) -> Vec<Result<String>> {
    let medium = Arc::new(MemoryMedium::from_dump(files.clone()));
    let database = match options.open_on(medium) {
        Ok(database) => database,
        Err(error) => return vec![Err(error)],
    };
    let mut answers = vec![database.scopes().map(|names| format!("{names:?}"))];
    let snapshot = match database.scope("s").unwrap().snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => return vec![Err(error)],
    };
    let near = Query::near(embed("task number 3")).limit(5);
    let mut add = |answer: Result<String>| answers.push(answer);
    add(snapshot.ids::<Trajectory>().map(|ids| format!("{ids:?}")));
    for id in (1..=6).map(Id::<Trajectory>::from_u64) {
        add(snapshot.get(id).map(|record| format!("{record:?}")));
        add(snapshot.outcome(id).map(|outcome| format!("{outcome:?}")));
        add(snapshot.judgments(id).map(|judgments| format!("{judgments:?}")));
        add(snapshot.kv_log(id, &model(1)).and_then(|view| match view {
            Some(view) => view.to_log().map(|log| format!("{log:?}")).map_err(|e| Error::from_format(e, SEGMENT)),
            None => Ok("none".to_owned()),
        }));
    }
    let trajectories = [near.clone(), near.clone().outcome(Outcome::Failure), near.clone().label("test")];
    for query in trajectories {
        add(snapshot.search::<Trajectory>(&query).map(|hits| format!("{hits:?}")));
    }
    for query in [near.clone(), near.clone().kind(StrategyKind::Procedure), near.exclude_group("group")] {
        add(snapshot.search::<Strategy>(&query).map(|hits| format!("{hits:?}")));
    }
    answers
}

/// How many of the answers are other ones; errors are fine.
fn n_wrong(good: &[Result<String>], damaged: &[Result<String>]) -> usize {
    if damaged.len() == 1 && damaged[0].is_err() {
        return 0;
    }
    let wrong = |(good, damaged): (&Result<String>, &Result<String>)| match damaged {
        Err(_) => false,
        Ok(answer) => good.as_ref().ok() != Some(answer),
    };
    good.iter().zip(damaged).filter(|pair| wrong(*pair)).count()
}

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
    for bit in (0..n_bits).step_by(11) {
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

#[test]
fn flipped_bits_of_the_catalog() {
    without_redbs_panic_messages();
    let files = database();
    let good = answers(&files);
    // Zero bytes are mostly free space: every other one is tried, and a few of them.
    let bytes = &files[CATALOG];
    let used = (0..bytes.len()).filter(|&at| bytes[at] != 0 || at % 4099 == 0);
    let bits: Vec<usize> = used.map(|at| at * 8 + at % 8).collect();
    let step = (bits.len() / 2500).max(1);
    let mut wrong = Vec::new();
    for bit in bits.iter().step_by(step) {
        if n_wrong(&good, &answers(&flipped(&files, CATALOG, *bit))) > 0 {
            wrong.push(*bit);
        }
    }
    assert!(wrong.is_empty(), "{} of {} flips gave another answer: {wrong:?}", wrong.len(), bits.len() / step);
}

#[test]
fn checked_pages_leave_nothing_unnoticed() {
    without_redbs_panic_messages();
    let files = database();
    let check = || Database::options().check_pages(true);
    let good = answers_with(check(), &files);
    assert!(good.iter().all(Result::is_ok));
    // Bits of a page that holds keys of label bitmaps, whose loss no other check could notice.
    let key_of_a_label = [0, 0, 0, 1, 4];
    let at = files[CATALOG].windows(5).position(|window| window == key_of_a_label).unwrap();
    let start = at / 4096 * 4096;
    for bit in (start * 8..(start + 4096) * 8).step_by(23) {
        assert_eq!(n_wrong(&good, &answers_with(check(), &flipped(&files, CATALOG, bit))), 0, "bit {bit}");
    }
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
    headless.get_mut(CATALOG).unwrap()[..64].fill(0xff);
    assert!(Database::options().open_on(Arc::new(MemoryMedium::from_dump(headless.clone()))).is_err());
    let report = verify(headless);
    assert!(!report.is_sound() && report.segments == 1, "{report:?}");

    let text = b"task number 5 about flights";
    let at = files[CATALOG].windows(text.len()).position(|window| window == text).unwrap();
    let report = verify(flipped(&files, CATALOG, at * 8));
    assert!(!report.is_sound(), "{report:?}");
    for bit in (0..files[SEGMENT].len() * 8).step_by(211) {
        assert!(!verify(flipped(&files, SEGMENT, bit)).is_sound(), "bit {bit} of the segment");
    }
}

/// A put whose row was written and whose bitmaps were not, because one of them is damaged, could still be committed: a
/// record that no filter finds.
#[test]
fn a_call_that_failed_half_way_is_not_committed() {
    without_redbs_panic_messages();
    let files = database();
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
        let expected = format!("{SEGMENT}: corrupt at byte {}: page checksum: does not match", page.offset);
        assert_eq!(damaged, [expected]);
    }
}

/// Damage of the catalog was reported "at byte 0", which nobody had measured.
#[test]
fn a_byte_that_is_not_known_is_not_named() {
    without_redbs_panic_messages();
    let mut files = database();
    files.get_mut(CATALOG).unwrap()[..64].fill(0xff);
    let error = Database::options().open_on(Arc::new(MemoryMedium::from_dump(files))).unwrap_err();
    assert!(matches!(error, Error::Corrupt { offset: None, .. }));
    assert!(error.to_string().starts_with("catalog.redb: corrupt: "), "{error}");
}
