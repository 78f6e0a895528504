//! Taking a trajectory away with all that was derived from it, as one change of rows.
//!
//! A strategy whose only evidence it was goes too. One with other evidence keeps its words, loses that evidence and what
//! it inherited of it, and is marked: it has to be distilled again. So is one whose place was taken by a strategy that goes.
//! What other trajectories were offered of all this is forgotten with it: no path returns a purged id.

use super::records::{lineage, own_fields, table_of};
use super::transaction::archived;
use super::{Snapshot, Transaction};
use crate::catalog::row::KvLogRow;
use crate::catalog::{Key, ScopeId, Table};
use crate::index::bitmaps::{self, Field};
use crate::record::{Offered, Record, Status, Strategy, Trajectory, codec};
use crate::store::mark_erasing;
use crate::{Id, Result};

/// What was taken away.
#[derive(Debug, Default)]
pub(crate) struct Purged {
    /// BLAKE3 of the trajectory as it was stored.
    pub(crate) digest: Option<[u8; 32]>,
    pub(crate) n_judgments: u64,
    pub(crate) kv_logs: Vec<KvLogRow>,
    pub(crate) strategies: Vec<Id<Strategy>>,
    pub(crate) stale: Vec<Id<Strategy>>,
}

impl Transaction {
    /// Takes a trajectory away, if it is there, and marks that the bytes of whatever is deleted are to be erased.
    pub(crate) fn purge(&mut self, id: Id<Trajectory>) -> Result<Purged> {
        self.whole(|tx| {
            let mut purged = Purged::default();
            if let Some(scope) = tx.scope {
                // It may have been deleted before; what was derived from it was not.
                let trajectory = tx.get(id)?;
                let citing = tx.strategies_from(id)?;
                if let Some(trajectory) = &trajectory {
                    purged.n_judgments = tx.judgments(id)?.len() as u64;
                    purged.kv_logs = tx.kv_log_rows(id)?.logs;
                    purged.digest = Some(*blake3::hash(&archived(trajectory.encode())?.1).as_bytes());
                    tx.remove_record(scope, id, trajectory)?;
                }
                for strategy in citing {
                    tx.purge_evidence(scope, strategy, id, trajectory.as_ref(), &mut purged)?;
                }
                tx.forget_rows(&Field::Evidence(id).key(scope))?;
                tx.forget_offers(scope, Offered::KvLog(id))?;
                for strategy in purged.strategies.clone() {
                    tx.forget_offers(scope, Offered::Strategy(strategy))?;
                    tx.forget_successor(scope, strategy, &mut purged)?;
                }
            }
            mark_erasing(&tx.rows)?;
            Ok(purged)
        })
    }

    fn purge_evidence(
        &self,
        scope: ScopeId,
        id: Id<Strategy>,
        from: Id<Trajectory>,
        trajectory: Option<&Trajectory>,
        purged: &mut Purged,
    ) -> Result<()> {
        let Some(before) = self.get(id)? else { return Ok(()) };
        let mut after = before.clone();
        after.provenance.evidence.retain(|evidence| evidence.trajectory != from);
        if after.provenance.evidence.is_empty() {
            purged.strategies.push(id);
            return self.remove_record(scope, id, &before);
        }
        if matches!(before.status, Status::Active | Status::Suspended | Status::Stale) {
            after.status = Status::Stale;
            purged.stale.push(id);
        }
        self.replace_strategy(scope, id, &before, &after)?;
        self.file_outcomes(scope, id.as_u64(), &after)?;
        let inherited = still_inherited(self, &after)?;
        for field in trajectory.into_iter().flat_map(lineage).filter(|field| !inherited.contains(&field.key(scope))) {
            bitmaps::remove(&self.rows, scope, field, id.as_u64())?;
        }
        Ok(())
    }

    /// Writes a strategy over itself and files what changed, but for what it has of the trajectories of its evidence.
    pub(super) fn replace_strategy(
        &self,
        scope: ScopeId,
        id: Id<Strategy>,
        before: &Strategy,
        after: &Strategy,
    ) -> Result<()> {
        let (schema, bytes) = archived(after.encode())?;
        let (gone, fields) = (own_fields(before), own_fields(after));
        for field in gone.iter().filter(|field| !fields.contains(field)) {
            bitmaps::remove(&self.rows, scope, *field, id.as_u64())?;
        }
        for field in fields.into_iter().filter(|field| !gone.contains(field)) {
            bitmaps::insert(&self.rows, scope, field, id.as_u64())?;
        }
        self.forget_content(scope, id.as_u64(), before)?;
        self.file_content(scope, id.as_u64(), after)?;
        self.rows.put(table_of(Strategy::KIND), &Key::record(scope, id.as_u64()), schema, &bytes)
    }

    /// Takes what was offered out of the exposures of whoever it was offered to.
    fn forget_offers(&self, scope: ScopeId, offered: Offered) -> Result<()> {
        for id in self.exposed_to(offered)? {
            let mut exposures = self.exposures(id)?;
            exposures.retain(|exposure| exposure.offered.number() != offered.number());
            let key = Key::record(scope, id.as_u64());
            if exposures.is_empty() {
                self.rows.remove(Table::Exposures, &key)?;
                bitmaps::remove(&self.rows, scope, Field::Exposed, id.as_u64())?;
            } else {
                let (schema, bytes) = archived(codec::encode_exposures(&exposures))?;
                self.rows.put(Table::Exposures, &key, schema, &bytes)?;
            }
        }
        self.forget_rows(&Field::ExposedTo(offered.number()).key(scope))
    }

    /// Marks the strategies whose place was taken by one that is gone.
    fn forget_successor(&self, scope: ScopeId, gone: Id<Strategy>, purged: &mut Purged) -> Result<()> {
        for number in bitmaps::load(&self.rows, scope, Field::Status(Status::Superseded))? {
            let id = Id::from_u64(u64::from(number));
            let Some(before) = self.get(id)?.filter(|strategy: &Strategy| strategy.superseded_by == Some(gone)) else {
                continue;
            };
            let after = Strategy { status: Status::Stale, superseded_by: None, ..before.clone() };
            self.replace_strategy(scope, id, &before, &after)?;
            if !purged.stale.contains(&id) {
                purged.stale.push(id);
            }
        }
        Ok(())
    }

    /// Takes away the rows of a bitmap; what was deleted before may have left its id there.
    fn forget_rows(&self, bitmap: &Key) -> Result<()> {
        let mut keys = Vec::new();
        self.rows.scan_raw(Table::Bitmaps, bitmap, &mut |key, _| {
            keys.push(Key::of(key));
            Ok(())
        })?;
        keys.iter().try_for_each(|key| self.rows.remove(Table::Bitmaps, key).map(drop))
    }
}

/// The keys of what a strategy inherits from the evidence it has.
fn still_inherited(view: &Snapshot, strategy: &Strategy) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    for evidence in &strategy.provenance.evidence {
        if let (Some(scope), Some(trajectory)) = (view.scope, view.get(evidence.trajectory)?) {
            keys.extend(lineage(&trajectory).map(|field| field.key(scope)));
        }
    }
    Ok(keys)
}
