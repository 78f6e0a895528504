//! However many segments are read, few files are open.
//!
//! Every segment that was ever read kept its file open until it was unlinked: a database of a thousand segments ran out
//! of file descriptors and could not be read to the end.

use crate::kit::{self, kv_log, model};
use lagdb::Database;
use lagdb::medium::{Lock, LockError, Medium, MediumFile, MemoryMedium};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SEGMENTS: u32 = 80;

/// Files in memory, and how many of them are open.
#[derive(Clone, Debug, Default)]
struct Counting {
    files: MemoryMedium,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    /// Bytes of the longest read of a segment.
    longest: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Counted {
    file: Arc<dyn MediumFile>,
    open: Arc<AtomicUsize>,
    longest: Option<Arc<AtomicUsize>>,
}

impl Counting {
    fn counted(&self, name: &str, file: Arc<dyn MediumFile>) -> Arc<dyn MediumFile> {
        let now = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let longest = name.ends_with(".kv").then(|| self.longest.clone());
        Arc::new(Counted { file, open: self.open.clone(), longest })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Medium for Counting {
    fn root(&self) -> PathBuf {
        self.files.root()
    }

    fn create_dirs(&self, dirs: &[&str]) -> io::Result<()> {
        self.files.create_dirs(dirs)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.files.open(name).map(|file| self.counted(name, file))
    }

    fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.files.open_to_read(name).map(|file| self.counted(name, file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.files.create(name).map(|file| self.counted(name, file))
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
        self.files.sync_dir(dir)
    }

    fn lock(&self, owner: &str) -> Result<Box<dyn Lock>, LockError> {
        self.files.lock(owner)
    }
}

impl MediumFile for Counted {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some(longest) = &self.longest {
            longest.fetch_max(out.len(), Ordering::SeqCst);
        }
        self.file.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

#[test]
fn reading_every_segment_leaves_no_file_open() {
    let medium = Counting::default();
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let log = |i| kv_log(&model(1), 3, i);
    let ids: Vec<_> = (0..SEGMENTS).map(|i| kit::remember(&scope, &format!("t {i}"), Some(&log(i)))).collect();
    let snapshot = scope.snapshot().unwrap();
    let read_all = || ids.iter().map(|id| snapshot.kv_log(*id, &model(1)).unwrap().unwrap()).collect::<Vec<_>>();
    let (first, again) = (read_all(), read_all());
    assert!(medium.most.load(Ordering::SeqCst) <= 8, "{} files were open at once", medium.most.load(Ordering::SeqCst));

    // A pinned segment is read by its name, also when a compaction put its logs elsewhere and its footer is not known.
    database.compact(&mut |_| {}).unwrap();
    let pinned = read_all();
    for (i, view) in (0..SEGMENTS).zip(&pinned) {
        assert_eq!(view.to_log().unwrap(), log(i));
    }
    drop((first, again, pinned, snapshot));
    assert_eq!(medium.list("segments").unwrap().len(), 1, "the last snapshot lets the old segments go");
}

/// A verification, and a backup that checks its copies, read each segment whole: one of a transaction with many KV logs did
/// not fit into memory.
#[test]
fn a_segment_is_checked_one_log_at_a_time() {
    let (medium, backup) = (Counting::default(), Counting::default());
    let database = Database::options().open_on(Arc::new(medium.clone())).unwrap();
    let scope = database.scope("s").unwrap();
    let mut tx = scope.begin().unwrap();
    for i in 0..50 {
        let id = tx.put_new(&kit::trajectory(&format!("t {i}"))).unwrap();
        tx.put_kv_log(id, &kv_log(&model(1), 40, i)).unwrap();
    }
    tx.commit().unwrap();
    let n_bytes = database.stats().unwrap().segment_bytes as usize;
    let report = database.verify(&mut |_| {}).unwrap();
    assert!(report.is_sound() && report.segments == 1 && report.segment_bytes == n_bytes as u64, "{report:?}");
    let of_verify = medium.longest.load(Ordering::SeqCst);
    database.backup_on(&backup, &mut |_| {}).unwrap();
    for longest in [of_verify, backup.longest.load(Ordering::SeqCst)] {
        assert!(longest > 0 && longest < n_bytes / 4, "{longest} bytes of {n_bytes} were read at once");
    }
}
