//! Keeps generations: builds them in the background, writes their files, and reads them with suspicion.
//!
//! A builder holds vectors and no store: a database can be closed while one is at work, and then nothing of it is
//! written. A file gets its name only when it is whole and synced; whatever else is found under that name is counted,
//! logged and unlinked, and its vectors are compared one by one until the next graph is there.

use super::build::{build, unreachable};
use super::code::Codes;
use super::generation::{Damaged, Generation, VectorKey};
use super::graph::MOST_PLACES;
use super::scan::{ExactScan, numbers};
use super::search::{Search, Source};
use super::{INDEX, SpaceIndex, locked};
use crate::medium::{FileBytes, Medium};
use crate::{CommitId, Error, Result};
use roaring::RoaringBitmap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A graph is built anew when this share of it is dead, or as much came after it.
const STALE_SHARE: usize = 4;
/// A graph that does not reach so many of its nodes is none.
const STRAY_SHARE: usize = 10;
/// How many vectors of a file are compared with the catalog: the latest, and as many elsewhere.
const SAMPLE: usize = 32;

/// What the vector index holds, and what befell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Vectors in memory.
    pub vectors: u64,
    /// Of these, vectors with a graph over them.
    pub in_graphs: u64,
    /// Bytes in memory, without what is mapped of its files.
    pub bytes: u64,
    /// Bytes that it may hold in memory.
    pub limit_bytes: u64,
    /// Bytes of its files.
    pub file_bytes: u64,
    /// Graphs that are being built.
    pub building: u64,
    /// Graphs that were built since the open.
    pub built: u64,
    /// Graphs since the open that could not be built, or did not reach their vectors: those are compared one by one.
    pub failed: u64,
    /// Files since the open that were damaged, or of another database: searching went on without them.
    pub discarded: u64,
}

/// What may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// From so many vectors on there is a graph.
    pub(crate) graph_from: usize,
    /// Bytes held at most.
    pub(crate) memory_bytes: usize,
    /// Whether graphs are built and files changed. Not where a database is only read.
    pub(crate) is_writing: bool,
}

/// What became of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Built,
    /// Nobody wants it any more.
    Stopped,
    Failed,
}

/// Who builds, writes and reads.
#[derive(Debug)]
pub(super) struct Keeper {
    medium: Arc<dyn Medium>,
    pub(super) bounds: Bounds,
    /// How many are building. Held by who writes a file, so that no file is written after the close.
    builders: Mutex<u64>,
    one_less: Condvar,
    is_closed: AtomicBool,
    /// A graph is built only over what this commit, or a later one, has: older ones have what was erased.
    erased_at: AtomicU64,
    built: AtomicU64,
    failed: AtomicU64,
    discarded: AtomicU64,
}

impl Keeper {
    pub(super) fn new(medium: Arc<dyn Medium>, bounds: Bounds) -> Self {
        Self {
            medium,
            bounds,
            builders: Mutex::default(),
            one_less: Condvar::new(),
            is_closed: AtomicBool::new(false),
            erased_at: AtomicU64::new(0),
            built: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
        }
    }

    pub(super) fn stats(&self) -> IndexStats {
        // Files may go meanwhile; those are none.
        let names = self.medium.list(INDEX).unwrap_or_default();
        let bytes_of = |name: &String| self.medium.open_to_read(&format!("{INDEX}/{name}")).and_then(|file| file.len());
        IndexStats {
            limit_bytes: self.bounds.memory_bytes as u64,
            file_bytes: names.iter().filter_map(|name| bytes_of(name).ok()).sum(),
            building: *locked(&self.builders),
            built: self.built.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            discarded: self.discarded.load(Ordering::Relaxed),
            ..IndexStats::default()
        }
    }

    /// From now on nothing is built over what only a commit before `from` has.
    pub(super) fn erase_before(&self, from: CommitId) {
        self.erased_at.fetch_max(from.as_u64(), Ordering::Relaxed);
    }

    fn is_erased(&self, as_of: CommitId) -> bool {
        as_of.as_u64() < self.erased_at.load(Ordering::Relaxed)
    }

    /// From now on nothing is written.
    pub(super) fn close(&self) {
        let _nobody_writes = locked(&self.builders);
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Waits until nobody builds.
    pub(super) fn wait(&self) {
        let builders = locked(&self.builders);
        drop(self.one_less.wait_while(builders, |n| *n > 0).unwrap_or_else(PoisonError::into_inner));
    }

    /// Begins to build a graph, if there is enough that has none, or too much that is dead.
    pub(super) fn build_if_worth_it(self: &Arc<Self>, space: &Arc<SpaceIndex>, search: &Search<'_>) {
        let (live, as_of) = (search.live, search.as_of);
        if !self.bounds.is_writing || self.is_erased(as_of) || !self.is_worth_it(space, live) {
            return;
        }
        let mut state = space.write();
        if state.is_building || state.is_forgotten {
            return;
        }
        state.is_building = true;
        let (base, tail) = (state.base.clone(), state.tail.clone());
        drop(state);
        *locked(&self.builders) += 1;
        let (keeper, owned, live) = (self.clone(), space.clone(), live.clone());
        let work = move || {
            let none = ExactScan::new(owned.key.dim as usize);
            let vectors = base.as_ref().map_or(&none, |base| &base.scan).merged(&tail, Some(&live));
            drop((base, tail));
            let n = vectors.documents.len();
            // Whatever happens to the builder, the others go on.
            let end = catch_unwind(AssertUnwindSafe(|| keeper.work(&owned, vectors, as_of))).unwrap_or(End::Failed);
            if end == End::Failed {
                tracing::error!(n, key = ?owned.key, "a graph could not be built; vectors are compared one by one");
                keeper.failed.fetch_add(1, Ordering::Relaxed);
            }
            let mut state = owned.write();
            state.is_building = false;
            state.failed_with = if end == End::Failed { n } else { 0 };
            drop(state);
            keeper.leave();
        };
        if let Err(error) = std::thread::Builder::new().name("lagdb graph".to_owned()).spawn(work) {
            tracing::warn!(%error, "no thread for building a graph; vectors are compared one by one");
            space.write().is_building = false;
            self.leave();
        }
    }

    fn leave(&self) {
        *locked(&self.builders) -= 1;
        self.one_less.notify_all();
    }

    fn is_worth_it(&self, space: &SpaceIndex, live: &Arc<RoaringBitmap>) -> bool {
        let state = space.read();
        if state.is_building {
            return false;
        }
        let n_tail = state.tail.documents.len();
        let n_base = state.base.as_ref().map_or(0, |base| base.scan.documents.len());
        if state.failed_with > 0 && n_base + n_tail < state.failed_with + state.failed_with / STALE_SHARE {
            return false;
        }
        match &state.base {
            None => n_tail >= self.bounds.graph_from,
            Some(_) => {
                let n_dead = n_base - state.n_living(live);
                let many = (n_base / STALE_SHARE).max(self.bounds.graph_from / STALE_SHARE).max(1);
                n_tail >= many || n_dead >= many
            }
        }
    }

    /// The vectors are those of the commit `as_of`.
    pub(super) fn work(&self, space: &SpaceIndex, vectors: ExactScan, as_of: CommitId) -> End {
        // Who erases says so before it forgets: a build that began in between is stopped by the commit it began at.
        let stop = || self.is_closed.load(Ordering::Relaxed) || self.is_erased(as_of) || space.read().is_forgotten;
        let n = vectors.documents.len();
        if n > MOST_PLACES {
            return End::Failed;
        }
        let made = build(&vectors.codes, &vectors.documents, &stop)
            .and_then(|graph| Ok((unreachable(&vectors.codes, &graph, &stop)?, graph)));
        let Ok((strays, graph)) = made else { return End::Stopped };
        if strays.len() > n / STRAY_SHARE {
            tracing::warn!(n, strays = strays.len(), "a graph does not hold together");
            return End::Failed;
        }
        tracing::info!(n, strays = strays.len(), key = ?space.key, "a graph was built");
        let mut generation = Generation { scan: vectors, graph, strays };
        let bytes = generation.to_bytes(space.key);
        // While this is held, nobody closes or erases.
        let nobody_closes = locked(&self.builders);
        if stop() {
            return End::Stopped;
        }
        match self.write(space.key, &bytes).and_then(|()| self.read(space.key)) {
            Err(error) => tracing::warn!(%error, "a graph is not on disk; it is built again after the next open"),
            // From now on what is in the file need not be held.
            Ok(file) => match Generation::parse(file, space.key) {
                Ok(written) => generation = written,
                Err(why) => self.discard(space.key, &why),
            },
        }
        drop(bytes);
        let mut state = space.write();
        let rest = &state.tail.members - &generation.scan.members;
        let none = ExactScan::new(space.key.dim as usize);
        state.tail = state.tail.merged(&none, Some(&rest));
        state.base = Some(Arc::new(generation));
        self.built.fetch_add(1, Ordering::Relaxed);
        drop((state, nobody_closes));
        End::Built
    }

    fn write(&self, key: VectorKey, bytes: &[u8]) -> io::Result<()> {
        let (unfinished, name) = (format!("{}.new", file_name(key)), file_name(key));
        let file = self.medium.create(&unfinished)?;
        file.write_at(0, bytes)?;
        file.sync()?;
        self.medium.rename(&unfinished, &name)?;
        self.medium.sync_dir(INDEX)
    }

    /// The length of the file of `key`, if there is one.
    pub(super) fn file_bytes(&self, key: VectorKey) -> Option<usize> {
        let len = self.medium.open_to_read(&file_name(key)).and_then(|file| file.len()).ok()?;
        usize::try_from(len).ok()
    }

    /// The generation of `key`, if there is a file of it that can be believed.
    pub(super) fn load(&self, key: VectorKey, source: &dyn Source) -> Result<Option<Generation>> {
        let read = match self.read(key) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(Damaged(error.to_string())),
            Ok(bytes) => Generation::parse(bytes, key),
        };
        let believed = match read {
            Ok(generation) if is_of_this_database(&generation, source)? => Ok(generation),
            Ok(_) => Err(Damaged("its vectors are not those of the catalog".to_owned())),
            Err(damaged) => Err(damaged),
        };
        Ok(believed.map_err(|why| self.discard(key, &why)).ok())
    }

    fn read(&self, key: VectorKey) -> io::Result<FileBytes> {
        self.medium.open_to_read(&file_name(key))?.bytes()
    }

    fn discard(&self, key: VectorKey, why: &Damaged) {
        let name = file_name(key);
        self.discarded.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(file = name.as_str(), %why, "a graph is discarded; vectors are compared one by one meanwhile");
        if !self.bounds.is_writing {
            return;
        }
        if let Err(error) = self.medium.unlink(&name) {
            tracing::warn!(file = name.as_str(), %error, "it was not unlinked");
        }
    }

    /// Unlinks every file of these, and whatever is no file of a graph.
    pub(super) fn unlink(&self, is_chosen: &dyn Fn(VectorKey) -> bool) -> Result<()> {
        let _nobody_writes = locked(&self.builders);
        let io = |action| move |source| Error::io(action, INDEX, source);
        let names = match self.medium.list(INDEX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            names => names.map_err(io("list"))?,
        };
        let names: Vec<_> = names.into_iter().filter(|name| key_of(name).is_none_or(is_chosen)).collect();
        for name in &names {
            self.medium.unlink(&format!("{INDEX}/{name}")).map_err(io("unlink in"))?;
        }
        if names.is_empty() { Ok(()) } else { self.medium.sync_dir(INDEX).map_err(io("sync the directory")) }
    }
}

/// Whether the latest documents, and some others, have in the catalog the vectors that the file has of them. Those that
/// were deleted have none.
fn is_of_this_database(generation: &Generation, source: &dyn Source) -> Result<bool> {
    let scan = &generation.scan;
    let n = scan.documents.len();
    let step = (n / SAMPLE).max(1);
    let mut sample: Vec<u32> = scan.documents.iter().step_by(step).copied().collect();
    sample.extend(scan.documents.iter().rev().take(SAMPLE));
    sample.sort_unstable();
    sample.dedup();
    let mut is_same = true;
    source.read(&sample, &mut |document, stored| {
        let Some(stored) = stored else { return true };
        is_same = stored.len() == scan.codes.dim() * 4;
        if is_same {
            let mut codes = Codes::new(scan.codes.dim());
            codes.push(&numbers(stored));
            let node = scan.node(document).unwrap_or_default();
            is_same = codes.is_same_row(0, &scan.codes, node);
        }
        is_same
    })?;
    Ok(is_same)
}

/// The key in the name of a file, without the directory.
fn key_of(name: &str) -> Option<VectorKey> {
    let mut parts = name.strip_suffix(".graph")?.split('-').map(|part| part.parse().ok());
    let mut part = || parts.next().flatten();
    let key = VectorKey { scope: part()?, kind: part()?, space: part()?, dim: part()? };
    (file_name(key) == format!("{INDEX}/{name}")).then_some(key)
}

fn file_name(key: VectorKey) -> String {
    let VectorKey { scope, kind, space, dim } = key;
    format!("{INDEX}/{scope}-{kind}-{space}-{dim}.graph")
}
