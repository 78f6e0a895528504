//! What was offered to trajectories, and what is counted of it.
//!
//! All exposures of a trajectory are one row, so that none of them can get lost unnoticed. Counters are derived: what a
//! trajectory says under its outcome is taken back and counted anew whenever one of the two changes.

use super::Transaction;
use super::snapshot::Snapshot;
use super::transaction::archived;
use crate::catalog::{Key, Rows, ScopeId, Table, row, value};
use crate::index::bitmaps::{self, Field};
use crate::record::stats::{Change, Counters, decisive};
use crate::record::{Exposure, Offered, Outcome, RecordKind, Strategy, StrategyStats, Trajectory, codec, limits};
use crate::{Error, Id, Result};

impl Snapshot {
    /// What was offered to a trajectory, in the order in which it was noted.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the row is damaged or missing.
    pub fn exposures(&self, id: Id<Trajectory>) -> Result<Vec<Exposure>> {
        let Some(scope) = self.scope else { return Ok(Vec::new()) };
        let key = Key::record(scope, id.as_u64());
        let found = self.rows.get(Table::Exposures, &key, |opened| {
            codec::decode_exposures(opened.schema, opened.payload)
                .map_err(|error| row::undecodable(Table::Exposures, key.as_bytes(), error))
        })?;
        match found {
            Some(exposures) => Ok(exposures),
            None if self.contains(id)? && bitmaps::contains(&self.rows, scope, Field::Exposed, id.as_u64())? => {
                Err(value::corrupt(Table::Exposures, key.as_bytes(), "the row is missing"))
            }
            None => Ok(Vec::new()),
        }
    }

    /// The trajectories that something was offered to, ascending.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a row that says so is damaged.
    pub fn exposed_to(&self, offered: Offered) -> Result<Vec<Id<Trajectory>>> {
        let Some(scope) = self.scope else { return Ok(Vec::new()) };
        let live = bitmaps::load(&self.rows, scope, Field::Live(RecordKind::Trajectory))?;
        let exposed = bitmaps::load(&self.rows, scope, Field::ExposedTo(offered.number()))? & live;
        Ok(exposed.into_iter().map(|id| Id::from_u64(u64::from(id))).collect())
    }

    /// What became of the tasks in which a strategy was used; `None` when there is no such strategy.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a row is damaged.
    pub fn strategy_stats(&self, id: Id<Strategy>) -> Result<Option<StrategyStats>> {
        self.contains(id)?.then(|| Ok(self.counters(id.as_u64())?.stats())).transpose()
    }

    /// What became of the tasks in which the KV log of a trajectory was attached; `None` when there is no such trajectory.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a row is damaged.
    pub fn kv_log_stats(&self, id: Id<Trajectory>) -> Result<Option<StrategyStats>> {
        self.contains(id)?.then(|| Ok(self.counters(id.as_u64())?.stats())).transpose()
    }

    pub(crate) fn counters(&self, number: u64) -> Result<Counters> {
        let Some(scope) = self.scope else { return Ok(Counters::default()) };
        Ok(read_counters(&self.rows, &Key::record(scope, number))?.unwrap_or_default())
    }
}

impl Transaction {
    /// Notes what was offered to a trajectory, after what was noted before.
    ///
    /// # Errors
    /// [`Error::Invalid`] when this scope does not have the trajectory or something that was offered, when an exposure
    /// may not be stored or there are too many; then none of them is.
    pub fn expose(&mut self, id: Id<Trajectory>, exposures: &[Exposure]) -> Result<()> {
        let scope = self.scope_of(id)?;
        for exposure in exposures {
            exposure.check()?;
            match exposure.offered {
                Offered::Strategy(strategy) => self.scope_of(strategy)?,
                Offered::KvLog(trajectory) => self.scope_of(trajectory)?,
            };
        }
        let before = self.exposures(id)?;
        let mut after = before.clone();
        after.extend_from_slice(exposures);
        if after.len() > limits::N_EXPOSURES {
            let detail = format!("{} of one trajectory; {} are allowed", after.len(), limits::N_EXPOSURES);
            return Err(Error::invalid("exposures", detail));
        }
        if exposures.is_empty() {
            return Ok(());
        }
        let outcome = self.outcome(id)?;
        let (schema, bytes) = archived(codec::encode_exposures(&after))?;
        self.whole(|tx| {
            tx.count(scope, &before, outcome, Change::TakeBack)?;
            tx.count(scope, &after, outcome, Change::Add)?;
            tx.rows.put(Table::Exposures, &Key::record(scope, id.as_u64()), schema, &bytes)?;
            bitmaps::insert(&tx.rows, scope, Field::Exposed, id.as_u64())?;
            exposures.iter().try_for_each(|exposure| {
                bitmaps::insert(&tx.rows, scope, Field::ExposedTo(exposure.offered.number()), id.as_u64())
            })
        })
    }

    /// Counts anew what a trajectory says, after it was judged anew.
    pub(super) fn recount(&self, scope: ScopeId, id: Id<Trajectory>, before: Outcome, now: Outcome) -> Result<()> {
        let exposures = self.exposures(id)?;
        self.count(scope, &exposures, before, Change::TakeBack)?;
        self.count(scope, &exposures, now, Change::Add)
    }

    /// Forgets what was offered to a trajectory that is about to be removed.
    pub(super) fn forget_exposures(&self, scope: ScopeId, id: Id<Trajectory>) -> Result<()> {
        let outcome = self.outcome(id)?;
        let exposures = self.exposures(id)?;
        self.count(scope, &exposures, outcome, Change::TakeBack)?;
        for exposure in &exposures {
            bitmaps::remove(&self.rows, scope, Field::ExposedTo(exposure.offered.number()), id.as_u64())?;
        }
        bitmaps::remove(&self.rows, scope, Field::Exposed, id.as_u64())?;
        self.rows.remove(Table::Exposures, &Key::record(scope, id.as_u64())).map(drop)
    }

    fn count(&self, scope: ScopeId, exposures: &[Exposure], outcome: Outcome, change: Change) -> Result<()> {
        for (offered, exposure) in decisive(exposures) {
            if !offered_is_there(self, offered)? {
                continue;
            }
            let key = Key::record(scope, offered.number());
            let mut counters = read_counters(&self.rows, &key)?.unwrap_or_default();
            counters.count(&exposure, outcome, change);
            write_counters(&self.rows, &key, &counters)?;
        }
        Ok(())
    }
}

/// Whether what was offered still exists; nothing is counted of what does not.
fn offered_is_there(view: &Snapshot, offered: Offered) -> Result<bool> {
    match offered {
        Offered::Strategy(id) => view.contains(id),
        Offered::KvLog(id) => view.contains(id),
    }
}

pub(crate) fn read_counters(rows: &Rows, key: &Key) -> Result<Option<Counters>> {
    rows.get(Table::Counters, key, |opened| {
        codec::decode_counters(opened.schema, opened.payload)
            .map_err(|error| row::undecodable(Table::Counters, key.as_bytes(), error))
    })
}

/// Writes what was counted; nothing at all has no row.
pub(crate) fn write_counters(rows: &Rows, key: &Key, counters: &Counters) -> Result<()> {
    if counters.is_empty() {
        return rows.remove(Table::Counters, key).map(drop);
    }
    let (schema, bytes) = archived(codec::encode_counters(counters))?;
    rows.put(Table::Counters, key, schema, &bytes)
}
