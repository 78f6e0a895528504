//! The nearest vectors among candidates. Truth is in the catalog; everything here can be made again from it.
//!
//! - Which documents answer? The candidates, a bitmap of the snapshot that asks: **the index may return too much, never
//!   too little; the snapshot decides what is visible.** An embedding never changes under its id and ids are never
//!   reused, so what was read once is right for every snapshot. Candidates that are not in memory are fetched first.
//! - How are they compared? As int8 ([`code`], [`simd`]); what may be among the best is compared once more: after comparing
//!   all, as f32 from the catalog, which is exact, for codes come with a bound on their error ([`scan`]); after a walk,
//!   with 16 bits a number ([`fine`]), for reading ten vectors from the catalog takes as long as the walk.
//! - And when there are many? A graph ([`graph`]), built in the background ([`build`], [`keeper`]), kept as a
//!   generation ([`generation`]) beside what came after it, which is compared one by one.
//! - Which way does a search go? [`plan`].
//!
//! Scores are cosines of unit vectors, -1 to 1. Ties go to the lower id.

mod best;
mod build;
mod code;
mod fine;
mod generation;
mod graph;
mod huge;
mod keeper;
mod plan;
mod scan;
mod search;
mod simd;

pub(crate) use generation::{VectorKey, fuzz};
pub(crate) use keeper::Bounds;
pub use keeper::IndexStats;
pub use plan::{Plan, Route, Why};
pub(crate) use scan::ExactScan;
pub(crate) use search::{Found, Search, Source};

use crate::medium::Medium;
use crate::{CommitId, Result};
use generation::Generation;
use graph::Scratch;
use keeper::Keeper;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Where generations are, relative to the database directory.
pub(crate) const INDEX: &str = "index";

/// So many bitmaps of who has an embedding are remembered; then all are forgotten, and read again when they are needed.
const MOST_EMBEDDED: usize = 64;

/// By scope, kind and space.
type EmbeddedBySpace = BTreeMap<(u32, u32, u32), (CommitId, Embedded)>;

/// The vectors of all scopes.
#[derive(Debug)]
pub(crate) struct VectorIndex {
    /// By scope, kind, space and dimension: a transaction may settle on a space and then never happen.
    spaces: Mutex<BTreeMap<VectorKey, Arc<SpaceIndex>>>,
    keeper: Arc<Keeper>,
    /// By scope, kind and space, all records that have an embedding, at the commit that was searched last.
    embedded: Mutex<EmbeddedBySpace>,
    /// Counts searches, to know what was used last.
    clock: AtomicU64,
}

/// Records of a kind.
#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    /// How many there are, with or without an embedding.
    pub(crate) n_records: u64,
    /// Those with an embedding.
    pub(crate) live: Arc<RoaringBitmap>,
}

/// The vectors of one kind of records of one scope in one embedding space.
#[derive(Debug)]
struct SpaceIndex {
    key: VectorKey,
    state: RwLock<State>,
    /// Kept from walk to walk.
    scratches: Mutex<Vec<Scratch>>,
    last_used: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// What has a graph.
    base: Option<Arc<Generation>>,
    /// What came after it.
    tail: ExactScan,
    /// All of these are in memory, so many of them in the base: what was found out last.
    covered: OnceLock<(Arc<RoaringBitmap>, usize)>,
    /// Whether a file was looked for.
    is_loaded: bool,
    is_building: bool,
    /// Over so many vectors the last graph could not be built; 0 when it could.
    failed_with: usize,
    /// Nobody finds it any more; what is built for it is thrown away.
    is_forgotten: bool,
}

impl State {
    /// Those of the candidates that are not in memory.
    fn missing(&self, search: &Search<'_>) -> RoaringBitmap {
        if search.is_of_all() && self.covers(search) {
            return RoaringBitmap::new();
        }
        let missing = match &self.base {
            Some(base) => search.candidates - &base.scan.members - &self.tail.members,
            None => search.candidates - &self.tail.members,
        };
        if search.is_of_all() && missing.is_empty() {
            // Another thread may have found out the same.
            let _ = self.covered.set((search.live.clone(), self.n_indexed_of(search.candidates)));
        }
        missing
    }

    fn covers(&self, search: &Search<'_>) -> bool {
        self.covered.get().is_some_and(|(covered, _)| Arc::ptr_eq(covered, search.live))
    }

    /// How many of all records with an embedding are in the base.
    fn n_living(&self, live: &Arc<RoaringBitmap>) -> usize {
        match self.covered.get() {
            Some((covered, n_indexed)) if Arc::ptr_eq(covered, live) => *n_indexed,
            _ => self.n_indexed_of(live),
        }
    }

    /// How many of the candidates are in the base.
    fn n_indexed(&self, search: &Search<'_>) -> usize {
        if search.is_of_all() { self.n_living(search.live) } else { self.n_indexed_of(search.candidates) }
    }

    fn n_indexed_of(&self, candidates: &RoaringBitmap) -> usize {
        self.base.as_ref().map_or(0, |base| candidates.intersection_len(&base.scan.members) as usize)
    }

    fn n_bytes(&self) -> usize {
        self.base.as_ref().map_or(0, |base| base.n_bytes()) + self.tail.n_bytes()
    }
}

impl SpaceIndex {
    fn new(key: VectorKey) -> Self {
        let tail = ExactScan::new(key.dim as usize);
        let state = State {
            base: None,
            tail,
            covered: OnceLock::new(),
            is_loaded: false,
            is_building: false,
            failed_with: 0,
            is_forgotten: false,
        };
        Self { key, state: RwLock::new(state), scratches: Mutex::default(), last_used: AtomicU64::new(0) }
    }

    /// A panic elsewhere leaves codes as they are, so a poisoned lock is no reason to stop.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.covered.take();
        state
    }

    fn with_scratch<T>(&self, walk: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = locked(&self.scratches).pop().unwrap_or_default();
        let result = walk(&mut scratch);
        locked(&self.scratches).push(scratch);
        result
    }

    fn n_bytes(&self) -> usize {
        self.read().n_bytes() + locked(&self.scratches).iter().map(Scratch::n_bytes).sum::<usize>()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VectorIndex {
    /// The index of the database on `medium`.
    pub(crate) fn new(medium: Arc<dyn Medium>, bounds: Bounds) -> Self {
        let keeper = Arc::new(Keeper::new(medium, bounds));
        Self { spaces: Mutex::default(), keeper, embedded: Mutex::default(), clock: AtomicU64::new(1) }
    }

    /// All records of a kind in a scope that have an embedding, at a commit: as `load` says, or as it said for the search
    /// before.
    pub(crate) fn embedded(
        &self,
        of: (u32, u32, u32),
        commit: CommitId,
        load: impl FnOnce() -> Result<Embedded>,
    ) -> Result<Embedded> {
        if let Some((at, embedded)) = locked(&self.embedded).get(&of)
            && *at == commit
        {
            return Ok(embedded.clone());
        }
        let embedded = load()?;
        let mut kept = locked(&self.embedded);
        if kept.len() >= MOST_EMBEDDED {
            kept.clear();
        }
        kept.insert(of, (commit, embedded.clone()));
        drop(kept);
        Ok(embedded)
    }

    /// The best of the candidates, best first, and how they were found.
    ///
    /// `remember`: whether fetched vectors may be kept. Not those of a transaction, which may never happen.
    pub(crate) fn nearest(
        &self,
        key: VectorKey,
        search: &Search<'_>,
        source: &dyn Source,
        remember: bool,
    ) -> Result<Found> {
        let space = self.space(key);
        space.last_used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if !space.read().is_loaded {
            self.load(&space, source)?;
        }
        let mut fetched = ExactScan::new(key.dim as usize);
        loop {
            let state = space.read();
            let missing = state.missing(search);
            let unknown = &missing - &fetched.members;
            if unknown.is_empty() {
                let found = search::search(&space, &state, &fetched, &missing, search, source)?;
                drop(state);
                if remember {
                    self.keeper.build_if_worth_it(&space, search);
                }
                return Ok(found);
            }
            drop(state);
            let mut more = ExactScan::new(key.dim as usize);
            source.fetch(&unknown, &mut more)?;
            if remember && self.make_room(&space, more.n_bytes()) {
                space.write().tail.absorb(&more);
            } else {
                fetched.absorb(&more);
            }
        }
    }

    /// Forgets what is in memory; it is read again when it is needed.
    pub(crate) fn forget(&self) {
        locked(&self.embedded).clear();
        let forgotten = std::mem::take(&mut *locked(&self.spaces));
        forgotten.values().for_each(|space| space.write().is_forgotten = true);
    }

    /// Forgets what is in memory and unlinks every file, so that nothing is left of any vector that the commit `from` does
    /// not have: snapshots from before still answer, and leave no trace.
    pub(crate) fn clear(&self, from: CommitId) -> Result<()> {
        self.keeper.erase_before(from);
        self.forget();
        self.keeper.unlink(&|_| true)
    }

    /// Forgets a space of which the commit `from` has nothing any more.
    pub(crate) fn forget_space(&self, space: u32, from: CommitId) -> Result<()> {
        self.keeper.erase_before(from);
        let of_it = |key: &VectorKey, index: &mut Arc<SpaceIndex>| {
            let is_of_it = key.space == space;
            index.write().is_forgotten |= is_of_it;
            !is_of_it
        };
        locked(&self.spaces).retain(of_it);
        self.keeper.unlink(&|key| key.space == space)
    }

    /// Waits until no graph is being built.
    pub(crate) fn wait(&self) {
        self.keeper.wait();
    }

    /// What is held.
    pub(crate) fn stats(&self) -> IndexStats {
        let mut stats = self.keeper.stats();
        stats.bytes += locked(&self.embedded).values().map(|(_, kept)| kept.live.serialized_size() as u64).sum::<u64>();
        for space in locked(&self.spaces).values() {
            stats.bytes += space.n_bytes() as u64;
            let state = space.read();
            let n_base = state.base.as_ref().map_or(0, |base| base.scan.documents.len());
            stats.in_graphs += n_base as u64;
            stats.vectors += (n_base + state.tail.documents.len()) as u64;
        }
        stats
    }

    fn space(&self, key: VectorKey) -> Arc<SpaceIndex> {
        let new = || Arc::new(SpaceIndex::new(key));
        locked(&self.spaces).entry(key).or_insert_with(new).clone()
    }

    fn load(&self, space: &Arc<SpaceIndex>, source: &dyn Source) -> Result<()> {
        let n_bytes = self.keeper.file_bytes(space.key);
        let found = match n_bytes {
            Some(n_bytes) if self.make_room(space, n_bytes) => self.keeper.load(space.key, source)?,
            _ => None,
        };
        let mut state = space.write();
        if !state.is_loaded {
            state.is_loaded = true;
            state.base = found.map(Arc::new);
        }
        Ok(())
    }

    /// Whether `space` may grow by `n_bytes`, when what was not used for longest is forgotten.
    fn make_room(&self, space: &Arc<SpaceIndex>, n_bytes: usize) -> bool {
        let limit = self.keeper.bounds.memory_bytes;
        if space.n_bytes().saturating_add(n_bytes) > limit {
            return false;
        }
        let mut spaces = locked(&self.spaces);
        let mut held: Vec<_> = spaces.values().map(|other| (other.clone(), other.n_bytes())).collect();
        held.sort_by_key(|(other, _)| other.last_used.load(Ordering::Relaxed));
        let mut total = held.iter().map(|(_, n_bytes)| n_bytes).sum::<usize>().saturating_add(n_bytes);
        for (other, n_bytes) in held {
            if total <= limit {
                break;
            }
            if !Arc::ptr_eq(&other, space) {
                other.write().is_forgotten = true;
                spaces.remove(&other.key);
                total -= n_bytes;
            }
        }
        true
    }
}

impl Drop for VectorIndex {
    fn drop(&mut self) {
        self.keeper.close();
    }
}

#[cfg(test)]
mod tests;
