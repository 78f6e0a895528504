//! A disk in memory that fails on cue: for tests of what a power cut, a full disk or a bad cable leave behind.
//!
//! It keeps apart what was written and what was synced. Every operation that changes something is counted, and every
//! one that looks at something, apart; a [`Fault`] strikes at one of them. After [`Fault::PowerCut`] nothing works any
//! more, and [`after_power_cut`](FailingMedium::after_power_cut) is the disk that the next start finds: what was synced,
//! plus some of what was not, according to [`Damage`]. What is left is a function of the operations and the seed.
//!
//! - What does a disk hold? [`disk`].
//! - What does a power cut leave of it? [`damage`].

mod damage;
mod disk;

pub use damage::Damage;

use super::memory::{MemoryMedium, names_in, read_slice};
use super::{Lock, LockError, Medium, MediumFile};
use disk::{Disk, FileOp, NameOp};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// This operation and all later ones of its sort (changing, or looking) fail, until [`FailingMedium::heal`].
    Broken,
    /// This operation does half of its bytes and fails, once; one that has no bytes fails whole.
    Short,
}

/// What an operation that changes something does.
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

/// A disk that fails on cue. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct FailingMedium {
    disk: Arc<Mutex<Disk>>,
}

impl FailingMedium {
    /// An empty disk that does not fail yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A healthy disk on which these files are durable.
    pub fn holding(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self { disk: Arc::new(Mutex::new(Disk::holding(files))) }
    }

    /// Lets `fault` strike at the `at`-th changing operation from now, counted from 0.
    pub fn fail_at(&self, at: u64, fault: Fault) {
        let mut disk = self.disk();
        disk.fault = Some((disk.ops.len() as u64 + at, fault));
    }

    /// Lets `fault` strike at the `at`-th look at the disk from now, counted from 0: opening, listing, measuring, reading.
    pub fn fail_look_at(&self, at: u64, fault: Fault) {
        let mut disk = self.disk();
        disk.look_fault = Some((disk.n_looks + at, fault));
    }

    /// Lets every `every`-th sync from now on report success and keep nothing: a disk that lies.
    pub fn lie_about_syncs(&self, every: u64) {
        self.disk().lies_every = every;
    }

    /// Space is there again, and what was broken works.
    pub fn heal(&self) {
        let mut disk = self.disk();
        (disk.fault, disk.look_fault) = (None, None);
        (disk.full, disk.broken, disk.blind) = (false, false, false);
    }

    /// The operations so far that change something.
    pub fn ops(&self) -> Vec<OpKind> {
        self.disk().ops.clone()
    }

    /// How many operations so far change something.
    pub fn n_ops(&self) -> u64 {
        self.disk().ops.len() as u64
    }

    /// How many operations so far looked at something.
    pub fn n_looks(&self) -> u64 {
        self.disk().n_looks
    }

    /// Whether the power is cut.
    pub fn is_dead(&self) -> bool {
        self.disk().dead
    }

    /// All files as the program sees them.
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        self.disk().dump()
    }

    /// The files that the next start finds, if the power is cut now.
    pub fn after_power_cut(&self, damage: Damage) -> BTreeMap<String, Vec<u8>> {
        damage::after(&self.disk(), damage)
    }

    /// As [`after_power_cut`](Self::after_power_cut), as files in memory.
    pub fn rebooted(&self, damage: Damage) -> MemoryMedium {
        MemoryMedium::from_dump(self.after_power_cut(damage))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `apply` as the next changing operation, unless the disk fails.
    fn change<T>(&self, kind: OpKind, apply: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk();
        disk.strike(kind)?;
        apply(&mut disk)
    }

    /// Does `apply` as the next look, unless the disk fails.
    fn look<T>(&self, apply: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk();
        disk.strike_look()?;
        if std::mem::take(&mut disk.is_short) { Err(io_error()) } else { apply(&mut disk) }
    }
}

fn io_error() -> io::Error {
    io::Error::from_raw_os_error(EIO)
}

impl Disk {
    /// Counts a changing operation and fails it if that is due.
    fn strike(&mut self, kind: OpKind) -> io::Result<()> {
        let number = self.ops.len() as u64;
        self.ops.push(kind);
        match self.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault) {
            Some(Fault::PowerCut) => self.dead = true,
            Some(Fault::NoSpace) => self.full = true,
            Some(Fault::Broken) => self.broken = true,
            Some(Fault::Short) if kind == OpKind::Write => self.is_short = true,
            Some(Fault::IoError | Fault::Short) => return Err(io_error()),
            None => {}
        }
        if self.dead || self.broken {
            return Err(io_error());
        }
        if self.full && matches!(kind, OpKind::Write | OpKind::SetLen | OpKind::Name) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    /// Counts a look and fails it if that is due.
    fn strike_look(&mut self) -> io::Result<()> {
        let number = self.n_looks;
        self.n_looks += 1;
        match self.look_fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault) {
            Some(Fault::PowerCut) => self.dead = true,
            Some(Fault::Broken) => self.blind = true,
            Some(Fault::Short) => self.is_short = true,
            Some(Fault::IoError | Fault::NoSpace) => return Err(io_error()),
            None => {}
        }
        if self.dead || self.blind { Err(io_error()) } else { Ok(()) }
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
        let index = self.look(|disk| disk.index_of(name))?;
        Ok(Arc::new(FailingFile { medium: self.clone(), index }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let index = self.change(OpKind::Name, |disk| {
            let index = disk.new_file();
            disk.name(NameOp::Link(name.to_owned(), index));
            Ok(index)
        })?;
        Ok(Arc::new(FailingFile { medium: self.clone(), index }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(OpKind::Name, |disk| {
            disk.index_of(from)?;
            disk.name(NameOp::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.change(OpKind::Name, |disk| {
            disk.index_of(name)?;
            disk.name(NameOp::Unlink(name.to_owned()));
            Ok(())
        })
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.look(|disk| Ok(names_in(dir, disk.names())))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut disk = self.disk();
        if let Err(error) = disk.strike(OpKind::SyncDir) {
            if !disk.dead {
                // As with a file: the next sync keeps nothing of them.
                disk.forget_names(dir);
            }
            return Err(error);
        }
        if !disk.lies() {
            disk.sync_names(dir);
        }
        Ok(())
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
        self.medium.look(|disk| Ok(disk.bytes(self.index)?.len() as u64))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut disk = self.medium.disk();
        disk.strike_look()?;
        if std::mem::take(&mut disk.is_short) {
            let half = out.len() / 2;
            read_slice(disk.bytes(self.index)?, offset, out.get_mut(..half).unwrap_or_default())?;
            return Err(io_error());
        }
        read_slice(disk.bytes(self.index)?, offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.medium.change(OpKind::Write, |disk| {
            if std::mem::take(&mut disk.is_short) {
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                disk.write(self.index, FileOp::Write(offset, half.to_vec()))?;
                return Err(io_error());
            }
            disk.write(self.index, FileOp::Write(offset, bytes.to_vec()))
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.medium.change(OpKind::SetLen, |disk| disk.write(self.index, FileOp::SetLen(len)))
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.medium.disk();
        if let Err(error) = disk.strike(OpKind::Sync) {
            if !disk.dead {
                // As Linux does: the pages count as written, and nobody will write them again.
                disk.forget_writes(self.index)?;
            }
            return Err(error);
        }
        if disk.lies() { Ok(()) } else { disk.sync(self.index) }
    }
}

#[cfg(test)]
mod tests;
