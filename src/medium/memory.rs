//! Files in memory, for databases that end with the process and for tests.

use super::{Lock, LockError, Medium, MediumFile};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Files in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryMedium {
    files: Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>,
    owner: Arc<Mutex<Option<String>>>,
}

impl MemoryMedium {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// All files with their bytes.
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        locked(&self.files).iter().map(|(name, file)| (name.clone(), file.bytes())).collect()
    }

    /// The files with these bytes.
    pub fn from_dump(dump: BTreeMap<String, Vec<u8>>) -> Self {
        let file = |(name, bytes)| (name, Arc::new(MemoryFile(RwLock::new(bytes))));
        Self { files: Arc::new(Mutex::new(dump.into_iter().map(file).collect())), owner: Arc::default() }
    }
}

/// A panic elsewhere leaves plain bytes as they are, so a poisoned lock is no reason to stop.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Medium for MemoryMedium {
    fn root(&self) -> PathBuf {
        PathBuf::from(":memory:")
    }

    fn create_dirs(&self, _dirs: &[&str]) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        match locked(&self.files).get(name) {
            Some(file) => Ok(file.clone()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let file = Arc::new(MemoryFile::default());
        locked(&self.files).insert(name.to_owned(), file.clone());
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = locked(&self.files);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        locked(&self.files).remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        Ok(names_in(dir, locked(&self.files).keys()))
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, owner: &str) -> Result<Box<dyn Lock>, LockError> {
        let mut held = locked(&self.owner);
        if let Some(owner) = held.as_ref() {
            return Err(LockError::Held(owner.clone()));
        }
        *held = Some(owner.to_owned());
        Ok(Box::new(MemoryLock(self.owner.clone())))
    }
}

/// Of full names, those directly in `dir`, without it.
pub(super) fn names_in<'a>(dir: &str, names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let inside = |name: &String| match dir {
        "" => Some(name.clone()),
        dir => name.strip_prefix(dir)?.strip_prefix('/').map(str::to_owned),
    };
    names.filter_map(inside).filter(|name| !name.contains('/')).collect()
}

#[derive(Debug)]
struct MemoryLock(Arc<Mutex<Option<String>>>);

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        *locked(&self.0) = None;
    }
}

#[derive(Debug, Default)]
struct MemoryFile(RwLock<Vec<u8>>);

impl MemoryFile {
    fn bytes(&self) -> Vec<u8> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl MediumFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        read_slice(&self.0.read().unwrap_or_else(PoisonError::into_inner), offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_vec(&mut self.0.write().unwrap_or_else(PoisonError::into_inner), offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        resize(&mut self.0.write().unwrap_or_else(PoisonError::into_inner), len)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn read_slice(bytes: &[u8], offset: u64, out: &mut [u8]) -> io::Result<()> {
    let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(out.len())?));
    match range.and_then(|range| bytes.get(range)) {
        Some(found) => out.copy_from_slice(found),
        None => return Err(io::ErrorKind::UnexpectedEof.into()),
    }
    Ok(())
}

pub(super) fn write_vec(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
    if end > file.len() as u64 {
        resize(file, end)?;
    }
    let start = usize::try_from(offset).map_err(io::Error::other)?;
    match file.get_mut(start..start + bytes.len()) {
        Some(target) => target.copy_from_slice(bytes),
        None => return Err(io::ErrorKind::FileTooLarge.into()),
    }
    Ok(())
}

pub(super) fn resize(file: &mut Vec<u8>, len: u64) -> io::Result<()> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    file.try_reserve(len.saturating_sub(file.len())).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    file.resize(len, 0);
    Ok(())
}
