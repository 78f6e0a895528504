//! What becomes of a strategy after it was put: its status changes, and it gains evidence; all else stays.

use super::Transaction;
use crate::record::{Evidence, Record, Status, Strategy};
use crate::{Error, Id, Result};
use std::collections::BTreeSet;

impl Transaction {
    /// Changes the status of a strategy to one that needs no successor.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no such strategy, or for [`Status::Superseded`]: see
    /// [`supersede_by`](Self::supersede_by).
    pub fn set_status(&mut self, id: Id<Strategy>, status: Status) -> Result<()> {
        self.change_status(id, status, None)
    }

    /// Notes that `successor` took the place of the strategy `id`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when one of them is not there, or when `id` would come to take its own place.
    pub fn supersede_by(&mut self, id: Id<Strategy>, successor: Id<Strategy>) -> Result<()> {
        self.scope_of(successor)?;
        let (mut next, mut seen) = (Some(successor), BTreeSet::new());
        while let Some(later) = next.filter(|later| seen.insert(*later)) {
            if later == id {
                return Err(Error::invalid("successor", format!("strategy {id} cannot take its own place")));
            }
            next = self.get(later)?.and_then(|strategy| strategy.superseded_by);
        }
        self.change_status(id, Status::Superseded, Some(successor))
    }

    /// Adds evidence to a strategy, beside what it has; what it has already is not added again. Its trust sinks to that of
    /// the least trusted trajectory, and it is found wherever these trajectories lead.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no such strategy, or the evidence names a trajectory or a step that is not there, or
    /// there is too much of it.
    pub fn add_evidence(&mut self, id: Id<Strategy>, evidence: &[Evidence]) -> Result<()> {
        let scope = self.scope_of(id)?;
        let Some(before) = self.get(id)? else { return Ok(()) };
        let mut after = before.clone();
        for piece in evidence {
            if !after.provenance.evidence.contains(piece) {
                after.provenance.evidence.push(*piece);
            }
        }
        if after == before {
            return Ok(());
        }
        after.check()?;
        // Only what is new: trajectories of what it has, and who took its place, may be gone by now.
        let mut added = Strategy { superseded_by: None, ..after.clone() };
        added.provenance.evidence.retain(|piece| !before.provenance.evidence.contains(piece));
        self.check_evidence(&added)?;
        // What it has was asked when it came: the cost of one more piece does not grow with their number.
        after.trust = self.believable(&added)?.map_or(after.trust, |added| added.trust);
        self.whole(|tx| {
            tx.replace_strategy(scope, id, &before, &after)?;
            tx.file_more_outcomes(scope, id, &added)?;
            tx.inherit_lineage(scope, &added, id.as_u64())
        })
    }

    fn change_status(&mut self, id: Id<Strategy>, status: Status, successor: Option<Id<Strategy>>) -> Result<()> {
        let scope = self.scope_of(id)?;
        let Some(before) = self.get(id)? else { return Ok(()) };
        let after = Strategy { status, superseded_by: successor, ..before.clone() };
        after.check()?;
        self.whole(|tx| tx.replace_strategy(scope, id, &before, &after))
    }
}
