//! What a power cut leaves of what was not synced.
//!
//! The model: every 512-byte sector keeps what was synced or any one of the versions written since, whatever the others
//! keep; so writes are lost, torn and out of order. The length of a file is one that it had since the sync, whatever its
//! sectors keep, and bytes beyond it are gone. Names change in the order of their directory, or in none, whatever the
//! bytes do; a rename is atomic.

use super::disk::{Disk, File, FileOp, Unsynced};
use crate::medium::memory::{resize, write_vec};
use std::collections::BTreeMap;

const SECTOR: u64 = 512;
/// Where files begin with what says what the rest is.
const HEAD_BYTES: u64 = 8192;

/// What a power cut does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// All is lost.
    LoseAll,
    /// All is kept.
    KeepAll,
    /// What was done first is kept, over all files; the last write of it in part.
    Prefix(u64),
    /// Each sector keeps any of its versions, each length and each name too.
    Scattered(u64),
    /// The beginnings of the files are kept, the rest is lost.
    Heads,
    /// One write is lost, all else is kept.
    OneLost(u64),
}

/// What of the unsynced changes is kept.
enum Keep {
    /// Those before this operation, and the first bytes of it.
    Before(u64),
    /// All but this operation.
    But(u64),
    Scattered,
    Heads,
}

/// The files that the next start finds.
pub(super) fn after(disk: &Disk, damage: Damage) -> BTreeMap<String, Vec<u8>> {
    let mut dice = Dice::of(damage);
    let keep = keep(disk, damage, &mut dice);
    let names = names(disk, &keep, &mut dice);
    let contents: Vec<_> = disk.files().iter().map(|file| contents(file, &keep, &mut dice)).collect();
    names.into_iter().filter_map(|(name, index)| Some((name, contents.get(index)?.clone()))).collect()
}

fn keep(disk: &Disk, damage: Damage, dice: &mut Dice) -> Keep {
    let mut one_of = || {
        let mut all: Vec<_> = disk.files().iter().flat_map(|file| &file.unsynced).map(|change| change.at).collect();
        all.extend(disk.synced_names().1.iter().map(|change| change.at));
        all.sort_unstable();
        all.get(dice.below(all.len())).copied().unwrap_or(0)
    };
    match damage {
        Damage::LoseAll => Keep::Before(0),
        Damage::KeepAll => Keep::Before(u64::MAX),
        Damage::Prefix(_) => Keep::Before(one_of()),
        Damage::OneLost(_) => Keep::But(one_of()),
        Damage::Scattered(_) => Keep::Scattered,
        Damage::Heads => Keep::Heads,
    }
}

fn names(disk: &Disk, keep: &Keep, dice: &mut Dice) -> BTreeMap<String, usize> {
    let (mut names, unsynced) = disk.synced_names();
    let in_order = dice.below(2) == 0;
    // Of each directory, how many changes are kept.
    let mut quota = BTreeMap::new();
    for change in unsynced {
        let n = unsynced.iter().filter(|other| other.op.dir() == change.op.dir()).count();
        quota.entry(change.op.dir()).or_insert_with(|| dice.below(n + 1));
    }
    for change in unsynced {
        let is_kept = match keep {
            Keep::Before(at) => change.at < *at,
            Keep::But(at) => change.at != *at,
            Keep::Heads => false,
            Keep::Scattered if in_order => {
                let left = quota.entry(change.op.dir()).or_default();
                let is_kept = *left > 0;
                *left = left.saturating_sub(1);
                is_kept
            }
            Keep::Scattered => dice.below(2) == 0,
        };
        if is_kept {
            change.op.apply(&mut names);
        }
    }
    names
}

fn contents(file: &File, keep: &Keep, dice: &mut Dice) -> Vec<u8> {
    let mut left = Left { bytes: file.synced.clone() };
    match keep {
        Keep::Scattered => left.scatter(&file.unsynced, dice),
        Keep::Heads => file.unsynced.iter().for_each(|change| left.apply(&change.op, HEAD_BYTES)),
        Keep::But(at) => {
            file.unsynced.iter().filter(|change| change.at != *at).for_each(|change| left.apply(&change.op, u64::MAX));
        }
        Keep::Before(at) => {
            for change in file.unsynced.iter().take_while(|change| change.at <= *at) {
                match &change.op {
                    FileOp::Write(offset, data) if change.at == *at => {
                        left.apply(&change.op, offset + dice.below(data.len() + 1) as u64);
                    }
                    FileOp::SetLen(_) if change.at == *at => {}
                    op => left.apply(op, u64::MAX),
                }
            }
        }
    }
    left.bytes
}

/// What is left of a file.
struct Left {
    bytes: Vec<u8>,
}

impl Left {
    /// Does `op` to the bytes before `end`. Memory cannot run out: the program saw the same bytes.
    fn apply(&mut self, op: &FileOp, end: u64) {
        match op {
            FileOp::SetLen(len) => drop(resize(&mut self.bytes, *len)),
            FileOp::Write(offset, data) => {
                let n = end.saturating_sub(*offset).min(data.len() as u64) as usize;
                if let Some(kept) = data.get(..n).filter(|kept| !kept.is_empty()) {
                    drop(write_vec(&mut self.bytes, *offset, kept));
                }
            }
        }
    }

    fn scatter(&mut self, unsynced: &[Unsynced<FileOp>], dice: &mut Dice) {
        let mut n_versions: BTreeMap<u64, usize> = BTreeMap::new();
        let (mut len, mut n_lengths) = (self.bytes.len() as u64, 0);
        for change in unsynced {
            match &change.op {
                FileOp::SetLen(_) => n_lengths += 1,
                FileOp::Write(offset, data) => {
                    sectors(*offset, data).for_each(|(number, _, _)| *n_versions.entry(number).or_default() += 1);
                    n_lengths += usize::from(offset + data.len() as u64 > len);
                }
            }
            len = length_after(len, &change.op);
        }
        let mut versions_left: BTreeMap<u64, usize> =
            n_versions.into_iter().map(|(sector, n)| (sector, dice.below(n + 1))).collect();
        let mut lengths_left = dice.below(n_lengths + 1);
        len = self.bytes.len() as u64;
        for change in unsynced {
            let next = length_after(len, &change.op);
            let is_length = next > len || matches!(change.op, FileOp::SetLen(_));
            if is_length && lengths_left > 0 {
                lengths_left -= 1;
                drop(resize(&mut self.bytes, next));
            }
            len = next;
            if let FileOp::Write(offset, data) = &change.op {
                for (number, at, part) in sectors(*offset, data) {
                    let left = versions_left.entry(number).or_default();
                    if *left > 0 {
                        *left -= 1;
                        self.overwrite(at, part);
                    }
                }
            }
        }
    }

    /// Writes what lies before the end.
    fn overwrite(&mut self, at: u64, part: &[u8]) {
        let n = (self.bytes.len() as u64).saturating_sub(at).min(part.len() as u64) as usize;
        if let Some(kept) = part.get(..n).filter(|kept| !kept.is_empty()) {
            drop(write_vec(&mut self.bytes, at, kept));
        }
    }
}

fn length_after(len: u64, op: &FileOp) -> u64 {
    match op {
        FileOp::SetLen(len) => *len,
        FileOp::Write(offset, data) => len.max(offset + data.len() as u64),
    }
}

/// The parts of a write by sector: number, offset in the file, bytes.
fn sectors(offset: u64, data: &[u8]) -> impl Iterator<Item = (u64, u64, &[u8])> {
    let mut rest = data;
    let mut at = offset;
    std::iter::from_fn(move || {
        let to_end = (SECTOR - at % SECTOR) as usize;
        let (part, after) = rest.split_at(to_end.min(rest.len()));
        let found = (!part.is_empty()).then_some((at / SECTOR, at, part));
        at += part.len() as u64;
        rest = after;
        found
    })
}

/// Repeatable chance: SplitMix64.
struct Dice(u64);

impl Dice {
    fn of(damage: Damage) -> Self {
        match damage {
            Damage::LoseAll | Damage::KeepAll | Damage::Heads => Self(0),
            Damage::Prefix(seed) | Damage::Scattered(seed) | Damage::OneLost(seed) => Self(seed),
        }
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}
