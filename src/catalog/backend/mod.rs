//! redb's storage over a file of a [`Medium`](crate::medium::Medium).
//!
//! redb's own file lock is not used: the lock of the database directory comes before it.
//!
//! - How is damage of a block noticed? [`checked`].
//! - How can redb's repair be tried without touching the file? [`overlay`].

pub(crate) mod checked;
pub(crate) mod overlay;

pub(crate) use checked::{Checked, Damaged, Strictness};
pub(crate) use overlay::Overlay;

use crate::Result;
use crate::medium::MediumFile;
use redb::StorageBackend;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

/// What redb reads and writes at once: its pages are one or more of these, and begin at their multiples.
const BLOCK_BYTES: u64 = 4096;

/// How a file of redb itself begins, and every catalog of the first version.
const REDB_MAGIC: [u8; 9] = [b'r', b'e', b'd', b'b', 0x1a, 0x0a, 0xa9, 0x0d, 0x0a];

/// The file of a catalog, of this version or the first.
#[derive(Debug)]
pub(crate) enum CatalogFile {
    /// Every block has a checksum.
    Checked(Box<Checked>),
    /// Bytes as redb writes them.
    Plain(Arc<dyn MediumFile>),
}

impl CatalogFile {
    /// An existing catalog's file.
    pub(crate) fn open(file: Arc<dyn MediumFile>, strictness: Strictness) -> Result<Self> {
        let mut magic = [0; REDB_MAGIC.len()];
        let is_plain = file.read_at(0, &mut magic).is_ok() && magic == REDB_MAGIC;
        Ok(if is_plain { Self::Plain(file) } else { Self::Checked(Box::new(Checked::open(file, strictness)?)) })
    }

    /// The offsets at which damage was met.
    pub(crate) fn damaged(&self) -> Arc<Mutex<BTreeSet<u64>>> {
        match self {
            Self::Checked(file) => file.damaged(),
            Self::Plain(_) => Arc::default(),
        }
    }
}

impl StorageBackend for CatalogFile {
    fn len(&self) -> io::Result<u64> {
        match self {
            Self::Checked(file) => file.len(),
            Self::Plain(file) => file.len(),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Checked(file) => file.read(offset, out),
            Self::Plain(file) => file.read_at(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match self {
            Self::Checked(file) => file.set_len(len),
            Self::Plain(file) => file.set_len(len),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        match self {
            Self::Checked(file) => file.sync_data(),
            Self::Plain(file) => file.sync(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Checked(file) => file.write(offset, data),
            Self::Plain(file) => file.write_at(offset, data),
        }
    }
}
