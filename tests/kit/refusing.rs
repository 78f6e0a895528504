//! Files in memory on a disk that does not let go of some: an unlink fails as long as its name has a forbidden part.

use lagdb::medium::{Lock, LockError, Medium, MediumFile, MemoryMedium};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Clones are the same files.
#[derive(Clone, Debug, Default)]
pub(crate) struct RefusingMedium {
    pub(crate) files: MemoryMedium,
    refused: Arc<Mutex<Option<&'static str>>>,
}

impl RefusingMedium {
    /// From now on no file whose name has this part is unlinked; with `None` all are again.
    pub(crate) fn refuse(&self, part: Option<&'static str>) {
        *self.refused.lock().unwrap() = part;
    }
}

impl Medium for RefusingMedium {
    fn root(&self) -> PathBuf {
        self.files.root()
    }

    fn create_dirs(&self, dirs: &[&str]) -> io::Result<()> {
        self.files.create_dirs(dirs)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.files.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.files.create(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        match *self.refused.lock().unwrap() {
            Some(part) if name.contains(part) => Err(io::ErrorKind::PermissionDenied.into()),
            _ => self.files.unlink(name),
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.files.sync_dir(dir)
    }

    fn lock(&self, owner: &str) -> Result<Box<dyn Lock>, LockError> {
        self.files.lock(owner)
    }
}
