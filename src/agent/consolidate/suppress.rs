//! Bounded credit: suspending a lesson because the tasks in which it was followed fail. Off unless asked for.
//!
//! A task fails for many reasons, and a lesson about hard tasks is given when they fail. Suspending what lies under the
//! baseline therefore threw out right lessons in a first measurement, and cost eight points; with a margin, counting only
//! tasks in which the lesson was followed, and only for lessons that were imported without evidence, it did no harm there and
//! helped where the import was wrong. These are the settings here.

use super::{Consolidated, Consolidation};
use crate::record::beta::Beta;
use crate::{Id, Offered, Outcome, Polarity, Query, Result, Status, Strategy, Trajectory, Transaction};

/// When a lesson is suspended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suppression {
    /// The upper bound of its rate of success must lie below this share of the baseline.
    pub margin: f64,
    /// How sure the upper bound is, 0 to 1.
    pub confidence: f64,
    /// Tasks with a known outcome that must have been counted.
    pub min_tasks: u64,
    /// Count only tasks in which it was followed: one of its actions was taken. Lessons that name no action are then left
    /// alone.
    pub followed_only: bool,
    /// Only lessons without evidence of their own: those that were imported.
    pub imported_only: bool,
}

impl Default for Suppression {
    fn default() -> Self {
        Self { margin: 0.6, confidence: 0.9, min_tasks: 3, followed_only: true, imported_only: true }
    }
}

/// Successes and failures; a partial success is half of each.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    success: f64,
    failure: f64,
}

impl Rate {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.success += 1.0,
            Outcome::Failure => self.failure += 1.0,
            Outcome::Partial => (self.success, self.failure) = (self.success + 0.5, self.failure + 0.5),
            Outcome::Unknown => {}
        }
    }

    fn n(self) -> f64 {
        self.success + self.failure
    }
}

impl Consolidation {
    /// Suspends those of `given` that have lost their credit.
    pub(in crate::agent) fn suppress(
        &self,
        tx: &mut Transaction,
        given: impl IntoIterator<Item = Id<Strategy>>,
        done: &mut Consolidated,
    ) -> Result<()> {
        let Some(rule) = self.suppression else { return Ok(()) };
        let baseline = baseline(tx)?;
        for id in given {
            let Some(lesson) = tx.get(id)? else { continue };
            let is_own = lesson.has_evidence(Polarity::Support);
            let cannot_follow = rule.followed_only && lesson.action_signatures.is_empty();
            if lesson.status != Status::Active || cannot_follow || (rule.imported_only && is_own) {
                continue;
            }
            let rate = rate_of(tx, id, &lesson, rule)?;
            let upper = Beta::after(rate.success, rate.failure).quantile(rule.confidence);
            if rate.n() >= rule.min_tasks as f64 && upper < rule.margin * baseline {
                tx.set_status(id, Status::Suspended)?;
                done.n_suppressed += 1;
            }
        }
        Ok(())
    }
}

/// The rate of success of the tasks in which a lesson was given and, if asked, followed.
fn rate_of(tx: &Transaction, id: Id<Strategy>, lesson: &Strategy, rule: Suppression) -> Result<Rate> {
    let mut rate = Rate::default();
    for trajectory in tx.exposed_to(Offered::Strategy(id))? {
        let follows = |lived: &Trajectory| {
            let mut taken = lived.steps.iter().filter_map(|step| step.action_signature.as_ref());
            taken.any(|signature| lesson.action_signatures.contains(signature))
        };
        let counts = !rule.followed_only || tx.get(trajectory)?.is_some_and(|lived| follows(&lived));
        if counts {
            rate.count(tx.outcome(trajectory)?);
        }
    }
    Ok(rate)
}

/// The rate of success of all trajectories of the scope.
fn baseline(tx: &Transaction) -> Result<f64> {
    let count = |outcome| -> Result<f64> {
        let query = Query::newest().outcome(outcome).limit(0);
        let counted = tx.explain::<Trajectory>(&query)?;
        Ok(counted.filters.last().map_or(0, |kept| kept.n_left) as f64)
    };
    let (success, partial, failure) = (count(Outcome::Success)?, count(Outcome::Partial)?, count(Outcome::Failure)?);
    let n = success + partial + failure;
    Ok(if n > 0.0 { (success + 0.5 * partial) / n } else { 0.0 })
}
