//! Taking a trajectory away with all that was derived from it, as one change of rows.
//!
//! A strategy whose only evidence it was goes too. One with other evidence keeps its words, loses that evidence and what
//! it inherited of it, and is marked: it has to be distilled again. So is one whose place was taken by a strategy that goes.
//! What other trajectories were offered of all this is forgotten with it: no path returns a purged id.
//!
//! What was inherited is taken away by the ids of who has it, not by what the trajectory says: it may have been deleted
//! before, and then nobody knows which task and group it was of.

use super::Transaction;
use super::records::{lineage, own_fields, table_of};
use super::transaction::archived;
use crate::catalog::row::KvLogRow;
use crate::catalog::{Key, ScopeId, Table, value};
use crate::index::bitmaps::{self, Field};
use crate::record::{Offered, Record, RecordKind, Status, Strategy, Trajectory, codec};
use crate::store::mark_erasing;
use crate::{Id, Result};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

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

/// Strategies that lost evidence, by their numbers, and the keys of all that they still inherit.
type Heirs = BTreeMap<u32, Vec<Key>>;

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
                let mut heirs = Heirs::new();
                for strategy in citing {
                    if let Some(after) = tx.purge_evidence(scope, strategy, id, &mut purged)? {
                        heirs.extend(tx.inherited(scope, strategy, &after)?);
                    }
                }
                tx.forget_inherited(scope, &heirs)?;
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

    /// Takes evidence from a strategy; what it is then, if it is still there.
    fn purge_evidence(
        &self,
        scope: ScopeId,
        id: Id<Strategy>,
        from: Id<Trajectory>,
        purged: &mut Purged,
    ) -> Result<Option<Strategy>> {
        let Some(before) = self.get(id)? else { return Ok(None) };
        let mut after = before.clone();
        after.provenance.evidence.retain(|evidence| evidence.trajectory != from);
        if after.provenance.evidence.is_empty() {
            purged.strategies.push(id);
            self.remove_record(scope, id, &before)?;
            return Ok(None);
        }
        if matches!(before.status, Status::Active | Status::Suspended | Status::Stale) {
            after.status = Status::Stale;
            purged.stale.push(id);
        }
        self.replace_strategy(scope, id, &before, &after)?;
        Ok(Some(after))
    }

    /// What a strategy inherits from the evidence that it has; nothing is known where that of a trajectory which is gone is
    /// among it: any task and group that the strategy is filed under may be of that one.
    fn inherited(&self, scope: ScopeId, id: Id<Strategy>, strategy: &Strategy) -> Result<Option<(u32, Vec<Key>)>> {
        let mut keys = Vec::new();
        for evidence in &strategy.provenance.evidence {
            let Some(trajectory) = self.get(evidence.trajectory)? else { return Ok(None) };
            keys.extend(lineage(&trajectory).map(|field| field.key(scope)));
        }
        Ok(Some((bitmaps::document(id.as_u64())?, keys)))
    }

    /// Takes records that are gone out of everything that was inherited, and `heirs` out of what they do not inherit any
    /// more.
    fn forget_inherited(&self, scope: ScopeId, heirs: &Heirs) -> Result<()> {
        let mut live = RoaringBitmap::new();
        for kind in [RecordKind::Trajectory, RecordKind::Strategy] {
            live |= bitmaps::load(&self.rows, scope, Field::Live(kind))?;
        }
        let mut lost = Vec::new();
        for prefix in bitmaps::inherited(scope) {
            self.rows.scan_raw(Table::Bitmaps, &prefix, &mut |key, bytes| {
                let opened = value::open(Table::Bitmaps, key, bytes);
                // A damaged row does not keep the others from being purged; the erasing meets it again, and says so.
                let Ok(ids) = opened.and_then(|opened| bitmaps::parse(key, opened)) else { return Ok(()) };
                let mut out = &ids - &live;
                let inherits = |keys: &[Key]| keys.iter().any(|field| key.starts_with(field.as_bytes()));
                out.extend(heirs.iter().filter(|(id, keys)| ids.contains(**id) && !inherits(keys)).map(|(id, _)| *id));
                if !out.is_empty() {
                    lost.push((Key::of(key), out));
                }
                Ok(())
            })?;
        }
        lost.iter().try_for_each(|(key, out)| bitmaps::take_out(&self.rows, key, out))
    }

    /// Writes a strategy over itself and files it anew.
    pub(super) fn replace_strategy(
        &self,
        scope: ScopeId,
        id: Id<Strategy>,
        before: &Strategy,
        after: &Strategy,
    ) -> Result<()> {
        let (schema, bytes) = archived(after.encode())?;
        let fields = own_fields(after);
        for field in own_fields(before).into_iter().filter(|field| !fields.contains(field)) {
            bitmaps::remove(&self.rows, scope, field, id.as_u64())?;
        }
        for field in fields {
            bitmaps::insert(&self.rows, scope, field, id.as_u64())?;
        }
        self.forget_content(scope, id.as_u64(), before)?;
        self.file_content(scope, id.as_u64(), after)?;
        self.rows.put(table_of(Strategy::KIND), &Key::record(scope, id.as_u64()), schema, &bytes)?;
        self.file_outcomes(scope, id.as_u64(), after)
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
