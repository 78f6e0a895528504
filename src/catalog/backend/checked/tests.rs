//! That blocks come back, damage is met, and torn heads are as if never written.

use super::*;
use crate::medium::{Damage, FailingMedium, Medium};

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

#[test]
fn the_header_is_one_that_was_written_since_the_sync_or_the_synced_one() {
    let (medium, file) = written(3);
    for turn in 1..4 {
        file.write(0, &[turn; HEADER]).unwrap();
    }
    for seed in 0..200 {
        let left = FailingMedium::holding(medium.after_power_cut(Damage::Scattered(seed)));
        let mut out = [0; HEADER];
        opened(&left).read(0, &mut out).unwrap();
        assert!(out == [out[0]; HEADER] && [7, 1, 2, 3].contains(&out[0]), "{out:?}");
    }
    file.sync_data().unwrap();
    let mut out = [0; HEADER];
    opened(&FailingMedium::holding(medium.after_power_cut(Damage::LoseAll))).read(0, &mut out).unwrap();
    assert_eq!(out, [3; HEADER]);
}

#[test]
fn a_newer_version_is_not_read() {
    let (medium, _) = written(3);
    let mut files = medium.dump();
    let bytes = files.get_mut("f").unwrap();
    let mut fields = bytes[..12].to_vec();
    fields[8] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&fields), &bytes[16..HEAD_FIELDS + HEADER]);
    bytes[8] = 2;
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    let file = FailingMedium::holding(files).open("f").unwrap();
    assert!(matches!(Checked::open(file, Strictness::Fail), Err(Error::Unsupported { .. })));
}
