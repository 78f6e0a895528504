//! Keeping debt and disk use within bounds in the background, at a pace that leaves the disk to others.
//!
//! One thread looks at the debt from time to time. What is over is taken out ([`Database::expire`]), purges that were
//! stopped go on, KV logs beyond a budget are evicted ([`Database::evict`]); then, when enough is dead, it moves what lives
//! out of the worst segments, one after the other, and when there are many small ones it [merges](super::merge) them.
//! Readers and writers go on: copying takes no turn, and files go when nobody reads them. A crash leaves either state.

use super::{Debt, DiskBudget, Eviction, Expiry, SegmentDebt, merge};
use crate::segment::file_name;
use crate::store::{Anew, Store, is_erasing, segment_uses};
use crate::{CommitId, Database, Error, Result, SegmentId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long others may wait for somebody who rests.
const LINGER: Duration = Duration::from_millis(20);

/// When and how fast the background works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Upkeep {
    /// How often it looks.
    pub every: Duration,
    /// The share of dead bytes, 0 to 1, from which on it moves something.
    pub dead_share: f64,
    /// Fewer dead bytes than these are left alone.
    pub dead_bytes: u64,
    /// So many segments of like size become one; 0 leaves them as they are.
    pub merge: usize,
    /// Bytes it copies a second, at most; a segment that a purge or a compaction waits for is copied at once.
    pub bytes_per_second: u64,
    /// Bytes to keep at most.
    pub budget: DiskBudget,
}

impl Default for Upkeep {
    /// Looks every ten seconds, moves when a quarter and 64 MiB are dead, merges 16 of like size, copies 64 MiB a second,
    /// evicts nothing.
    fn default() -> Self {
        let every = Duration::from_secs(10);
        Self {
            every,
            dead_share: 0.25,
            dead_bytes: 64 << 20,
            merge: 16,
            bytes_per_second: 64 << 20,
            budget: DiskBudget::default(),
        }
    }
}

/// What the background did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpkeepReport {
    /// How often it looked.
    pub rounds: u64,
    /// Segments it freed, those included that were merged.
    pub segments: u64,
    /// Dead bytes it gave back.
    pub freed_bytes: u64,
    /// Living bytes it copied for that.
    pub copied_bytes: u64,
    /// Records whose time was over.
    pub expired: Expiry,
    /// KV logs that were evicted.
    pub evicted: Eviction,
    /// Bytes by which the files were beyond [`DiskBudget::file_bytes`] at the end of the last round: records, which are
    /// not given up, or segments that snapshots still read.
    pub beyond_bytes: u64,
    /// Segments with a damaged KV log in them, and what is damaged: they are left alone, with what is dead in them.
    pub damaged: BTreeMap<SegmentId, String>,
    /// Why the last round ended early, if it did; the next one tries again.
    pub failure: Option<String>,
}

/// Works in the background until it is dropped, and to the end of what it is doing. The database stays open as long.
#[derive(Debug)]
pub struct UpkeepHandle {
    shared: Arc<Shared>,
    database: Database,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_over: bool,
    /// Rounds that are asked for at once.
    n_asked: u64,
    is_working: bool,
    /// The commit at which the upkeep last looked whether much of the catalog is free.
    shrunk_at: Option<CommitId>,
    /// The segments that stopped a purge, since they are damaged.
    stopped_by: Option<BTreeSet<SegmentId>>,
    report: UpkeepReport,
}

impl Database {
    /// Begins to take out what is over and to keep debt and disk use within bounds, until the handle is dropped.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field that makes no sense, or for a database that is only read; [`Error::Io`] when there can be no thread.
    pub fn keep_up(&self, upkeep: Upkeep) -> Result<UpkeepHandle> {
        if !(0.0..=1.0).contains(&upkeep.dead_share) {
            return Err(Error::invalid("dead_share", upkeep.dead_share));
        }
        if upkeep.bytes_per_second == 0 {
            return Err(Error::invalid("bytes_per_second", 0));
        }
        if self.store().options.read_only {
            return Err(Error::invalid("upkeep", "the database was opened to be read only"));
        }
        let shared = Arc::<Shared>::default();
        let (database, of_thread) = (self.clone(), shared.clone());
        let spawned = std::thread::Builder::new().name("lagdb upkeep".to_owned()).spawn(move || {
            while of_thread.wait(upkeep.every) {
                of_thread.round(&database, &upkeep);
            }
        });
        let thread = Some(spawned.map_err(|source| Error::io("begin", "lagdb upkeep", source))?);
        Ok(UpkeepHandle { shared, database: self.clone(), thread })
    }
}

impl UpkeepHandle {
    /// What was done so far.
    pub fn report(&self) -> UpkeepReport {
        self.shared.state().report.clone()
    }

    /// Has the background look now, and waits until it has.
    ///
    /// # Errors
    /// [`Error::Invalid`] when this thread has a transaction open: the background would wait for it.
    pub fn look_now(&self) -> Result<UpkeepReport> {
        drop(self.database.store().writer_turn()?);
        let mut state = self.shared.state();
        state.n_asked += 1;
        // One that is under way may have looked before.
        let until = state.report.rounds + state.n_asked + u64::from(state.is_working);
        self.shared.changed.notify_all();
        let waiting = |state: &mut State| state.report.rounds < until && !state.is_over;
        let state = self.shared.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        Ok(state.report.clone())
    }
}

impl Drop for UpkeepHandle {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
        let thread = self.thread.take();
        if self.database.store().is_written_here() {
            // It may wait for this very thread to end its transaction, and ends soon after.
            return;
        }
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the upkeep panicked");
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next round; whether there is one.
    fn wait(&self, every: Duration) -> bool {
        let idle = |state: &mut State| !state.is_over && state.n_asked == 0;
        let waited = self.changed.wait_timeout_while(self.state(), every, idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.n_asked = state.n_asked.saturating_sub(1);
        !state.is_over
    }

    fn round(&self, database: &Database, upkeep: &Upkeep) {
        self.state().is_working = true;
        let done = self.keep(database, upkeep);
        let mut state = self.state();
        state.is_working = false;
        state.report.failure = done.err().map(|error| error.to_string());
        state.report.rounds += 1;
        self.changed.notify_all();
    }

    /// One round. What one step cannot do does not keep the others from theirs; the first error is returned.
    fn keep(&self, database: &Database, upkeep: &Upkeep) -> Result<()> {
        let expired = database.expire(database.store().options.clock.now_ms());
        let expired = expired.map(|expired| self.state().report.expired += expired);
        let purged = self.finish_purges(database);
        let given_back = self.shrink_catalog(database, upkeep);
        let evicted = database.evict(upkeep.budget).map(|evicted| self.state().report.evicted.add(&evicted));
        let freed = self.free_worst(database, upkeep);
        let merged = self.merge(database, upkeep);
        let measured = beyond(database.store(), upkeep).map(|n_bytes| self.state().report.beyond_bytes = n_bytes);
        expired.and(purged).and(given_back).and(evicted).and(freed).and(merged).and(measured)
    }

    fn free_worst(&self, database: &Database, upkeep: &Upkeep) -> Result<()> {
        let mut debt = database.debt()?;
        debt.leave_out(&self.forget_damage_that_is_gone(&segment_sizes(database.store())?));
        // What waits for its readers goes by itself.
        let beyond_bytes = beyond(database.store(), upkeep)?.saturating_sub(database.store().waiting_bytes()?);
        let mut done = Ok(());
        for victim in worth_it(&debt, upkeep, beyond_bytes) {
            // One by one: others get their turn in between, and one that the disk does not let be read stops no other.
            let segment = BTreeSet::from([victim.segment]);
            done = done.and(self.free(database, &segment, victim.dead_bytes, upkeep.bytes_per_second));
        }
        done
    }

    /// Writes the catalog anew if the files are beyond their budget and much of it is free: redb keeps the pages of what
    /// was deleted. Looked at once for every commit.
    fn shrink_catalog(&self, database: &Database, upkeep: &Upkeep) -> Result<()> {
        let store = database.store();
        if beyond(store, upkeep)? == 0 {
            return Ok(());
        }
        let (commit, used_bytes) = store.used_catalog_bytes()?;
        if self.state().shrunk_at.replace(commit) == Some(commit) {
            return Ok(());
        }
        let n_bytes = store.catalog_bytes()?;
        if n_bytes.saturating_sub(used_bytes) as f64 > upkeep.dead_share * n_bytes as f64 {
            store.rewrite_catalog(Anew::ToShrink, &mut |_| {})?;
        }
        Ok(())
    }

    /// Makes one of many small segments, as long as there are many.
    fn merge(&self, database: &Database, upkeep: &Upkeep) -> Result<()> {
        let store = database.store();
        if upkeep.merge == 0 {
            return Ok(());
        }
        loop {
            let mut sizes = segment_sizes(store)?;
            let n_before = sizes.len();
            sizes.retain(|id, _| !self.state().report.damaged.contains_key(id));
            let alike = merge::of_like_size(sizes, upkeep.merge, store.options.segment_bytes);
            if alike.is_empty() {
                return Ok(());
            }
            let debt = database.debt()?;
            let dead = debt.segments.iter().filter(|of| alike.contains(&of.segment)).map(|of| of.dead_bytes).sum();
            self.free(database, &alike, dead, upkeep.bytes_per_second)?;
            // Those that write may be faster; the next round goes on.
            if segment_sizes(store)?.len() >= n_before {
                return Ok(());
            }
        }
    }

    /// Moves what lives out of some segments; one that is damaged is left alone from then on.
    fn free(
        &self,
        database: &Database,
        victims: &BTreeSet<SegmentId>,
        dead_bytes: u64,
        bytes_per_second: u64,
    ) -> Result<()> {
        let store = database.store();
        let began = Instant::now();
        let mut copied = 0;
        let moved = store.move_out(&store.moving_turn(), victims, &mut |n_bytes| {
            copied += n_bytes;
            self.rest(store, began, copied, bytes_per_second)
        });
        let mut state = self.state();
        match moved {
            // Somebody else freed it meanwhile.
            Ok(freed) if freed.is_empty() => {}
            Ok(freed) => {
                state.report.segments += freed.len() as u64;
                state.report.copied_bytes += copied;
                state.report.freed_bytes += dead_bytes;
            }
            Err(Error::Corrupt { file, offset, what }) => {
                let damaged = victims.iter().find(|id| Path::new(&file_name(**id)) == file).copied();
                let damage = Error::Corrupt { file, offset, what };
                let Some(segment) = damaged else { return Err(damage) };
                tracing::warn!(segment = segment.as_u64(), error = %damage, "a damaged segment is left alone");
                state.report.damaged.insert(segment, damage.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The damaged segments that are still read. Their bytes do not get better: they are not tried again.
    fn forget_damage_that_is_gone(&self, living: &BTreeMap<SegmentId, u64>) -> BTreeSet<SegmentId> {
        let mut state = self.state();
        state.report.damaged.retain(|id, _| living.get(id).is_some_and(|n_bytes| *n_bytes > 0));
        state.report.damaged.keys().copied().collect()
    }

    /// Goes on with purges that an error stopped. Not as long as a damaged segment would stop them again.
    fn finish_purges(&self, database: &Database) -> Result<()> {
        if !is_erasing(&database.store().catalog().begin_read()?)? {
            return Ok(());
        }
        let dead = || -> Result<BTreeSet<_>> { Ok(database.debt()?.segments.iter().map(|of| of.segment).collect()) };
        let now = dead()?;
        if self.state().stopped_by.as_ref().is_some_and(|by| by.is_subset(&now)) {
            return Ok(());
        }
        let finished = database.store().finish_erasing();
        // Nothing else has something dead in it after that.
        self.state().stopped_by = matches!(finished, Err(Error::Corrupt { .. })).then(dead).transpose()?;
        finished
    }

    /// Waits until `copied` bytes are no more than the pace allows, or somebody waits for the end of this; fails when the
    /// work is to end.
    fn rest(&self, store: &Store, began: Instant, copied: u64, bytes_per_second: u64) -> Result<()> {
        let due = Duration::from_secs_f64(copied as f64 / bytes_per_second as f64);
        let mut state = self.state();
        while !state.is_over {
            let rest = due.saturating_sub(began.elapsed());
            if rest.is_zero() || store.is_moving_awaited() {
                return Ok(());
            }
            let waited = self.changed.wait_timeout(state, rest.min(LINGER));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(Error::invalid("upkeep", "was ended"))
    }
}

/// Bytes of KV logs that can be read, by segment.
fn segment_sizes(store: &Store) -> Result<BTreeMap<SegmentId, u64>> {
    let (rows, _, mut pin) = store.read()?;
    let uses = segment_uses(&rows);
    drop(rows);
    store.unpin(&mut pin);
    Ok(uses?.into_iter().map(|(id, of)| (id, of.living_bytes)).collect())
}

/// By how much the files are beyond their budget.
fn beyond(store: &Store, upkeep: &Upkeep) -> Result<u64> {
    let Some(limit) = upkeep.budget.file_bytes else { return Ok(0) };
    Ok(store.file_bytes()?.saturating_sub(limit))
}

/// The worst segments, if enough is dead or the files are beyond their budget: as many as are needed to come below the
/// bound again, those first that give back the most for a copied byte.
fn worth_it(debt: &Debt, upkeep: &Upkeep, beyond_bytes: u64) -> Vec<SegmentDebt> {
    let all = (debt.live_bytes + debt.dead_bytes) as f64;
    let is_enough = |dead: u64| dead >= upkeep.dead_bytes.max(1) && dead as f64 >= upkeep.dead_share * all;
    let mut dead = debt.dead_bytes;
    let mut victims = Vec::new();
    let mut segments = debt.segments.clone();
    let gain = |of: &SegmentDebt| of.dead_bytes as f64 / (of.live_bytes + 1) as f64;
    segments.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    for of in segments {
        let is_beyond = debt.dead_bytes - dead < beyond_bytes;
        // Half of the bound, so that the next dead byte does not begin it all again.
        let is_worth_it = is_enough(dead) || (!victims.is_empty() && is_enough(dead.saturating_mul(2)));
        if !is_beyond && !is_worth_it {
            break;
        }
        dead = dead.saturating_sub(of.dead_bytes);
        victims.push(of);
    }
    victims
}
