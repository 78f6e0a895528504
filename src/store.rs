//! The open files of a database and what is known of them while they are open.
//!
//! The order of a commit: segment (bytes, sync, sync of the directory), then rows, then redb's commit, which is
//! **the** commit; before it nothing happened, after it everything did. Transactions that end together share it
//! ([`group`]). At the open, segments that no commit names are unlinked: a crash left them.
//!
//! Without a KV log a commit is one sync, of the catalog; why that is enough stands in `catalog::backend::checked`. redb
//! commits in two phases all the same: in one, an open after a crash would read the whole catalog (seconds per GiB) where
//! it now takes milliseconds. A KV log adds one sync of its segment, and one of the directory for the whole group.

mod beside;
mod erasing;
mod group;
mod latest;
mod moving;
mod pins;
mod retention;
mod rewriting;
mod writer;

pub(crate) use beside::copy_catalog;
pub(crate) use erasing::{is_erasing, mark_erasing};
pub(crate) use group::Ticket;
pub(crate) use latest::{LATEST, check_latest, read_latest};
pub(crate) use moving::{SegmentUse, scan_kv_logs, segment_uses};
pub(crate) use pins::Pin;
pub(crate) use rewriting::Anew;
pub(crate) use writer::WriterTurn;

use crate::catalog::row::{ScopeRow, SegmentRow, State};
use crate::catalog::spaces::Spaces;
use crate::catalog::{CATALOG, Catalog, Key, NEW_CATALOG, Rows, ScopeId, Table};
use crate::index::vector::{Bounds, INDEX, VectorIndex};
use crate::medium::{LOCK, Lock, LockError, Medium};
use crate::options::Options;
use crate::segment::{FinishedSegment, SEGMENTS, SegmentSet};
use crate::{CommitId, Error, Result, SegmentId};
use group::{Flush, Group};
use latest::Latest;
use moving::MovingGate;
use pins::Pins;
use retention::Retained;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use writer::WriterGate;

/// Everything that is open.
#[derive(Debug)]
pub(crate) struct Store {
    /// Replaced as a whole when it is rewritten; those who read the old one keep it.
    catalog: RwLock<Arc<Catalog>>,
    pub(crate) medium: Arc<dyn Medium>,
    pub(crate) segments: SegmentSet,
    pub(crate) vectors: VectorIndex,
    pub(crate) options: Options,
    pins: Arc<Pins>,
    gate: Arc<WriterGate>,
    group: Group,
    latest: Latest,
    /// Commits that stay readable.
    retained: Mutex<Retained>,
    /// Held by whoever moves KV logs between segments.
    moving: MovingGate,
    /// The highest numbers given out, also by transactions that never happened.
    numbers: Mutex<State>,
    /// Why the store stopped.
    failure: OnceLock<String>,
    /// Last, so that it is released when everything else is closed. None is taken only to read.
    lock: Option<Box<dyn Lock>>,
}

impl Store {
    /// Opens the database on `medium`, or makes one.
    pub(crate) fn open(medium: Arc<dyn Medium>, options: Options) -> Result<Self> {
        if !options.create && !has_catalog(&*medium)? {
            return Err(Error::io("open", medium.root().join(CATALOG), io::ErrorKind::NotFound.into()));
        }
        if !has_catalog(&*medium)? {
            // Before anything is made in a directory that is somebody else's.
            check_empty(&*medium)?;
        }
        medium.create_dirs(&[SEGMENTS, INDEX]).map_err(|source| Error::io("create", medium.root(), source))?;
        let lock = lock(&*medium, &options.owner)?;
        let noted = read_latest(&*medium);
        forget_unfinished_catalog(&*medium)?;
        if !has_catalog(&*medium)? {
            check_empty(&*medium)?;
            Catalog::create(&*medium)?;
        }
        if options.check_pages && !Catalog::open_copy(&*medium)?.check_pages()? {
            let what = "a page does not have the checksum that redb keeps of it".to_owned();
            return Err(Error::Corrupt { file: CATALOG.into(), offset: None, what });
        }
        let catalog = Catalog::open(&*medium, options.catalog_cache_bytes)?;
        let rows = catalog.begin_read()?;
        let mut numbers = read_state(&rows)?;
        check_latest(noted, Some(numbers.commit))?;
        check_space(&rows, &options)?;
        let segments = SegmentSet::new(medium.clone());
        let vectors = VectorIndex::new(medium.clone(), bounds(&options));
        let living = segment_rows(&rows)?.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>();
        drop(rows);
        let highest = segments.sweep(&living)?.map_or(0, |id| id.as_u64());
        let behind = highest.checked_add(1).ok_or_else(no_segment_number)?;
        numbers.next_segment = numbers.next_segment.max(behind);
        let store = Self { lock: Some(lock), ..Self::of(catalog, medium, segments, vectors, options, numbers) };
        store.try_to_finish_erasing()?;
        store.retain(&[])?;
        Ok(store)
    }

    /// Opens the database as it is at some commit, beside whoever writes it.
    pub(crate) fn open_to_read(medium: Arc<dyn Medium>, options: Options) -> Result<Self> {
        if !has_catalog(&*medium)? {
            return Err(Error::io("open", medium.root().join(CATALOG), io::ErrorKind::NotFound.into()));
        }
        // Before the copy, which then cannot be older.
        let noted = read_latest(&*medium);
        let catalog = Catalog::open(&copy_catalog(&*medium)?, options.catalog_cache_bytes)?;
        let rows = catalog.begin_read()?;
        check_space(&rows, &options)?;
        let numbers = read_state(&rows)?;
        check_latest(noted, Some(numbers.commit))?;
        drop(rows);
        let segments = SegmentSet::beside(medium.clone());
        let vectors = VectorIndex::new(medium.clone(), bounds(&options));
        Ok(Self::of(catalog, medium, segments, vectors, options, numbers))
    }

    fn of(
        catalog: Arc<Catalog>,
        medium: Arc<dyn Medium>,
        segments: SegmentSet,
        vectors: VectorIndex,
        options: Options,
        numbers: State,
    ) -> Self {
        Self {
            catalog: RwLock::new(catalog),
            medium,
            segments,
            vectors,
            options,
            pins: Arc::default(),
            gate: Arc::default(),
            group: Group::default(),
            latest: Latest::default(),
            retained: Mutex::default(),
            moving: MovingGate::default(),
            numbers: Mutex::new(numbers),
            failure: OnceLock::new(),
            lock: None,
        }
    }

    /// The catalog as it is now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a rewritten catalog in place of the one before. The caller holds the writer's turn.
    pub(crate) fn replace_catalog(&self, catalog: Arc<Catalog>) {
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = catalog;
    }

    /// The latest commit, pinned: its segments stay as long as the pin.
    pub(crate) fn read(&self) -> Result<(Rows, CommitId, Pin)> {
        self.pins.pin(|| {
            let rows = self.catalog().begin_read()?;
            let commit = CommitId::from_u64(read_state(&rows)?.commit);
            Ok((rows, commit))
        })
    }

    /// Waits until nobody else writes. Fails when it is this very thread that does.
    pub(crate) fn writer_turn(&self) -> Result<WriterTurn> {
        if self.lock.is_none() {
            return Err(Error::invalid("database", "is open to be read only"));
        }
        self.gate.wait()
    }

    /// Whether this thread has the writer's turn: what waits for others that need it would wait for ever.
    pub(crate) fn is_written_here(&self) -> bool {
        self.gate.is_taken_here()
    }

    /// What the next transaction reads and writes: the latest commit, and above it what is staged. The caller holds the
    /// writer's turn.
    pub(crate) fn begin_staging(&self) -> Result<Rows> {
        self.group.above(|layers| Ok(self.catalog().begin_read()?.staged_on(layers)))
    }

    /// Leaves the rows of a transaction to be made durable; the next one may begin. The caller holds the writer's turn,
    /// and must call [`make_durable`](Self::make_durable) whatever happens.
    pub(crate) fn stage(&self, rows: Rows, has_segment: bool) -> Ticket {
        self.group.stage(rows.into_layer(), has_segment)
    }

    /// Notes that a staged commit names these segments. The caller holds the writer's turn.
    pub(crate) fn bear(&self, commit: CommitId, segments: impl IntoIterator<Item = SegmentId>) {
        self.pins.bear(commit, segments);
    }

    /// Waits until a staged transaction is durable. Its segments are synced first, while others may still flush.
    ///
    /// After an error the store has stopped: later transactions read through this one.
    pub(crate) fn make_durable(&self, ticket: &Ticket, segments: &[FinishedSegment]) -> Result<()> {
        let stopping = StopOnPanic(self);
        let synced = segments.iter().try_for_each(FinishedSegment::sync);
        let durable = synced.and_then(|()| {
            self.group.wait(ticket, &|| self.check_running(), &|flush| {
                // Stopped at once: nobody else may try again what failed, for a sync that failed fails once.
                self.flush(flush).inspect_err(|error| self.stop(error))
            })
        });
        drop(stopping);
        durable.inspect_err(|error| self.stop(error))
    }

    fn flush(&self, flush: &Flush) -> Result<()> {
        if flush.has_segments {
            self.segments.sync_names()?;
        }
        self.catalog().commit(&flush.layers)?;
        self.note_latest(&flush.layers);
        self.retain(&flush.layers)
    }

    /// Waits until nothing is staged. The caller holds the writer's turn.
    pub(crate) fn settle(&self) -> Result<()> {
        self.group.settle(&|| self.check_running())
    }

    /// The numbers to give out next, higher than all that were ever given out.
    pub(crate) fn next_numbers(&self, rows: &Rows) -> Result<State> {
        let stored = read_state(rows)?;
        let seen = self.numbers();
        Ok(State {
            commit: stored.commit + 1,
            next_id: stored.next_id.max(seen.next_id),
            next_segment: stored.next_segment.max(seen.next_segment),
            next_scope: stored.next_scope.max(seen.next_scope),
            ..stored
        })
    }

    /// The number of a new segment, never given again.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when there is none: nobody writes 2^64 segments, a damaged name or row says so.
    pub(crate) fn take_segment(&self) -> Result<SegmentId> {
        let mut seen = self.numbers();
        let taken = seen.next_segment;
        seen.next_segment = taken.checked_add(1).ok_or_else(no_segment_number)?;
        Ok(SegmentId::from_u64(taken))
    }

    /// Burns the numbers below these, whether their transaction happens or not.
    pub(crate) fn burn(&self, given: &State) {
        let mut seen = self.numbers();
        seen.next_id = seen.next_id.max(given.next_id);
        seen.next_scope = seen.next_scope.max(given.next_scope);
    }

    /// Unlinks segments as soon as no snapshot from before `commit` is left, and those that the disk did not let go before.
    pub(crate) fn retire(&self, commit: CommitId, dead: Vec<SegmentId>) {
        let now = self.pins.retire(commit, dead);
        self.unlink(now);
    }

    /// Unlinks segments that no commit names; those that the disk does not let go wait for the next that are retired.
    pub(crate) fn unlink(&self, ids: impl IntoIterator<Item = SegmentId>) {
        let refused = self.segments.unlink(ids);
        self.pins.refuse(refused);
    }

    /// Segments that are given up and still there: read by snapshots, or not let go by the disk.
    pub(crate) fn waiting(&self) -> Vec<SegmentId> {
        self.pins.waiting()
    }

    /// Unlinks what the end of a snapshot set free.
    pub(crate) fn unpin(&self, pin: &mut Pin) {
        self.unlink(pin.release());
    }

    /// Fails when the store stopped.
    pub(crate) fn check_running(&self) -> Result<()> {
        match self.failure.get() {
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Stops the store: what is on disk is not known any more, an open will find out.
    pub(crate) fn stop(&self, cause: &Error) {
        self.failure.get_or_init(|| {
            tracing::error!(%cause, "the database stops");
            cause.to_string()
        });
        self.group.wake();
    }

    /// Stops the store if `error` is that of a sync: it leaves bytes that nobody may rely on, nor write again.
    pub(crate) fn stop_if_unknown(&self, error: &Error) {
        if matches!(error, Error::Io { action, .. } if action.starts_with("sync")) {
            self.stop(error);
        }
    }

    fn numbers(&self) -> MutexGuard<'_, State> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops the store when a medium panics between staging and durability: others would wait for ever.
struct StopOnPanic<'a>(&'a Store);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(&Error::Poisoned { cause: "a commit panicked".to_owned() });
        }
    }
}

fn no_segment_number() -> Error {
    let what = "a name or a row has the last number that a segment can have".to_owned();
    Error::Corrupt { file: crate::segment::SEGMENTS.into(), offset: None, what }
}

fn bounds(options: &Options) -> Bounds {
    Bounds { graph_from: options.graph_from, memory_bytes: options.index_memory_bytes, is_writing: !options.read_only }
}

/// The state row, which every catalog has.
pub(crate) fn read_state(rows: &Rows) -> Result<State> {
    let key = Key::state();
    let missing = || crate::catalog::value::corrupt(Table::Meta, key.as_bytes(), "the row is missing");
    rows.get_row(Table::Meta, &key)?.ok_or_else(missing)
}

/// All segments that the catalog names.
pub(crate) fn segment_rows(rows: &Rows) -> Result<Vec<(SegmentId, SegmentRow)>> {
    let mut segments = Vec::new();
    rows.scan(Table::Segments, &Key::all(), &mut |key, opened| {
        let row = crate::catalog::row::decode(Table::Segments, key, opened)?;
        let id = Key::u64_at(key, 0)
            .ok_or_else(|| crate::catalog::value::corrupt(Table::Segments, key, "is no segment id"))?;
        segments.push((SegmentId::from_u64(id), row));
        Ok(())
    })?;
    // Files that no row names are unlinked at the open, so a hidden row must not go unnoticed.
    expect_rows(Table::Segments, segments.len(), read_state(rows)?.n_segments)?;
    Ok(segments)
}

/// The number of the scope called `name`, once it has a commit.
pub(crate) fn find_scope(rows: &Rows, name: &str) -> Result<Option<ScopeId>> {
    if let Some(row) = rows.get_row::<ScopeRow>(Table::Scopes, &Key::scope_name(name))? {
        return Ok(Some(ScopeId(row.id)));
    }
    expect_rows(Table::Scopes, rows.count(Table::Scopes)? as usize, read_state(rows)?.n_scopes)?;
    Ok(None)
}

fn expect_rows(table: Table, found: usize, expected: u32) -> Result<()> {
    if found == expected as usize {
        return Ok(());
    }
    Err(crate::catalog::value::corrupt(table, &[], format!("{found} rows; {expected} were written")))
}

fn check_space(rows: &Rows, options: &Options) -> Result<()> {
    match (Spaces::read(rows)?.main(), &options.space) {
        (Some(main), Some(wanted)) => wanted.require(&main.space),
        _ => Ok(()),
    }
}

/// The file that says what a backup holds; a directory that has it is no database.
pub(crate) const MANIFEST: &str = "manifest";

/// What a database may have in its directory while it is being made.
const OWN_FILES: [&str; 4] = [LOCK, CATALOG, NEW_CATALOG, LATEST];

/// A database is made in an empty directory only: not among other people's files, and not over segments whose catalog
/// was lost, which would be unlinked as orphans.
fn check_empty(medium: &dyn Medium) -> Result<()> {
    let found = |dir: &str, names: io::Result<Vec<String>>| match names {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names.map_err(|source| Error::io("list", medium.root().join(dir), source)),
    };
    if exists(medium, MANIFEST)? {
        return Err(Error::invalid("path", format!("{} is a backup; restore it elsewhere", medium.root().display())));
    }
    check_latest(read_latest(medium), None)?;
    if let Some(name) = found(SEGMENTS, medium.list(SEGMENTS))?.iter().find(|name| name.ends_with(".kv")) {
        let what = format!("is missing, while {SEGMENTS}/{name} is there");
        return Err(Error::Corrupt { file: CATALOG.into(), offset: None, what });
    }
    let (files, dirs) = (found("", medium.list(""))?, found("", medium.list_dirs(""))?);
    let foreign_file = files.iter().find(|name| !OWN_FILES.contains(&name.as_str()));
    match foreign_file.or(dirs.iter().find(|name| ![SEGMENTS, INDEX].contains(&name.as_str()))) {
        None => Ok(()),
        Some(name) => {
            let root = medium.root();
            Err(Error::invalid("path", format!("{} has no catalog but other files ({name})", root.display())))
        }
    }
}

fn has_catalog(medium: &dyn Medium) -> Result<bool> {
    exists(medium, CATALOG)
}

/// A start that was interrupted while it made a catalog left one under another name.
fn forget_unfinished_catalog(medium: &dyn Medium) -> Result<()> {
    if !exists(medium, NEW_CATALOG)? {
        return Ok(());
    }
    Catalog::forget_beside(medium)
}

fn exists(medium: &dyn Medium, name: &str) -> Result<bool> {
    match medium.open_to_read(name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io("open", name, source)),
    }
}

pub(crate) fn lock(medium: &dyn Medium, owner: &str) -> Result<Box<dyn Lock>> {
    medium.lock(owner).map_err(|error| match error {
        LockError::Held(owner) => Error::Locked { path: medium.root(), owner },
        LockError::Io(source) => Error::io("lock", medium.root(), source),
    })
}
