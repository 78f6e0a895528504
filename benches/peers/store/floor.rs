//! The least a durable commit can cost: the syncs that lagdb makes for it, and nothing else.
//!
//! A medium that counts says how many there are; the floor writes 4 KiB before each, at the same place of one file.

use crate::engine::Writer;
use crate::memories::Memory;
use lagdb::medium::{FileMedium, Lock, LockError, Medium, MediumFile};
use lagdb_peers::BenchResult;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Syncs of bytes and of names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Syncs(Arc<AtomicUsize>);

impl Syncs {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Files whose syncs are counted.
#[derive(Debug)]
pub(crate) struct CountingMedium {
    files: FileMedium,
    syncs: Syncs,
}

impl CountingMedium {
    pub(crate) fn new(directory: &Path) -> (Self, Syncs) {
        let syncs = Syncs::default();
        (Self { files: FileMedium::new(directory), syncs: syncs.clone() }, syncs)
    }

    fn counted(&self, file: Arc<dyn MediumFile>) -> Arc<dyn MediumFile> {
        Arc::new(CountingFile { file, syncs: self.syncs.clone() })
    }
}

impl Medium for CountingMedium {
    fn root(&self) -> PathBuf {
        self.files.root()
    }

    fn create_dirs(&self, dirs: &[&str]) -> io::Result<()> {
        self.files.create_dirs(dirs)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.files.open(name).map(|file| self.counted(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.files.create(name).map(|file| self.counted(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.files.unlink(name)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.syncs.add();
        self.files.sync_dir(dir)
    }

    fn lock(&self, owner: &str) -> Result<Box<dyn Lock>, LockError> {
        self.files.lock(owner)
    }
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn MediumFile>,
    syncs: Syncs,
}

impl MediumFile for CountingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.add();
        self.file.sync()
    }
}

/// Bare syncs, through the same calls to the operating system as lagdb's.
pub(crate) struct Floor {
    file: Arc<dyn MediumFile>,
    n_syncs: usize,
}

impl Floor {
    pub(crate) fn new(directory: &Path, n_syncs: usize) -> BenchResult<Self> {
        let medium = FileMedium::new(directory);
        medium.create_dirs(&[])?;
        let file = medium.create("floor")?;
        file.write_at(0, &[0; 4096])?;
        file.sync()?;
        Ok(Self { file, n_syncs })
    }
}

impl Writer for Floor {
    fn commit(&mut self, first: u64, _memories: &[Memory]) -> BenchResult<()> {
        for i in 0..self.n_syncs {
            self.file.write_at(0, &[first as u8 ^ i as u8; 4096])?;
            self.file.sync()?;
        }
        Ok(())
    }
}
