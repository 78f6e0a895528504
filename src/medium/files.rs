//! Files of the operating system under one directory.
//!
//! The lock is the system's own on the file `lock` (`flock` or `LockFileEx`), which goes when the process does, however
//! it ends; the text in the file is only for people.

use super::{FileBytes, LOCK, Lock, LockError, Medium, MediumFile};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
#[cfg(unix)]
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a lock may take to be let go. A process that another thread is about to start holds copies of all that is open
/// until it runs its program, locks that were just let go among them.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);

/// Fewer bytes are read: a map costs some calls to the system, and interrupts of its own.
#[cfg(unix)]
const LEAST_MAPPED_BYTES: u64 = 1 << 20;

/// Longest owner text that is read from a lock file.
const OWNER_BYTES: u64 = 512;

/// The files below one directory.
#[derive(Clone, Debug)]
pub struct FileMedium {
    root: PathBuf,
}

impl FileMedium {
    /// The files below `root`, which need not exist yet.
    pub fn new(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_path_buf() }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }
}

impl Medium for FileMedium {
    fn root(&self) -> PathBuf {
        self.root.clone()
    }

    fn create_dirs(&self, dirs: &[&str]) -> io::Result<()> {
        let named_anew = up_to_existing(&self.root)?;
        for dir in std::iter::once(&"").chain(dirs) {
            fs::create_dir_all(self.path(dir))?;
        }
        named_anew.iter().try_for_each(|dir| sync_dir(dir))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        Ok(Arc::new(OsFile(OpenOptions::new().read(true).write(true).open(self.path(name))?)))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        Ok(Arc::new(OsFile(File::open(self.path(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path(name));
        Ok(Arc::new(OsFile(options?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        names_where(&self.path(dir), |kind| kind.is_file())
    }

    fn list_dirs(&self, dir: &str) -> io::Result<Vec<String>> {
        names_where(&self.path(dir), |kind| !kind.is_file())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        sync_dir(&self.path(dir))
    }

    fn lock(&self, owner: &str) -> Result<Box<dyn Lock>, LockError> {
        let mut file = open_lock(&self.path(LOCK))?;
        match lock_soon(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(read_owner(&mut file))),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // The text is only for people: a full disk, or a file that may not be written to, is locked all the same.
        if let Err(error) = file.set_len(0).and_then(|()| file.write_all(owner.as_bytes())) {
            tracing::debug!(%error, "the lock does not say who holds it");
        }
        Ok(Box::new(FileLock { _file: file }))
    }
}

/// Takes the lock, also if it is let go only within [`LOCK_PATIENCE`].
fn lock_soon(file: &File) -> Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => std::thread::sleep(LOCK_PATIENCE / 50),
            taken => return taken,
        }
    }
}

/// The lock's file, made if need be; to read only where it may not be written to.
fn open_lock(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    match opened {
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            File::open(path).map_err(|_| error)
        }
        opened => opened,
    }
}

fn names_where(dir: &Path, wanted: impl Fn(fs::FileType) -> bool) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if wanted(entry.file_type()?) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The directories in which something is named when `root` and what it lies in are made: `root` itself, and those above
/// it up to the first that is there. Always the one above `root`, for who made `root` may have had no time to sync it.
fn up_to_existing(root: &Path) -> io::Result<Vec<PathBuf>> {
    let root = std::path::absolute(root)?;
    let mut dirs = vec![root.clone()];
    for above in root.ancestors().skip(1) {
        dirs.push(above.to_path_buf());
        if above.is_dir() {
            break;
        }
    }
    Ok(dirs)
}

/// Directories cannot be opened as files on Windows, where names are durable without.
fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    File::open(path)?.sync_all()
}

fn read_owner(file: &mut File) -> String {
    let mut text = Vec::new();
    let read = file.rewind().and_then(|()| file.take(OWNER_BYTES).read_to_end(&mut text));
    match read {
        Ok(n) if n > 0 => String::from_utf8_lossy(&text).into_owned(),
        _ => "another process".to_owned(),
    }
}

#[derive(Debug)]
struct FileLock {
    /// Closing it releases the lock.
    _file: File,
}

impl Lock for FileLock {}

#[derive(Debug)]
struct OsFile(File);

#[cfg(unix)]
impl OsFile {
    /// These bytes where the system keeps them.
    fn map(&self, range: Range<u64>) -> io::Result<FileBytes> {
        // What is mapped beyond the end could not be read.
        if range.end > self.len()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let n_bytes = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut options = memmap2::MmapOptions::new();
        options.offset(range.start).len(n_bytes);
        // SAFETY: bytes that are borrowed must not change. Those who call this have files that get their name only when
        // they are whole, or that no commit names before they are, are unlinked or replaced by name, never written to again;
        // and only who has the lock of the directory does any of that. What cannot be ruled out is a stranger who cuts the
        // file off: the system ends a process that reads beyond, as it does for every database that maps its files.
        #[allow(unsafe_code)]
        unsafe { options.map(&self.0) }.map(FileBytes::Mapped)
    }
}

impl MediumFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, out, offset)
    }

    #[cfg(unix)]
    fn bytes(&self) -> io::Result<FileBytes> {
        self.map(0..self.len()?)
    }

    #[cfg(unix)]
    fn bytes_at(&self, range: Range<u64>) -> io::Result<FileBytes> {
        if range.end.saturating_sub(range.start) >= LEAST_MAPPED_BYTES {
            return self.map(range);
        }
        let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
        self.read_at(range.start, &mut bytes)?;
        Ok(FileBytes::Read(bytes))
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            let n = std::os::windows::fs::FileExt::seek_read(&self.0, out, offset)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            out = &mut out[n..];
            offset += n as u64;
        }
        Ok(())
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset)?;
            bytes = &bytes[n..];
            offset += n as u64;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the directory right above the database was synced: of `a/b/c` with a new `a`, a power cut could take the
    /// name of `a`, and everything below it.
    #[test]
    fn every_directory_that_gets_a_new_name_is_synced() {
        let dir = tempfile::tempdir().unwrap();
        let top = std::path::absolute(dir.path()).unwrap();
        let (a, b, c) = (top.join("a"), top.join("a/b"), top.join("a/b/c"));
        assert_eq!(up_to_existing(&c).unwrap(), [c.clone(), b.clone(), a.clone(), top]);
        FileMedium::new(&c).create_dirs(&["segments"]).unwrap();
        assert!(c.join("segments").is_dir());
        assert_eq!(up_to_existing(&c).unwrap(), [c, b]);
    }
}
