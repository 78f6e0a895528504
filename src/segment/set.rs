//! All segments of a database: footers are kept once read, files are open only while they are read, and unlinked when
//! no commit names them.
//!
//! A process may have few files open (256 on some systems), a database has as many segments as commits with KV logs.
//! So no file stays open between two reads: a pin keeps the *name* of a segment, and the name is enough to read it.

use super::{SEGMENTS, file_name, id_of};
use crate::catalog::row::SegmentRow;
use crate::medium::{FileBytes, Medium, MediumFile};
use crate::{Error, Result, SegmentId};
use lagdb_format::{Bytes, Footer, KvLogView, ModelFingerprint, Precision, RowGroup, RowGroupIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The segments under [`SEGMENTS`].
#[derive(Debug)]
pub(crate) struct SegmentSet {
    medium: Arc<dyn Medium>,
    /// Of segments that were read.
    footers: Mutex<Footers>,
    /// Whether another process may give segments up.
    is_beside: bool,
}

/// Bytes of footers that may be in memory, counted as they are on disk.
pub(crate) const FOOTER_CACHE_BYTES: u64 = 32 << 20;

/// Footers that are kept: a few hundred bytes a row group.
#[derive(Debug, Default)]
struct Footers {
    kept: BTreeMap<SegmentId, (Arc<Footer>, u64)>,
    n_bytes: u64,
}

impl Footers {
    fn get(&self, id: SegmentId) -> Option<Arc<Footer>> {
        self.kept.get(&id).map(|(footer, _)| footer.clone())
    }

    /// Keeps one more. When there is no room all others go: they are read again when they are needed.
    fn keep(&mut self, id: SegmentId, footer: Arc<Footer>, n_bytes: u64) {
        if self.kept.contains_key(&id) {
            return;
        }
        if self.n_bytes + n_bytes > FOOTER_CACHE_BYTES {
            *self = Self::default();
        }
        if n_bytes <= FOOTER_CACHE_BYTES {
            self.kept.insert(id, (footer, n_bytes));
            self.n_bytes += n_bytes;
        }
    }

    fn forget(&mut self, id: SegmentId) {
        self.n_bytes -= self.kept.remove(&id).map_or(0, |(_, n_bytes)| n_bytes);
    }
}

/// Which KV log, and what the catalog says of its segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) segment: SegmentId,
    pub(crate) row: SegmentRow,
    pub(crate) row_group: RowGroupIndex,
}

/// A segment's file, found to be the one that was written.
pub(super) struct OpenSegment {
    pub(super) file: Arc<dyn MediumFile>,
    footer: Arc<Footer>,
}

impl OpenSegment {
    fn row_group(&self, located: Located) -> Result<&RowGroup> {
        let name = file_name(located.segment);
        let missing = |error| corrupt(&name, None, format!("the catalog names a row group that is not there: {error}"));
        self.footer.row_group(located.row_group).map_err(missing)
    }
}

impl SegmentSet {
    pub(crate) fn new(medium: Arc<dyn Medium>) -> Self {
        Self { medium, footers: Mutex::default(), is_beside: false }
    }

    /// Segments of a database that another process writes.
    pub(crate) fn beside(medium: Arc<dyn Medium>) -> Self {
        Self { is_beside: true, ..Self::new(medium) }
    }

    /// Reads a KV log, as much of it as the precision needs, and checks every page that was read: what is found later,
    /// through the view, has no file to name.
    pub(crate) fn read(&self, located: Located, precision: Precision) -> Result<KvLogView<'static>> {
        self.or_outdated(located.segment, self.read_living(located, precision))
    }

    /// The model that made a KV log, as its segment's footer says: nothing else of the log is read.
    pub(crate) fn fingerprint(&self, located: Located) -> Result<ModelFingerprint> {
        let segment = self.open(located.segment, &located.row);
        self.or_outdated(
            located.segment,
            segment.and_then(|segment| segment.row_group(located).map(RowGroup::fingerprint).copied()),
        )
    }

    /// What was read, or that another process gave the segment up meanwhile.
    pub(crate) fn or_outdated<T>(&self, segment: SegmentId, read: Result<T>) -> Result<T> {
        match read {
            Err(Error::Corrupt { .. }) if self.is_beside && self.is_gone(segment) => {
                Err(Error::Outdated { what: format!("{} was given up", file_name(segment)) })
            }
            read => read,
        }
    }

    fn is_gone(&self, id: SegmentId) -> bool {
        let opened = self.medium.open_to_read(&file_name(id));
        opened.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    fn read_living(&self, located: Located, precision: Precision) -> Result<KvLogView<'static>> {
        let name = file_name(located.segment);
        let segment = self.open(located.segment, &located.row)?;
        let row_group = segment.row_group(located)?;
        let read = |range: Range<u64>| read_range(&*segment.file, &name, range.start, range.end - range.start);
        let in_file = |error| Error::from_format(error, &name);
        let view = if precision == Precision::Exact || row_group.n_levels() == 1 {
            let bytes = located_bytes(&*segment.file, &name, row_group.range())?;
            KvLogView::new(row_group, Bytes::Shared(Arc::new(bytes))).map_err(in_file)?
        } else {
            let view = KvLogView::of_directory(row_group, read(row_group.directory_range())?).map_err(in_file)?;
            let front = read(view.front_range(precision))?;
            view.with_front(precision, front).map_err(in_file)?
        };
        view.into_checked().map_err(in_file)
    }

    fn open(&self, id: SegmentId, row: &SegmentRow) -> Result<OpenSegment> {
        let known = self.footers().get(id);
        if let Some(footer) = known {
            return Ok(OpenSegment { file: open_named(&*self.medium, id)?, footer });
        }
        let segment = open_file(&*self.medium, id, row)?;
        self.footers().keep(id, segment.footer.clone(), row.footer_bytes);
        Ok(segment)
    }

    /// Takes the names of segments away that no commit names. Returns those that may still have one, or have it again
    /// after a crash: to be tried again; at the latest the next open does.
    pub(crate) fn unlink(&self, ids: impl IntoIterator<Item = SegmentId>) -> Vec<SegmentId> {
        let (mut gone, mut refused) = (Vec::new(), Vec::new());
        for id in ids {
            self.footers().forget(id);
            match self.medium.unlink(&file_name(id)) {
                Ok(()) => gone.push(id),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => gone.push(id),
                Err(error) => {
                    tracing::warn!(segment = id.as_u64(), %error, "a dead segment was not unlinked");
                    refused.push(id);
                }
            }
        }
        if !gone.is_empty()
            && let Err(error) = self.medium.sync_dir(SEGMENTS)
        {
            tracing::warn!(%error, "unlinked segments may come back");
            refused.append(&mut gone);
        }
        refused
    }

    /// Makes the names of new segments durable.
    pub(crate) fn sync_names(&self) -> Result<()> {
        self.medium.sync_dir(SEGMENTS).map_err(|source| Error::io("sync the directory", SEGMENTS, source))
    }

    /// Unlinks every file that `living` does not name, and returns the highest id that any file had.
    ///
    /// Only for the open, under the lock of the directory: nobody else is writing.
    pub(crate) fn sweep(&self, living: &BTreeSet<SegmentId>) -> Result<Option<SegmentId>> {
        let io = |action| move |source| Error::io(action, SEGMENTS, source);
        let names = self.medium.list(SEGMENTS).map_err(io("list"))?;
        let is_dead = |name: &&String| id_of(name).is_some_and(|id| name.ends_with(".tmp") || !living.contains(&id));
        let dead: Vec<_> = names.iter().filter(is_dead).collect();
        for name in &dead {
            tracing::info!(file = name.as_str(), "unlinking what a crash left");
            self.medium.unlink(&format!("{SEGMENTS}/{name}")).map_err(io("unlink in"))?;
        }
        if !dead.is_empty() {
            self.medium.sync_dir(SEGMENTS).map_err(io("sync the directory"))?;
        }
        Ok(names.iter().filter_map(|name| id_of(name)).max())
    }

    fn footers(&self) -> MutexGuard<'_, Footers> {
        self.footers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A segment's file, if it has the length and the footer that the catalog says.
pub(super) fn open_file(medium: &dyn Medium, id: SegmentId, row: &SegmentRow) -> Result<OpenSegment> {
    let name = file_name(id);
    let file = open_named(medium, id)?;
    let len = file.len().map_err(|source| Error::io("measure", &name, source))?;
    if len != row.len {
        return Err(corrupt(&name, Some(len.min(row.len)), format!("{len} bytes; {} were written", row.len)));
    }
    let end = read_range(&*file, &name, len.saturating_sub(row.footer_bytes), row.footer_bytes)?;
    if blake3::hash(&end).as_bytes() != &row.footer {
        let offset = len.saturating_sub(row.footer_bytes);
        return Err(corrupt(&name, Some(offset), "the footer is not the one that was written".to_owned()));
    }
    let footer = parse_footer(&end, len, id).map_err(|error| Error::from_format(error, &name))?;
    Ok(OpenSegment { file, footer: Arc::new(footer) })
}

pub(super) fn open_named(medium: &dyn Medium, id: SegmentId) -> Result<Arc<dyn MediumFile>> {
    let name = file_name(id);
    medium.open_to_read(&name).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => corrupt(&name, None, "the file is missing".to_owned()),
        _ => Error::io("open", &name, source),
    })
}

fn parse_footer(end: &[u8], len: u64, id: SegmentId) -> lagdb_format::Result<Footer> {
    let split = end.len().saturating_sub(Footer::tail_bytes());
    let (footer, tail) = end.split_at(split);
    let located = Footer::locate(tail, len)?;
    Footer::parse(footer, &located, id.as_u64())
}

pub(super) fn read_range(file: &dyn MediumFile, name: &str, offset: u64, n_bytes: u64) -> Result<Vec<u8>> {
    let n_bytes =
        usize::try_from(n_bytes).map_err(|_| corrupt(name, Some(offset), "too long for this machine".to_owned()))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(n_bytes).map_err(|_| Error::io("read", name, std::io::ErrorKind::OutOfMemory.into()))?;
    bytes.resize(n_bytes, 0);
    match file.read_at(offset, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(corrupt(name, Some(offset), "the file ends before".to_owned()))
        }
        Err(source) => Err(Error::io("read", name, source)),
    }
}

/// A row group, which may be large: mapped where the medium can. A segment is never written to once a commit names it.
fn located_bytes(file: &dyn MediumFile, name: &str, range: Range<u64>) -> Result<FileBytes> {
    file.bytes_at(range.clone()).map_err(|source| match source.kind() {
        std::io::ErrorKind::UnexpectedEof => corrupt(name, Some(range.start), "the file ends before".to_owned()),
        _ => Error::io("read", name, source),
    })
}

fn corrupt(name: &str, offset: Option<u64>, what: String) -> Error {
    Error::Corrupt { file: name.into(), offset, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footers_stay_within_their_bytes() {
        let mut writer = lagdb_format::SegmentWriter::new(7);
        let before = writer.take().len();
        let end = writer.finish().unwrap();
        let footer = Arc::new(parse_footer(&end, (before + end.len()) as u64, SegmentId::from_u64(7)).unwrap());
        let mut footers = Footers::default();
        for n in 0..40 {
            footers.keep(SegmentId::from_u64(n), footer.clone(), 1 << 20);
            footers.keep(SegmentId::from_u64(n), footer.clone(), 1 << 20);
            assert_eq!(footers.n_bytes, (footers.kept.len() as u64) << 20);
            assert!(footers.n_bytes <= FOOTER_CACHE_BYTES && footers.get(SegmentId::from_u64(n)).is_some());
        }
        footers.forget(SegmentId::from_u64(39));
        footers.forget(SegmentId::from_u64(39));
        assert_eq!((footers.kept.len(), footers.n_bytes), (7, 7 << 20));
        footers.keep(SegmentId::from_u64(1), footer, FOOTER_CACHE_BYTES + 1);
        assert_eq!((footers.kept.len(), footers.n_bytes), (0, 0), "too large to keep");
    }
}
