//! That blocks come back, damage is met, and torn heads are as if never written.

use super::place::N_HEADS;
use super::*;
use crate::medium::{Damage, FailingMedium, Fault, Medium};

const HEADER: usize = 320;

fn opened(medium: &FailingMedium) -> Checked {
    Checked::open(medium.open("f").unwrap(), Strictness::Fail).unwrap()
}

/// A file of `n` blocks of redb's, block `i` full of `i`, synced.
fn written(n: u64) -> (FailingMedium, Checked) {
    let medium = FailingMedium::new();
    let file = Checked::create(medium.create("f").unwrap());
    medium.sync_dir("").unwrap();
    file.set_len(n * BLOCK_BYTES).unwrap();
    file.write(0, &[7; HEADER]).unwrap();
    for block in 1..n {
        file.write(block * BLOCK_BYTES, &[block as u8; BLOCK_BYTES as usize]).unwrap();
    }
    file.sync_data().unwrap();
    (medium, file)
}

#[test]
fn lengths_go_there_and_back() {
    for n in (0..5000).chain([1 << 20, (1 << 20) + 1]) {
        let len = n * BLOCK_BYTES;
        assert_eq!(logical_len(physical_len(len)), Some(len));
        assert_eq!(logical_len(physical_len(len) + 1), None);
    }
    assert_eq!(logical_len(BLOCK_BYTES), None, "one head");
    assert_eq!(logical_len((N_HEADS + 1) * BLOCK_BYTES), None, "crcs of no block");
}

#[test]
fn blocks_come_back_over_the_borders_of_groups() {
    let (medium, file) = written(2100);
    for file in [file, opened(&medium)] {
        assert_eq!(file.len().unwrap(), 2100 * BLOCK_BYTES);
        let mut out = vec![0; 2 * BLOCK_BYTES as usize];
        file.read(1024 * BLOCK_BYTES, &mut out).unwrap();
        assert!(out[..4096].iter().all(|byte| *byte == 0) && out[4096..].iter().all(|byte| *byte == 1));
        file.read(0, &mut out[..HEADER]).unwrap();
        assert_eq!(out[..HEADER], [7; HEADER]);
        assert!(file.read(100, &mut out).is_err() && file.read(BLOCK_BYTES, &mut out[..9]).is_err());
    }
}

#[test]
fn every_damaged_block_is_met_and_no_other() {
    let (medium, _) = written(6);
    let files = medium.dump();
    for at in (0..files["f"].len()).step_by(97) {
        let mut files = files.clone();
        files.get_mut("f").unwrap()[at] ^= 0x10;
        let medium = FailingMedium::holding(files);
        let file = opened(&medium);
        let notes = Arc::default();
        let lenient = Checked::open(medium.open("f").unwrap(), Strictness::Note(Arc::clone(&notes))).unwrap();
        let mut damaged = Vec::new();
        for block in 0..6 {
            let mut out = [0; BLOCK_BYTES as usize];
            lenient.read(block * BLOCK_BYTES, &mut out).unwrap();
            match file.read(block * BLOCK_BYTES, &mut out) {
                Ok(()) => assert_eq!(out[5], if block == 0 { 7 } else { block as u8 }, "byte {at}"),
                Err(error) => damaged.push((block, error.kind())),
            }
        }
        let block = at as u64 / BLOCK_BYTES;
        let expected = match block {
            0 | 1 => None,
            2 => Some((at as u64 % BLOCK_BYTES) / 4 + 1).filter(|block| *block < 6),
            block => Some(block - N_HEADS),
        };
        assert_eq!(damaged, expected.map(|block| (block, io::ErrorKind::InvalidData)).into_iter().collect::<Vec<_>>());
        let noted: Vec<_> = notes.lock().unwrap().iter().copied().collect();
        assert_eq!(noted, expected.map(block_offset).into_iter().collect::<Vec<_>>());
    }
}

/// A header that says that commit `n` is the latest, as redb's does: in the byte after the magic.
fn header(n: u8, of: &[(u64, u8)]) -> Vec<u8> {
    let mut header = vec![0; HEADER];
    (header[LATEST_BYTES - 1], header[LATEST_BYTES]) = (n % 2, n);
    let living = of.iter().flat_map(|(block, byte)| [*block as u8, *byte]);
    header.iter_mut().skip(LATEST_BYTES + 1).zip(living).for_each(|(to, from)| *to = from);
    header
}

/// What a header says: the commit, and what its blocks hold.
fn parsed(header: &[u8]) -> (u8, Vec<(u64, u8)>) {
    let living = header[LATEST_BYTES + 1..].chunks_exact(2).take_while(|pair| pair[0] > 0);
    (header[LATEST_BYTES], living.map(|pair| (u64::from(pair[0]), pair[1])).collect())
}

/// Commits as redb does: blocks that the commit before does not name, a sync, the header, a sync. Some blocks are
/// written twice or for nothing, some commits cut the file off or make it longer. How many commits were acknowledged.
fn live(medium: &FailingMedium, commits: std::ops::Range<u8>) -> u8 {
    let mut done = commits.start;
    let mut work = || -> io::Result<()> {
        let file = Checked::open(medium.open("f")?, Strictness::Fail).map_err(io::Error::other)?;
        let mut before = vec![0; HEADER];
        file.read(0, &mut before)?;
        let (at, mut living) = parsed(&before);
        for n in at + 1..commits.end {
            let len = 8 + u64::from(n % 3) * 3;
            if file.len()? < len * BLOCK_BYTES {
                file.set_len(len * BLOCK_BYTES)?;
            }
            let free: Vec<u64> = (1..8).filter(|block| living.iter().all(|(of, _)| of != block)).collect();
            let mut new: Vec<(u64, u8)> = free.iter().map(|block| (*block, n)).collect();
            let unused = if n % 2 == 0 { new.pop() } else { Some(new.remove(0)) };
            new.truncate(3);
            for (block, byte) in &new {
                file.write(block * BLOCK_BYTES, &[byte ^ 0xff; BLOCK_BYTES as usize])?;
            }
            file.write(0, &header(n - 1, &living))?;
            file.sync_data()?;
            for (block, byte) in &new {
                file.write(block * BLOCK_BYTES, &[*byte; BLOCK_BYTES as usize])?;
            }
            if let Some((block, _)) = unused.filter(|_| n % 2 == 0) {
                file.write(block * BLOCK_BYTES, &[n; BLOCK_BYTES as usize])?;
            }
            file.sync_data()?;
            file.write(0, &header(n, &new))?;
            file.sync_data()?;
            (living, done) = (new, n);
            if len == 8 {
                file.set_len(len * BLOCK_BYTES)?;
            }
        }
        Ok(())
    };
    drop(work());
    done
}

/// Opens what a power cut leaves; which commit it finds, all of it.
fn found(files: std::collections::BTreeMap<String, Vec<u8>>, why: &str) -> u8 {
    let file = opened(&FailingMedium::holding(files));
    let mut header = vec![0; HEADER];
    file.read(0, &mut header).unwrap();
    let (n, living) = parsed(&header);
    assert!(n == 0 || living.len() == 3, "{why}: {living:?}");
    for (block, byte) in living {
        let mut out = [0; BLOCK_BYTES as usize];
        file.read(block * BLOCK_BYTES, &mut out).unwrap();
        assert_eq!(out, [byte; BLOCK_BYTES as usize], "{why}: block {block} of commit {n}");
    }
    n
}

fn empty() -> FailingMedium {
    let medium = FailingMedium::new();
    let file = Checked::create(medium.create("f").unwrap());
    medium.sync_dir("").unwrap();
    file.set_len(8 * BLOCK_BYTES).unwrap();
    file.write(0, &header(0, &[])).unwrap();
    file.sync_data().unwrap();
    medium
}

#[test]
fn a_power_cut_at_any_operation_leaves_a_commit_with_all_its_blocks() {
    let damages = |seed| {
        [Damage::LoseAll, Damage::KeepAll, Damage::Heads, Damage::Prefix(seed), Damage::OneLost(seed)]
            .into_iter()
            .chain((0..40).map(move |n| Damage::Scattered(seed * 40 + n)))
    };
    for at in 0.. {
        let medium = empty();
        medium.fail_at(at, Fault::PowerCut);
        let done = live(&medium, 0..9);
        for damage in damages(at) {
            let why = format!("cut at {at}, {damage:?}");
            let n = found(medium.after_power_cut(damage), &why);
            assert!(n == done || n == done + 1, "{why}: commit {n} after {done}");
        }
        if !medium.is_dead() {
            break;
        }
    }
}

/// A head that was found at an open was written over before it was synced: after a killed process and a power cut
/// neither head was whole.
#[test]
fn a_killed_process_and_then_a_power_cut() {
    die_and_cut(Fault::Broken);
}

/// After a sync that failed the system takes what it has in memory for written, and the next sync keeps nothing of it.
/// Whoever opened the file found a head that counted, synced it in vain and wrote over the one before: after a power cut
/// neither counted.
#[test]
fn a_failed_sync_and_then_a_power_cut() {
    die_and_cut(Fault::IoError);
}

fn die_and_cut(fault: Fault) {
    for killed_at in 0..60 {
        for cut_at in 0..36 {
            let medium = empty();
            medium.fail_at(killed_at, fault);
            let before = live(&medium, 0..5);
            // The process is gone, what it wrote is not.
            medium.heal();
            medium.fail_at(cut_at, Fault::PowerCut);
            let done = live(&medium, before..7).max(before);
            for seed in 0..4 {
                let why = format!("killed at {killed_at}, cut at {cut_at}, seed {seed}");
                let n = found(medium.after_power_cut(Damage::Scattered(seed)), &why);
                assert!(n >= done && n <= done + 2, "{why}: commit {n} after {done}");
            }
        }
    }
}

#[test]
fn a_commit_is_one_sync() {
    let medium = empty();
    live(&medium, 0..2);
    let n_syncs = || medium.ops().iter().filter(|op| **op == crate::medium::OpKind::Sync).count();
    let before = n_syncs();
    live(&medium, 2..3);
    assert_eq!(n_syncs() - before, 1);
}

#[test]
fn what_does_not_fit_into_a_head_is_synced_before_it() {
    let n = 3 * N_PROMISED as u64;
    let mut n_new = 0;
    for at in n - 3..n + 8 {
        let (medium, file) = written(n);
        medium.fail_at(at, Fault::PowerCut);
        let write = || -> io::Result<()> {
            (1..n).try_for_each(|block| file.write(block * BLOCK_BYTES, &[9; BLOCK_BYTES as usize]))?;
            file.write(0, &header(1, &[]))?;
            file.sync_data()
        };
        let is_done = write().is_ok();
        for seed in 0..4 {
            let left = opened(&FailingMedium::holding(medium.after_power_cut(Damage::Scattered(seed))));
            let (mut head, mut out) = ([0; HEADER], [0; BLOCK_BYTES as usize]);
            left.read(0, &mut head).unwrap();
            let is_new = head == *header(1, &[]);
            assert!(is_new || !is_done, "cut at {at}");
            n_new += u32::from(is_new);
            for block in (1..n).filter(|_| is_new) {
                left.read(block * BLOCK_BYTES, &mut out).unwrap();
                assert_eq!(out, [9; BLOCK_BYTES as usize], "cut at {at}, block {block}");
            }
        }
    }
    assert!(n_new > 4);
}

/// The bytes of a head with other fields.
fn with_version(bytes: &mut [u8], version: u8, body_bytes: usize) {
    bytes[8] = version;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..16 + body_bytes]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn heads_of_the_first_version_are_read_and_newer_ones_are_not() {
    let (medium, _) = written(3);
    for (version, body_bytes) in [(1, 8 + HEADER), (3, 8 + HEADER + 12)] {
        let mut files = medium.dump();
        let bytes = files.get_mut("f").unwrap();
        // The settled head, whose promise is empty, and then the other one.
        with_version(&mut bytes[4096..], version, body_bytes);
        bytes[..512].fill(0);
        let file = FailingMedium::holding(files).open("f").unwrap();
        match Checked::open(file, Strictness::Fail) {
            Ok(file) => {
                let mut out = [0; HEADER];
                file.read(0, &mut out).unwrap();
                assert_eq!((version, out), (1, [7; HEADER]));
            }
            Err(error) => assert!(version == 3 && matches!(error, Error::Unsupported { .. }), "{error}"),
        }
    }
}

/// The file as a power cut leaves it right after a commit: the other head is not there.
fn with_one_head(medium: &FailingMedium) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut files = medium.dump();
    files.get_mut("f").unwrap()[4096..8192].fill(0);
    files
}

#[test]
fn every_bit_of_a_head_and_of_its_promise() {
    let (medium, _) = written(6);
    let files = with_one_head(&medium);
    let n_bytes = 24 + HEADER + 12 + 5 * 8;
    let open = |files| Checked::open(FailingMedium::holding(files).open("f").unwrap(), Strictness::Fail);
    assert!(open(files.clone()).is_ok());
    for bit in 0..n_bytes * 8 {
        let mut files = files.clone();
        files.get_mut("f").unwrap()[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(open(files), Err(Error::Corrupt { .. } | Error::Unsupported { .. })), "bit {bit}");
    }
    let mut short = files.clone();
    short.get_mut("f").unwrap().truncate(7 * 4096);
    assert!(open(short).is_err());
}

/// One unreadable sector in a head refused the open, though the other head says the same.
#[test]
fn a_head_that_cannot_be_read_is_as_good_as_torn_if_the_other_one_is_settled() {
    let (medium, _) = written(6);
    for (look, is_good) in [(0, true), (1, false)] {
        let disk = FailingMedium::holding(medium.dump());
        let file = disk.open("f").unwrap();
        disk.fail_look_at(look, Fault::IoError);
        let opened = Checked::open(file, Strictness::Fail);
        assert_eq!(opened.is_ok(), is_good, "head {look}: {opened:?}");
    }
}

/// redb goes on after a write that only makes room, also if it failed: a sync that failed in it went unnoticed.
#[test]
fn nothing_is_written_after_a_sync_that_failed() {
    let (medium, file) = written(6);
    medium.fail_at(1, Fault::IoError);
    assert!(file.write(BLOCK_BYTES, &[1; BLOCK_BYTES as usize]).is_err(), "block 1 is promised");
    let n_ops = medium.n_ops();
    assert!(file.write(BLOCK_BYTES, &[1; BLOCK_BYTES as usize]).is_err() && file.write(0, &[1; HEADER]).is_err());
    assert!(file.set_len(9 * BLOCK_BYTES).is_err() && file.sync_data().is_err());
    assert_eq!(medium.n_ops(), n_ops);
}
