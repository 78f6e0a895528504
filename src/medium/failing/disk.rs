//! What a disk holds: files and names as the program sees them, as they are durable, and what lies between the two.

use super::super::memory::{resize, write_vec};
use super::{Fault, OpKind};
use std::collections::BTreeMap;
use std::io;

#[derive(Debug, Default)]
pub(super) struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    unsynced_names: Vec<Unsynced<NameOp>>,
    pub(super) ops: Vec<OpKind>,
    pub(super) n_looks: u64,
    /// Which changing operation fails, and which look, by number.
    pub(super) fault: Option<(u64, Fault)>,
    pub(super) look_fault: Option<(u64, Fault)>,
    pub(super) dead: bool,
    pub(super) full: bool,
    /// Nothing can be changed.
    pub(super) broken: bool,
    /// Nothing can be looked at.
    pub(super) blind: bool,
    /// The present operation does half of its bytes.
    pub(super) is_short: bool,
    /// Every so many syncs one keeps nothing; 0 when all are honest.
    pub(super) lies_every: u64,
    n_syncs: u64,
    pub(super) owner: Option<String>,
}

/// A change and the number of its operation.
#[derive(Clone, Debug)]
pub(super) struct Unsynced<T> {
    pub(super) at: u64,
    pub(super) op: T,
}

#[derive(Debug, Default)]
pub(super) struct File {
    bytes: Vec<u8>,
    pub(super) synced: Vec<u8>,
    pub(super) unsynced: Vec<Unsynced<FileOp>>,
}

#[derive(Clone, Debug)]
pub(super) enum FileOp {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Clone, Debug)]
pub(super) enum NameOp {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

impl Disk {
    pub(super) fn holding(files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut disk = Self::default();
        for (name, bytes) in files {
            disk.names.insert(name, disk.files.len());
            disk.files.push(File { synced: bytes.clone(), bytes, unsynced: Vec::new() });
        }
        disk.synced_names = disk.names.clone();
        disk
    }

    pub(super) fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        let bytes = |index: &usize| self.bytes(*index).map(<[u8]>::to_vec).unwrap_or_default();
        self.names.iter().map(|(name, index)| (name.clone(), bytes(index))).collect()
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.names.keys()
    }

    /// Names as they are durable, and what happened to them since.
    pub(super) fn synced_names(&self) -> (BTreeMap<String, usize>, &[Unsynced<NameOp>]) {
        (self.synced_names.clone(), &self.unsynced_names)
    }

    pub(super) fn index_of(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn bytes(&self, index: usize) -> io::Result<&[u8]> {
        self.files.get(index).map(|file| file.bytes.as_slice()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A file without bytes and without a name.
    pub(super) fn new_file(&mut self) -> usize {
        self.files.push(File::default());
        self.files.len() - 1
    }

    pub(super) fn write(&mut self, index: usize, op: FileOp) -> io::Result<()> {
        let at = self.ops.len() as u64;
        let file = self.file(index)?;
        op.apply(&mut file.bytes)?;
        file.unsynced.push(Unsynced { at, op });
        Ok(())
    }

    pub(super) fn name(&mut self, op: NameOp) {
        op.apply(&mut self.names);
        self.unsynced_names.push(Unsynced { at: self.ops.len() as u64, op });
    }

    /// Whether this sync is one that reports success and keeps nothing.
    pub(super) fn lies(&mut self) -> bool {
        self.n_syncs += 1;
        self.lies_every > 0 && self.n_syncs.is_multiple_of(self.lies_every)
    }

    pub(super) fn sync(&mut self, index: usize) -> io::Result<()> {
        let file = self.file(index)?;
        let unsynced = std::mem::take(&mut file.unsynced);
        unsynced.iter().try_for_each(|change| change.op.apply(&mut file.synced))
    }

    pub(super) fn forget_writes(&mut self, index: usize) -> io::Result<()> {
        self.file(index)?.unsynced.clear();
        Ok(())
    }

    pub(super) fn sync_names(&mut self, dir: &str) {
        let (synced, rest): (Vec<_>, Vec<_>) = self.unsynced_names.drain(..).partition(|change| change.op.dir() == dir);
        synced.iter().for_each(|change| change.op.apply(&mut self.synced_names));
        self.unsynced_names = rest;
    }

    pub(super) fn forget_names(&mut self, dir: &str) {
        self.unsynced_names.retain(|change| change.op.dir() != dir);
    }

    fn file(&mut self, index: usize) -> io::Result<&mut File> {
        self.files.get_mut(index).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl FileOp {
    fn apply(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Write(offset, data) => write_vec(bytes, *offset, data),
            Self::SetLen(len) => resize(bytes, *len),
        }
    }
}

impl NameOp {
    /// What cannot be done any more, because something before it was lost, is not done.
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, index) => {
                names.insert(name.clone(), *index);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(index) = names.remove(from) {
                    names.insert(to.clone(), index);
                }
            }
        }
    }

    pub(super) fn dir(&self) -> &str {
        let name = match self {
            Self::Link(name, _) | Self::Unlink(name) | Self::Rename(_, name) => name,
        };
        name.rsplit_once('/').map_or("", |(parent, _)| parent)
    }
}
