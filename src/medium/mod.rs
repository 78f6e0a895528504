//! What lagdb needs of a disk: named files to read and write at offsets, and the operations that make them last.
//!
//! Everything the database does to its files goes through [`Medium`], redb included, so that the same code runs on
//! [files](FileMedium), in [memory](MemoryMedium) and on a [disk that fails on cue](FailingMedium).
//!
//! Names are relative to the database directory, with `/` between directory and file. What is assumed of a medium:
//! bytes are durable once [`MediumFile::sync`] returned; names (create, rename, unlink) once
//! [`Medium::sync_dir`] of their directory returned; a rename is atomic; a write that was not synced may be kept,
//! lost or kept in part.

mod failing;
mod files;
mod memory;

pub use failing::{Damage, FailingMedium, Fault, OpKind};
pub use files::FileMedium;
pub use memory::MemoryMedium;

use std::fmt::Debug;
use std::io;
use std::ops::{Deref, Range};
use std::path::PathBuf;
use std::sync::Arc;

/// The file that is locked, where locks are files.
pub(crate) const LOCK: &str = "lock";

/// A directory of files.
pub trait Medium: Debug + Send + Sync + 'static {
    /// Where it is, for messages.
    fn root(&self) -> PathBuf;

    /// Makes the root and the directories `dirs` below it, durably.
    ///
    /// # Errors
    /// What the operating system says.
    fn create_dirs(&self, dirs: &[&str]) -> io::Result<()>;

    /// An existing file, to read and write.
    ///
    /// # Errors
    /// `NotFound` when there is none; else what the operating system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>>;

    /// An existing file, to read only: one that may not be written to can still be verified.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.open(name)
    }

    /// A new, empty file under `name`; one that is there loses its bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>>;

    /// Gives a file another name, in place of the file that has it.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file's name away. Whoever has it open can still read it.
    ///
    /// # Errors
    /// What the operating system says.
    fn unlink(&self, name: &str) -> io::Result<()>;

    /// Names of the files in `dir` (`""` is the root), without the directory, sorted.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Names of the directories in `dir`, sorted, where directories are more than a part of names.
    ///
    /// # Errors
    /// What the operating system says.
    fn list_dirs(&self, _dir: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Makes what happened to names in `dir` durable.
    ///
    /// # Errors
    /// What the operating system says. After a failure nothing is known of those names.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Takes the one lock of the directory, and leaves `owner` where others can read it, if it can be left there.
    ///
    /// # Errors
    /// [`LockError::Held`] with the text of the present owner; else what the operating system says.
    fn lock(&self, owner: &str) -> Result<Box<dyn Lock>, LockError>;
}

/// One file, open for reading and writing.
pub trait MediumFile: Debug + Send + Sync + 'static {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// As [`len`](Self::len).
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; else what the operating system says.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// All of its bytes; mapped, where this medium can, so that they take no memory that the system cannot have back. Only
    /// for a file that nobody writes to any more.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    fn bytes(&self) -> io::Result<FileBytes> {
        self.bytes_at(0..self.len()?)
    }

    /// These of its bytes; mapped, where this medium can and they are many, so that they are neither copied nor held. Only for a
    /// file that nobody writes to any more.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at).
    fn bytes_at(&self, range: Range<u64>) -> io::Result<FileBytes> {
        let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        bytes.resize(len, 0);
        self.read_at(range.start, &mut bytes)?;
        Ok(FileBytes::Read(bytes))
    }

    /// Writes all of `bytes` at `offset`, past the end if need be.
    ///
    /// # Errors
    /// What the operating system says. A part may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file off, or lengthens it with zeros.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes bytes and length durable.
    ///
    /// # Errors
    /// What the operating system says. After a failure nothing is known of what was written since the last success;
    /// trying again proves nothing.
    fn sync(&self) -> io::Result<()>;
}

/// The bytes of a file that does not change any more.
#[derive(Debug)]
pub enum FileBytes {
    /// In memory.
    Read(Vec<u8>),
    /// Where the system keeps them.
    Mapped(memmap2::Mmap),
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl AsRef<[u8]> for FileBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A lock that is held until it is dropped.
pub trait Lock: Debug + Send + Sync {}

/// Why a lock was not taken.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it; this is what they wrote.
    Held(String),
    /// The operating system refused.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
