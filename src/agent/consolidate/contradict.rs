//! Two lessons about the same actions of which one says do, and the other do not.
//!
//! They are linked by evidence: what supports the one is kept as evidence against the other. Which of them is given to agents
//! from now on is the [`Disagreement`]'s to say.

use super::{Consolidated, Consolidation, Disagreement, about, eligible, n_votes, same_actions};
use crate::{Evidence, Filter, Hit, Id, Polarity, Query, Result, Status, Strategy, StrategyKind, Transaction};

/// Pieces of evidence that an older lesson lends against a newer one.
const N_LENT: usize = 4;

impl Consolidation {
    /// Links the lesson `id`, just seen once more as `seen`, with those that contradict it, and settles who stays active.
    pub(super) fn settle(
        &self,
        tx: &mut Transaction,
        near: Query,
        id: Id<Strategy>,
        seen: &Strategy,
        done: &mut Consolidated,
    ) -> Result<()> {
        let Some(opposite) = opposite(seen.kind).filter(|_| !seen.action_signatures.is_empty()) else { return Ok(()) };
        let query = near.filter(about(seen) & Filter::kind(opposite) & eligible()).floor(self.opposed);
        for other in tx.search::<Strategy>(&query)?.into_iter().filter(|hit| same_actions(&hit.record, seen)) {
            done.n_contradictions += 1;
            self.link(tx, id, seen, &other)?;
            self.decide(tx, id, other.id, done)?;
        }
        Ok(())
    }

    fn link(&self, tx: &mut Transaction, id: Id<Strategy>, seen: &Strategy, other: &Hit<Strategy>) -> Result<()> {
        self.add_evidence(tx, other.id, &against(&seen.provenance.evidence))?;
        let mut lent = against(&other.record.provenance.evidence);
        // What it was learned from may be gone by now.
        let is_there = lent.iter().map(|piece| tx.contains(piece.trajectory)).collect::<Result<Vec<_>>>()?;
        let mut is_there = is_there.into_iter();
        lent.retain(|_| is_there.next() == Some(true));
        self.add_evidence(tx, id, lent.get(..N_LENT).unwrap_or(&lent))
    }

    /// Whether the lesson that was just seen takes the place of the other, or the other keeps it.
    fn decide(
        &self,
        tx: &mut Transaction,
        seen: Id<Strategy>,
        other: Id<Strategy>,
        done: &mut Consolidated,
    ) -> Result<()> {
        let (Some(of_seen), Some(of_other)) = (tx.get(seen)?, tx.get(other)?) else { return Ok(()) };
        if of_seen.status == Status::Suspended {
            // It gathers evidence, and takes nobody's place.
            return Ok(());
        }
        let seen_wins = match self.disagreement {
            Disagreement::Keep => return Ok(()),
            Disagreement::Latest => true,
            Disagreement::Vote => n_votes(tx, &of_seen)? >= n_votes(tx, &of_other)?,
        };
        let ((winner, of_winner), (loser, of_loser)) =
            if seen_wins { ((seen, of_seen), (other, of_other)) } else { ((other, of_other), (seen, of_seen)) };
        if of_winner.status == Status::Superseded {
            tx.set_status(winner, Status::Active)?;
        }
        if of_loser.superseded_by != Some(winner) {
            done.n_superseded += 1;
            tx.supersede_by(loser, winner)?;
        }
        Ok(())
    }
}

/// The kind that says the contrary; a contrast says both.
fn opposite(kind: StrategyKind) -> Option<StrategyKind> {
    match kind {
        StrategyKind::Procedure => Some(StrategyKind::Guardrail),
        StrategyKind::Guardrail => Some(StrategyKind::Procedure),
        StrategyKind::Contrast => None,
    }
}

/// What supports one of them, as evidence against the other.
fn against(evidence: &[Evidence]) -> Vec<Evidence> {
    let supporting = evidence.iter().filter(|evidence| evidence.polarity == Polarity::Support);
    supporting.map(|evidence| Evidence { polarity: Polarity::Contradict, ..*evidence }).collect()
}
