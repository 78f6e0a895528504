//! Eviction: KV logs beyond a budget go, those first that are worth the least for a byte. Never silently: what went is
//! returned and counted in the database for good, and the trajectory stays.
//!
//! A KV log only saves computing what its trajectory says in words, so it is the one thing that may be given up. A
//! success is worth more than a failure, and a late one up to twice as much as an early one.

use crate::catalog::row::{EvictedRow, KvLogRow, KvLogRows};
use crate::catalog::{Key, Rows, ScopeId, Table};
use crate::index::bitmaps::{self, Field};
use crate::record::Outcome;
use crate::store::{Store, scan_kv_logs, segment_uses};
use crate::{CommitId, Database, Result};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// Bytes to keep, at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskBudget {
    /// Of KV logs that can be read, of the database.
    pub bytes: Option<u64>,
    /// Of KV logs that can be read, of each scope.
    pub bytes_per_scope: Option<u64>,
    /// Of all files: catalog, segments with what is dead in them, and index. KV logs go until what lives would fit; the
    /// [upkeep](crate::Database::keep_up) gives back what is dead or free first, as soon as there is too much, and needs room for what it
    /// copies, one [segment](crate::Options::segment_bytes) or the catalog, meanwhile. What snapshots still read stays until
    /// they end. Records are never given up for it.
    pub file_bytes: Option<u64>,
}

/// What was evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eviction {
    /// KV logs.
    pub kv_logs: u64,
    /// Their bytes; they are dead now, and a compaction gives them back.
    pub bytes: u64,
    /// The latest commit that did it, if anything was evicted.
    pub commit: Option<CommitId>,
}

impl Eviction {
    /// With what a later one evicted.
    pub(super) fn add(&mut self, later: &Self) {
        self.kv_logs += later.kv_logs;
        self.bytes += later.bytes;
        self.commit = later.commit.or(self.commit);
    }
}

/// A KV log that may go.
struct Candidate {
    key: Key,
    scope: ScopeId,
    trajectory: u64,
    log: KvLogRow,
    /// For a byte.
    value: f64,
}

impl Database {
    /// Takes KV logs away until what is left fits the budget, those first that are worth the least for a byte. Their
    /// trajectories, and all else, stay. One durable commit, or none if everything fits.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a row is damaged, [`Error::Io`](crate::Error::Io) when the disk
    /// refuses, [`Error::Invalid`](crate::Error::Invalid) when this thread has a transaction open.
    pub fn evict(&self, budget: DiskBudget) -> Result<Eviction> {
        if budget == DiskBudget::default() {
            return Ok(Eviction::default());
        }
        let store = self.store();
        store.check_running()?;
        let (rows, _, mut pin) = store.read()?;
        let candidates = candidates(&rows);
        let room = room_for_kv_logs(store, &rows, budget);
        drop(rows);
        store.unpin(&mut pin);
        let leaving = beyond(DiskBudget { bytes: room?, ..budget }, candidates?);
        if leaving.is_empty() { Ok(Eviction::default()) } else { take_away(store, &leaving) }
    }
}

/// Bytes of KV logs that can be kept, seen what else is in the files. What is dead in segments can be given back, and no
/// KV log goes for it; what is free in the catalog was given back before, where it is much.
fn room_for_kv_logs(store: &Store, rows: &Rows, budget: DiskBudget) -> Result<Option<u64>> {
    let Some(file_bytes) = budget.file_bytes else { return Ok(budget.bytes) };
    if store.file_bytes()? <= file_bytes {
        return Ok(budget.bytes);
    }
    let uses = segment_uses(rows)?;
    // Header and footer of a segment go with the last of its KV logs.
    let framing: u64 = uses.values().map(|of| of.row.len - of.dead_bytes() - of.living_bytes).sum();
    let other = store.catalog_bytes()? + store.vectors.stats().file_bytes + framing;
    let room = file_bytes.saturating_sub(other);
    Ok(Some(budget.bytes.map_or(room, |bytes| bytes.min(room))))
}

fn candidates(rows: &Rows) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    scan_kv_logs(rows, &mut |key, logs| {
        if let Some((scope, trajectory)) = Key::record_of(key.as_bytes()) {
            let of = |log| Candidate { key: key.clone(), scope, trajectory, log, value: 0.0 };
            candidates.extend(logs.logs.into_iter().map(of));
        }
        Ok(())
    })?;
    let latest = candidates.iter().map(|of| of.trajectory).max().unwrap_or(1) as f64;
    let mut outcomes: BTreeMap<ScopeId, Vec<(f64, RoaringBitmap)>> = BTreeMap::new();
    for candidate in &mut candidates {
        let known = match outcomes.entry(candidate.scope) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(unknown) => unknown.insert(weights(rows, candidate.scope)?),
        };
        let document = bitmaps::document(candidate.trajectory)?;
        let weight = known.iter().find(|(_, of)| of.contains(document)).map_or(1.0, |(weight, _)| *weight);
        let lateness = 1.0 + candidate.trajectory as f64 / latest;
        candidate.value = weight * lateness / candidate.log.n_bytes.max(1) as f64;
    }
    Ok(candidates)
}

/// Who has which outcome in a scope, and what it is worth.
fn weights(rows: &Rows, scope: ScopeId) -> Result<Vec<(f64, RoaringBitmap)>> {
    let weight = |outcome| match outcome {
        Outcome::Success => 4.0,
        Outcome::Partial => 3.0,
        Outcome::Unknown => 2.0,
        Outcome::Failure => 1.0,
    };
    let load = |outcome| Ok((weight(outcome), bitmaps::load(rows, scope, Field::Outcome(outcome))?));
    Outcome::ALL.into_iter().map(load).collect()
}

/// The least valuable that have to go for the rest to fit.
fn beyond(budget: DiskBudget, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| a.value.total_cmp(&b.value).then(a.key.cmp(&b.key)));
    let mut all: u64 = candidates.iter().map(|of| of.log.n_bytes).sum();
    let mut scopes: BTreeMap<ScopeId, u64> = BTreeMap::new();
    candidates.iter().for_each(|of| *scopes.entry(of.scope).or_default() += of.log.n_bytes);
    let limit = |bytes: Option<u64>| bytes.unwrap_or(u64::MAX);
    let (of_scope, of_all) = (limit(budget.bytes_per_scope), limit(budget.bytes));
    // Scopes first: what goes for their sake also counts for the database.
    let mut leaving = Vec::new();
    let mut staying = Vec::new();
    for candidate in candidates {
        let used = scopes.entry(candidate.scope).or_default();
        if *used > of_scope {
            *used -= candidate.log.n_bytes;
            all -= candidate.log.n_bytes;
            leaving.push(candidate);
        } else {
            staying.push(candidate);
        }
    }
    for candidate in staying {
        if all <= of_all {
            break;
        }
        all -= candidate.log.n_bytes;
        leaving.push(candidate);
    }
    leaving
}

fn take_away(store: &Store, leaving: &[Candidate]) -> Result<Eviction> {
    let turn = store.writer_turn()?;
    store.check_running()?;
    let rows = store.begin_staging()?;
    let numbers = store.next_numbers(&rows)?;
    let mut evicted = Eviction::default();
    for candidate in leaving {
        // It may have been replaced, moved or deleted meanwhile.
        let Some(mut logs) = rows.get_row::<KvLogRows>(Table::KvLogs, &candidate.key)? else { continue };
        let n_before = logs.logs.len();
        logs.logs.retain(|log| *log != candidate.log);
        if logs.logs.len() == n_before {
            continue;
        }
        if logs.logs.is_empty() {
            rows.remove(Table::KvLogs, &candidate.key)?;
            bitmaps::remove(&rows, candidate.scope, Field::KvLog, candidate.trajectory)?;
        } else {
            rows.put_row(Table::KvLogs, &candidate.key, &logs)?;
        }
        evicted.kv_logs += 1;
        evicted.bytes += candidate.log.n_bytes;
    }
    if evicted.kv_logs == 0 {
        return Ok(evicted);
    }
    let mut ever = rows.get_row::<EvictedRow>(Table::Meta, &Key::evicted())?.unwrap_or_default();
    ever.kv_logs += evicted.kv_logs;
    ever.bytes += evicted.bytes;
    rows.put_row(Table::Meta, &Key::evicted(), &ever)?;
    rows.put_row(Table::Meta, &Key::state(), &numbers)?;
    let ticket = store.stage(rows, false);
    drop(turn);
    store.make_durable(&ticket, &[])?;
    evicted.commit = Some(CommitId::from_u64(numbers.commit));
    Ok(evicted)
}
