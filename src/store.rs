//! The open files of a database and what is known of them while they are open.
//!
//! The order of a commit: segment (bytes, sync, name, sync of the directory), then rows, then redb's commit, which is
//! **the** commit; before it nothing happened, after it everything did. At the open, segments that no commit names are
//! unlinked: a crash left them.

mod pins;
mod writer;

pub(crate) use pins::Pin;
pub(crate) use writer::WriterTurn;

use crate::catalog::row::{ScopeRow, SegmentRow, SpaceRow, State};
use crate::catalog::{CATALOG, Catalog, Key, NEW_CATALOG, Rows, ScopeId, Table};
use crate::index::vector::VectorIndex;
use crate::medium::{LOCK, Lock, LockError, Medium};
use crate::options::Options;
use crate::record::EmbeddingSpace;
use crate::segment::{SEGMENTS, SegmentSet};
use crate::{CommitId, Error, Result, SegmentId};
use pins::Pins;
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
    /// The highest numbers given out, also by transactions that never happened.
    numbers: Mutex<State>,
    /// Why the store stopped.
    failure: OnceLock<String>,
    /// Last, so that it is released when everything else is closed.
    _lock: Box<dyn Lock>,
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
        medium.create_dirs(&[SEGMENTS]).map_err(|source| Error::io("create", medium.root(), source))?;
        let lock = lock(&*medium, &options.owner)?;
        forget_unfinished_catalog(&*medium)?;
        if !has_catalog(&*medium)? {
            check_empty(&*medium)?;
            Catalog::create(&*medium)?;
        }
        if options.check_pages && !Catalog::open_copy(&*medium)?.check_pages()? {
            let what = "a page does not have the checksum that redb keeps of it".to_owned();
            return Err(Error::Corrupt { file: CATALOG.into(), offset: None, what });
        }
        let catalog = Catalog::open(&*medium)?;
        let rows = catalog.begin_read()?;
        let mut numbers = read_state(&rows)?;
        check_space(&rows, &options)?;
        let segments = SegmentSet::new(medium.clone());
        let living = segment_rows(&rows)?.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>();
        drop(rows);
        let highest = segments.sweep(&living)?.map_or(0, |id| id.as_u64());
        numbers.next_segment = numbers.next_segment.max(highest.saturating_add(1));
        Ok(Self {
            catalog: RwLock::new(catalog),
            medium,
            segments,
            vectors: VectorIndex::default(),
            options,
            pins: Arc::default(),
            gate: Arc::default(),
            numbers: Mutex::new(numbers),
            failure: OnceLock::new(),
            _lock: lock,
        })
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
    pub(crate) fn read(self: &Arc<Self>) -> Result<(Rows, CommitId, Pin)> {
        self.pins.pin(|| {
            let rows = self.catalog().begin_read()?;
            let commit = CommitId::from_u64(read_state(&rows)?.commit);
            Ok((rows, commit))
        })
    }

    /// Waits until nobody else writes. Fails when it is this very thread that does.
    pub(crate) fn writer_turn(&self) -> Result<WriterTurn> {
        self.gate.wait()
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

    /// Burns the numbers below these, whether their transaction happens or not.
    pub(crate) fn burn(&self, given: &State) {
        let mut seen = self.numbers();
        seen.next_id = seen.next_id.max(given.next_id);
        seen.next_segment = seen.next_segment.max(given.next_segment);
        seen.next_scope = seen.next_scope.max(given.next_scope);
    }

    /// Unlinks segments as soon as no snapshot from before `commit` is left.
    pub(crate) fn retire(&self, commit: CommitId, dead: Vec<SegmentId>) {
        let now = self.pins.retire(commit, dead);
        self.segments.unlink(now);
    }

    /// Unlinks what the end of a snapshot set free.
    pub(crate) fn unpin(&self, pin: &mut Pin) {
        self.segments.unlink(pin.release());
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
        tracing::error!(%cause, "the database stops");
        self.failure.get_or_init(|| cause.to_string());
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

/// The state row, which every catalog has.
pub(crate) fn read_state(rows: &Rows) -> Result<State> {
    let key = Key::state();
    let missing = || crate::catalog::value::corrupt(Table::Meta, key.as_bytes(), "the row is missing");
    rows.get_row(Table::Meta, &key)?.ok_or_else(missing)
}

/// The embedding space of the database, once there is one.
pub(crate) fn read_space(rows: &Rows) -> Result<Option<EmbeddingSpace>> {
    let row = rows.get_row::<SpaceRow>(Table::Meta, &Key::space())?;
    row.map(|row| EmbeddingSpace::new(row.name, row.dim as usize)).transpose()
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
    match (read_space(rows)?, &options.space) {
        (Some(stored), Some(wanted)) => wanted.require(&stored),
        _ => Ok(()),
    }
}

/// What a database may have in its directory while it is being made.
const OWN_FILES: [&str; 3] = [LOCK, CATALOG, NEW_CATALOG];

/// A database is made in an empty directory only: not among other people's files, and not over segments whose catalog
/// was lost, which would be unlinked as orphans.
fn check_empty(medium: &dyn Medium) -> Result<()> {
    let found = |dir: &str, names: io::Result<Vec<String>>| match names {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names.map_err(|source| Error::io("list", medium.root().join(dir), source)),
    };
    if let Some(name) = found(SEGMENTS, medium.list(SEGMENTS))?.iter().find(|name| name.ends_with(".kv")) {
        let what = format!("is missing, while {SEGMENTS}/{name} is there");
        return Err(Error::Corrupt { file: CATALOG.into(), offset: None, what });
    }
    let (files, dirs) = (found("", medium.list(""))?, found("", medium.list_dirs(""))?);
    let foreign_file = files.iter().find(|name| !OWN_FILES.contains(&name.as_str()));
    match foreign_file.or(dirs.iter().find(|name| name.as_str() != SEGMENTS)) {
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
    medium.unlink(NEW_CATALOG).map_err(|source| Error::io("unlink", NEW_CATALOG, source))
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
