//! A disk in memory that fails on cue: for tests of what a power cut, a full disk or a bad cable leave behind.
//!
//! It keeps apart what was written and what was synced. Every operation that changes something is counted; a [`Fault`]
//! strikes at one of them. After [`Fault::PowerCut`] nothing works any more, and
//! [`after_power_cut`](FailingMedium::after_power_cut) is the disk that the next start finds: what was synced, plus
//! some of what was not, according to [`Damage`].
//!
//! The model: an unsynced write may be lost, kept, or kept in some of its 512-byte sectors; unsynced changes of names
//! are lost or kept in order, and separately from the bytes.

use super::memory::{MemoryMedium, names_in, read_slice, resize, write_vec};
use super::{Lock, LockError, Medium, MediumFile};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SECTOR: usize = 512;
/// "No space left on device".
const ENOSPC: i32 = 28;
/// "Input/output error".
const EIO: i32 = 5;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation and all later ones fail; unsynced writes are at the mercy of [`Damage`].
    PowerCut,
    /// This operation and all later ones that need space fail, until [`FailingMedium::heal`].
    NoSpace,
    /// This operation fails, once. A sync that fails loses what it should have kept.
    IoError,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// Bytes of a file.
    Write,
    /// Length of a file.
    SetLen,
    /// Sync of a file.
    Sync,
    /// A new name, another name, no name.
    Name,
    /// Sync of a directory.
    SyncDir,
}

/// What a power cut does to unsynced writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// All are lost.
    LoseAll,
    /// All are kept.
    KeepAll,
    /// The first few are kept; the last of them in part.
    Prefix(u64),
    /// Each is kept or lost, sector by sector.
    Scattered(u64),
}

/// A disk that fails on cue. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct FailingMedium {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    files: Vec<File>,
    /// Names as they are, and as they were at the last sync of their directory.
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    unsynced_names: Vec<NameOp>,
    ops: Vec<OpKind>,
    fault: Option<(u64, Fault)>,
    dead: bool,
    full: bool,
    owner: Option<String>,
}

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<FileOp>,
}

#[derive(Clone, Debug)]
enum FileOp {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Clone, Debug)]
enum NameOp {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

impl FailingMedium {
    /// An empty disk that does not fail yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything written so far as a healthy disk with a fault to come: at the operation number `at`, from 0.
    pub fn holding(files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut disk = Disk::default();
        for (name, bytes) in files {
            disk.names.insert(name.clone(), disk.files.len());
            disk.files.push(File { synced: bytes.clone(), bytes, unsynced: Vec::new() });
        }
        disk.synced_names = disk.names.clone();
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// Lets `fault` strike at the `at`-th operation from now, counted from 0.
    pub fn fail_at(&self, at: u64, fault: Fault) {
        let mut disk = self.disk();
        disk.fault = Some((disk.ops.len() as u64 + at, fault));
    }

    /// Space is there again.
    pub fn heal(&self) {
        let mut disk = self.disk();
        disk.fault = None;
        disk.full = false;
    }

    /// The operations so far that change something.
    pub fn ops(&self) -> Vec<OpKind> {
        self.disk().ops.clone()
    }

    /// Whether the power is cut.
    pub fn is_dead(&self) -> bool {
        self.disk().dead
    }

    /// All files as the program sees them.
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        let disk = self.disk();
        let bytes = |index: &usize| disk.files.get(*index).map(|file| file.bytes.clone()).unwrap_or_default();
        disk.names.iter().map(|(name, index)| (name.clone(), bytes(index))).collect()
    }

    /// The files that the next start finds, if the power is cut now.
    pub fn after_power_cut(&self, damage: Damage) -> BTreeMap<String, Vec<u8>> {
        let disk = self.disk();
        let mut dice = Dice::of(damage);
        let names = disk.names_after(damage, &mut dice);
        let contents: Vec<_> = disk.files.iter().map(|file| file.after(damage, &mut dice)).collect();
        names.into_iter().filter_map(|(name, index)| Some((name, contents.get(index)?.clone()))).collect()
    }

    /// As [`after_power_cut`](Self::after_power_cut), as files in memory.
    pub fn rebooted(&self, damage: Damage) -> MemoryMedium {
        MemoryMedium::from_dump(self.after_power_cut(damage))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `apply` as the next operation, unless the disk fails.
    fn change<T>(&self, kind: OpKind, apply: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk();
        disk.strike(kind)?;
        apply(&mut disk)
    }
}

impl Disk {
    fn strike(&mut self, kind: OpKind) -> io::Result<()> {
        let number = self.ops.len() as u64;
        self.ops.push(kind);
        let due = self.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        match due {
            Some(Fault::PowerCut) => self.dead = true,
            Some(Fault::NoSpace) => self.full = true,
            Some(Fault::IoError) => return Err(io::Error::from_raw_os_error(EIO)),
            None => {}
        }
        if self.dead {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let needs_space = matches!(kind, OpKind::Write | OpKind::SetLen | OpKind::Name);
        if self.full && needs_space {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    fn file(&mut self, index: usize) -> io::Result<&mut File> {
        self.files.get_mut(index).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name(&mut self, op: NameOp) {
        apply_name(&mut self.names, &op);
        self.unsynced_names.push(op);
    }

    fn names_after(&self, damage: Damage, dice: &mut Dice) -> BTreeMap<String, usize> {
        let mut names = self.synced_names.clone();
        let n_kept = match damage {
            Damage::LoseAll => 0,
            Damage::KeepAll => self.unsynced_names.len(),
            Damage::Prefix(_) | Damage::Scattered(_) => dice.below(self.unsynced_names.len() + 1),
        };
        self.unsynced_names.iter().take(n_kept).for_each(|op| apply_name(&mut names, op));
        names
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, op: &NameOp) {
    match op {
        NameOp::Link(name, index) => {
            names.insert(name.clone(), *index);
        }
        NameOp::Unlink(name) => {
            names.remove(name);
        }
        NameOp::Rename(from, to) => {
            if let Some(index) = names.remove(from) {
                names.insert(to.clone(), index);
            }
        }
    }
}

impl NameOp {
    fn is_in(&self, dir: &str) -> bool {
        let name = match self {
            Self::Link(name, _) | Self::Unlink(name) | Self::Rename(_, name) => name,
        };
        name.rsplit_once('/').map_or("", |(parent, _)| parent) == dir
    }
}

impl File {
    fn after(&self, damage: Damage, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let n_kept = match damage {
            Damage::LoseAll => 0,
            Damage::KeepAll | Damage::Scattered(_) => self.unsynced.len(),
            Damage::Prefix(_) => dice.below(self.unsynced.len() + 1),
        };
        for (i, op) in self.unsynced.iter().take(n_kept).enumerate() {
            match op {
                FileOp::SetLen(len) => drop(resize(&mut bytes, *len)),
                FileOp::Write(offset, data) if matches!(damage, Damage::Scattered(_)) => {
                    write_some(&mut bytes, *offset, data, dice);
                }
                FileOp::Write(offset, data) => {
                    let torn = matches!(damage, Damage::Prefix(_)) && i + 1 == n_kept;
                    let n = if torn { dice.below(data.len() + 1) } else { data.len() };
                    drop(write_vec(&mut bytes, *offset, data.get(..n).unwrap_or(data)));
                }
            }
        }
        bytes
    }
}

fn write_some(bytes: &mut Vec<u8>, offset: u64, data: &[u8], dice: &mut Dice) {
    let mut at = offset;
    for sector in data.chunks(SECTOR) {
        if dice.below(2) == 0 {
            drop(write_vec(bytes, at, sector));
        }
        at += sector.len() as u64;
    }
}

/// Repeatable chance: SplitMix64.
struct Dice(u64);

impl Dice {
    fn of(damage: Damage) -> Self {
        match damage {
            Damage::LoseAll | Damage::KeepAll => Self(0),
            Damage::Prefix(seed) | Damage::Scattered(seed) => Self(seed),
        }
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

impl Medium for FailingMedium {
    fn root(&self) -> PathBuf {
        PathBuf::from(":failing:")
    }

    fn create_dirs(&self, _dirs: &[&str]) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        match self.disk().names.get(name) {
            Some(index) => Ok(Arc::new(FailingFile { medium: self.clone(), index: *index })),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let index = self.change(OpKind::Name, |disk| {
            let index = disk.files.len();
            disk.files.push(File::default());
            disk.name(NameOp::Link(name.to_owned(), index));
            Ok(index)
        })?;
        Ok(Arc::new(FailingFile { medium: self.clone(), index }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(OpKind::Name, |disk| {
            if !disk.names.contains_key(from) {
                return Err(io::ErrorKind::NotFound.into());
            }
            disk.name(NameOp::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.change(OpKind::Name, |disk| {
            if !disk.names.contains_key(name) {
                return Err(io::ErrorKind::NotFound.into());
            }
            disk.name(NameOp::Unlink(name.to_owned()));
            Ok(())
        })
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        Ok(names_in(dir, self.disk().names.keys()))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.change(OpKind::SyncDir, |disk| {
            let (synced, rest): (Vec<_>, Vec<_>) = disk.unsynced_names.drain(..).partition(|op| op.is_in(dir));
            synced.iter().for_each(|op| apply_name(&mut disk.synced_names, op));
            disk.unsynced_names = rest;
            Ok(())
        })
    }

    fn lock(&self, owner: &str) -> Result<Box<dyn Lock>, LockError> {
        let mut disk = self.disk();
        if let Some(owner) = disk.owner.as_ref() {
            return Err(LockError::Held(owner.clone()));
        }
        disk.owner = Some(owner.to_owned());
        Ok(Box::new(FailingLock(self.clone())))
    }
}

#[derive(Debug)]
struct FailingLock(FailingMedium);

impl Lock for FailingLock {}

impl Drop for FailingLock {
    fn drop(&mut self) {
        self.0.disk().owner = None;
    }
}

#[derive(Debug)]
struct FailingFile {
    medium: FailingMedium,
    index: usize,
}

impl MediumFile for FailingFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.medium.disk().file(self.index)?.bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut disk = self.medium.disk();
        if disk.dead {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        read_slice(&disk.file(self.index)?.bytes, offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.medium.change(OpKind::Write, |disk| {
            let file = disk.file(self.index)?;
            write_vec(&mut file.bytes, offset, bytes)?;
            file.unsynced.push(FileOp::Write(offset, bytes.to_vec()));
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.medium.change(OpKind::SetLen, |disk| {
            let file = disk.file(self.index)?;
            resize(&mut file.bytes, len)?;
            file.unsynced.push(FileOp::SetLen(len));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.medium.change(OpKind::Sync, |disk| {
            let file = disk.file(self.index)?;
            file.synced.clone_from(&file.bytes);
            file.unsynced.clear();
            Ok(())
        });
        let mut disk = self.medium.disk();
        if synced.is_err() && !disk.dead {
            // As Linux does: the pages count as written, and nobody will write them again.
            disk.file(self.index)?.unsynced.clear();
        }
        synced
    }
}
