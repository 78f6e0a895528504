//! Outcomes as the index has them: a trajectory's latest judgment, and for a strategy those of its evidence's
//! trajectories as they are judged now.
//!
//! The polarity of evidence says nothing about outcomes: a failed run can support a strategy. Whenever a trajectory is
//! judged or removed, the strategies that cite it are filed anew.

use super::{Snapshot, Transaction};
use crate::catalog::ScopeId;
use crate::index::bitmaps::{self, Field};
use crate::record::{Outcome, Record, Strategy, Trajectory};
use crate::{Id, Result};

impl Transaction {
    /// Files a new record.
    pub(super) fn file_outcomes<R: Record>(&self, scope: ScopeId, id: u64, record: &R) -> Result<()> {
        match record.as_strategy() {
            Some(strategy) => self.file_strategy(scope, id, strategy),
            None => bitmaps::insert(&self.rows, scope, Field::Outcome(Outcome::Unknown), id),
        }
    }

    /// Files what came to the evidence of a strategy.
    pub(super) fn file_more_outcomes(&self, scope: ScopeId, id: Id<Strategy>, added: &Strategy) -> Result<()> {
        let outcomes = evidence_outcomes(self, added)?;
        outcomes.into_iter().try_for_each(|one| bitmaps::insert(&self.rows, scope, Field::Outcome(one), id.as_u64()))
    }

    /// Files a trajectory that was judged anew.
    pub(super) fn change_outcome(
        &self,
        scope: ScopeId,
        id: Id<Trajectory>,
        before: Outcome,
        now: Outcome,
    ) -> Result<()> {
        if before == now {
            return Ok(());
        }
        bitmaps::remove(&self.rows, scope, Field::Outcome(before), id.as_u64())?;
        bitmaps::insert(&self.rows, scope, Field::Outcome(now), id.as_u64())?;
        self.recount(scope, id, before, now)?;
        self.file_strategies_from(scope, id)
    }

    /// Files the strategies that cite a trajectory, after its outcome changed or it was removed.
    pub(super) fn file_strategies_from(&self, scope: ScopeId, id: Id<Trajectory>) -> Result<()> {
        for id in self.strategies_from(id)? {
            if let Some(strategy) = self.get(id)? {
                self.file_strategy(scope, id.as_u64(), &strategy)?;
            }
        }
        Ok(())
    }

    /// Takes a record out of all outcomes.
    pub(super) fn forget_outcomes(&self, scope: ScopeId, id: u64) -> Result<()> {
        Outcome::ALL.into_iter().try_for_each(|outcome| bitmaps::remove(&self.rows, scope, Field::Outcome(outcome), id))
    }

    fn file_strategy(&self, scope: ScopeId, id: u64, strategy: &Strategy) -> Result<()> {
        let outcomes = evidence_outcomes(self, strategy)?;
        for outcome in Outcome::ALL {
            let change = if outcomes.contains(&outcome) { bitmaps::insert } else { bitmaps::remove };
            change(&self.rows, scope, Field::Outcome(outcome), id)?;
        }
        Ok(())
    }
}

/// The outcomes of the trajectories of its evidence that are still there.
fn evidence_outcomes(view: &Snapshot, strategy: &Strategy) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for evidence in &strategy.provenance.evidence {
        if view.contains(evidence.trajectory)? {
            outcomes.push(view.outcome(evidence.trajectory)?);
        }
    }
    Ok(outcomes)
}
