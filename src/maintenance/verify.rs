//! Verification: reads every byte that the database answers for, and lists all that is wrong, not only the first.
//!
//! - the pages of the catalog, by redb's own checksums, on a copy in memory (redb repairs what it checks);
//! - every row: its checksum, and that it decodes ([`rows`]);
//! - that bitmaps and counters agree with the records they are about ([`derived`]);
//! - every segment that the catalog names, to the last page; and which files nobody names ([`segments`]).

mod derived;
mod rows;
mod segments;

pub(super) use segments::require_segment;

use super::{OnProgress, Progress};
use crate::catalog::{CATALOG, Catalog, Rows};
use crate::medium::{FileMedium, Medium};
use crate::store;
use crate::{Database, Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Everything that is wrong, in the order it was met; empty when the database is sound.
    pub problems: Vec<Problem>,
    /// Files that no commit names. Not wrong: a crash leaves them, and the next open unlinks them.
    pub orphans: Vec<PathBuf>,
    /// Rows of the catalog that were read.
    pub rows: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which file, relative to the database directory.
    pub file: PathBuf,
    /// At which byte, where that is known.
    pub offset: Option<u64>,
    /// What was found.
    pub what: String,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, file: impl Into<PathBuf>, what: impl std::fmt::Display) {
        self.problems.push(Problem { file: file.into(), offset: None, what: what.to_string() });
    }

    fn add_error(&mut self, file: impl Into<PathBuf>, error: Error) {
        match error {
            Error::Corrupt { file, offset, what } => self.problems.push(Problem { file, offset, what }),
            other => self.add(file, other),
        }
    }

    /// Notes what went wrong and goes on.
    fn note<T>(&mut self, file: impl Into<PathBuf>, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.add_error(file, error)).ok()
    }
}

/// Verifies the database in the directory `path`, also one that does not open. Changes nothing, and needs no permission
/// to write, if the file `lock` is there. Beside a process that has the database open, one commit is verified as it is
/// meanwhile.
///
/// # Errors
/// [`Error::Outdated`] when the database is written to so fast that no commit of it lasts until it is verified: ask
/// [`Database::verify`] there. [`Error::Io`] when there is no such directory.
pub fn verify(path: impl AsRef<Path>, progress: &mut OnProgress<'_>) -> Result<VerifyReport> {
    verify_on(&FileMedium::new(path), progress)
}

/// As [`verify`](fn@verify), on any medium.
///
/// # Errors
/// As [`verify`](fn@verify).
pub fn verify_on(medium: &dyn Medium, progress: &mut OnProgress<'_>) -> Result<VerifyReport> {
    // Asked first: taking the lock makes its file, and a directory that is not there must not come to be.
    medium.list("").map_err(|source| Error::io("list", medium.root(), source))?;
    let is_there = medium.open_to_read(CATALOG).is_ok() || medium.list(crate::segment::SEGMENTS).is_ok();
    if !is_there {
        return Err(Error::io("open", medium.root().join(CATALOG), std::io::ErrorKind::NotFound.into()));
    }
    let _lock = match store::lock(medium, "lagdb verify") {
        Err(Error::Locked { .. }) => return verify_beside(medium, progress),
        lock => lock?,
    };
    let (noted, mut report) = (store::read_latest(medium), VerifyReport::default());
    let catalog = check_pages(medium, &mut report, progress);
    match catalog.and_then(|catalog| report.note(CATALOG, catalog.begin_read())) {
        Some(rows) => check(medium, &rows, noted, &mut report, progress),
        None => segments::check_alone(medium, &mut report, progress),
    }
    Ok(report)
}

/// How often a verification beside a writer begins anew.
const TRIES: usize = 8;

/// Verifies one commit beside a process that writes. What looks wrong is only believed of a commit that is still the
/// latest: the segments of others may have gone meanwhile.
fn verify_beside(medium: &dyn Medium, progress: &mut OnProgress<'_>) -> Result<VerifyReport> {
    for _ in 0..TRIES {
        let (noted, copy) = (store::read_latest(medium), store::copy_catalog(medium)?);
        let mut report = VerifyReport::default();
        let catalog = check_pages(&copy, &mut report, progress);
        let Some(rows) = catalog.and_then(|catalog| report.note(CATALOG, catalog.begin_read())) else {
            return Ok(report);
        };
        check(medium, &rows, noted, &mut report, progress);
        // A writer may be writing files that no commit names yet.
        report.orphans.clear();
        let latest = Catalog::open_copy(&store::copy_catalog(medium)?).map(Arc::new)?.begin_read()?;
        if report.is_sound() || store::read_state(&latest)?.commit == store::read_state(&rows)?.commit {
            return Ok(report);
        }
    }
    Err(Error::Outdated { what: "there was always a later commit".to_owned() })
}

impl Database {
    /// Verifies the open database. Reading goes on meanwhile; writing waits while the catalog's pages are checked.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the database stopped; [`Error::Invalid`] when this thread has a transaction open, for it
    /// would wait for itself. What is wrong with its files is in the report.
    pub fn verify(&self, progress: &mut OnProgress<'_>) -> Result<VerifyReport> {
        let store = self.store();
        store.check_running()?;
        let mut report = VerifyReport::default();
        let turn = store.writer_turn()?;
        store.settle()?;
        drop(check_pages(&*store.medium, &mut report, progress));
        let noted = store::read_latest(&*store.medium);
        let (rows, _, mut pin) = store.read()?;
        drop(turn);
        check(&*store.medium, &rows, noted, &mut report, progress);
        drop(rows);
        store.unpin(&mut pin);
        Ok(report)
    }
}

/// `noted` is what the file beside the catalog said before the rows were read.
fn check(
    medium: &dyn Medium,
    rows: &Rows,
    noted: Option<u64>,
    report: &mut VerifyReport,
    progress: &mut OnProgress<'_>,
) {
    if let Ok(state) = store::read_state(rows) {
        report.note(CATALOG, store::check_latest(noted, Some(state.commit)));
    }
    rows::check(rows, report, progress);
    derived::check(rows, report, progress);
    segments::check(medium, rows, report, progress);
}

/// Opens the catalog over a copy that takes all writes, and has redb check its pages.
fn check_pages(medium: &dyn Medium, report: &mut VerifyReport, progress: &mut OnProgress<'_>) -> Option<Arc<Catalog>> {
    progress(Progress { stage: "pages", done: 0, total: 0 });
    let mut checked = report.note(CATALOG, Catalog::open_copy(medium))?;
    match checked.check_pages() {
        Ok(true) => {}
        Ok(false) => report.add(CATALOG, "a page does not have the checksum that redb keeps of it"),
        Err(error) => report.add_error(CATALOG, error),
    }
    for offset in checked.damaged_blocks() {
        let what = "the block does not have its checksum".to_owned();
        report.problems.push(Problem { file: CATALOG.into(), offset: Some(offset), what });
    }
    // Opened anew: the check repaired its copy, and the rows must be those that are on disk.
    drop(checked);
    report.note(CATALOG, Catalog::open_copy(medium)).map(Arc::new)
}
