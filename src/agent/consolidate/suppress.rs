//! Bounded credit: putting a lesson aside because the tasks in which it was followed fail. Off unless asked for.
//!
//! A task fails for many reasons, and a lesson about hard tasks is given when they fail. Putting aside what lies under the
//! baseline therefore threw out right lessons in a first measurement, and cost eight points; with a margin, counting only
//! tasks in which the lesson was followed, and only for lessons that were imported without evidence, it did no harm there and
//! helped where the import was wrong. These are the settings here.
//!
//! Only tasks count in which the agent got to read it, the latest [`N_TASKS`] of them. A procedure was followed if one of its
//! actions was taken; a guardrail if none of them was; a contrast says both, so nobody knows.

use super::{Consolidated, Consolidation, baseline};
use crate::record::beta::Beta;
use crate::{
    Delivery, Id, Offered, Outcome, Polarity, Result, Status, Strategy, StrategyKind, Trajectory, Transaction,
};

/// Tasks that are looked at: what a lesson did long ago costs nothing, and counts for nothing.
const N_TASKS: usize = 64;

/// When a lesson is put aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suppression {
    /// The upper bound of its rate of success must lie below this share of the rate of its domain.
    pub margin: f64,
    /// How sure the upper bound is, 0 to 1.
    pub confidence: f64,
    /// Tasks with a known outcome that must have been counted.
    pub min_tasks: u64,
    /// Count only tasks in which it was followed. Contrasts, and lessons that name no action, are then left alone.
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
    /// Puts aside those of `given` that have lost their credit.
    pub(in crate::agent) fn suppress(
        &self,
        tx: &mut Transaction,
        given: impl IntoIterator<Item = Id<Strategy>>,
        done: &mut Consolidated,
    ) -> Result<()> {
        let Some(rule) = self.suppression else { return Ok(()) };
        for id in given {
            let Some(lesson) = tx.get(id)? else { continue };
            let is_own = lesson.has_evidence(Polarity::Support);
            let can_follow = !lesson.action_signatures.is_empty() && lesson.kind != StrategyKind::Contrast;
            if lesson.status != Status::Active || (rule.followed_only && !can_follow) || (rule.imported_only && is_own)
            {
                continue;
            }
            let least = rule.margin * baseline(tx, lesson.domain.as_deref())?;
            // Even if all of its failures counted, and none of its successes: most lessons need no closer look.
            let (_, n_failures) = tx.counters(id.as_u64())?.injected.known();
            let at_worst = Rate { success: 0.0, failure: n_failures };
            if rule.refutes(at_worst, least) && rule.refutes(rate_of(tx, id, &lesson, rule)?, least) {
                tx.set_status(id, Status::Stale)?;
                done.n_suppressed += 1;
            }
        }
        Ok(())
    }
}

impl Suppression {
    /// Whether a lesson is that bad, whose rate should be at least `least`.
    fn refutes(self, rate: Rate, least: f64) -> bool {
        let upper = || Beta::after(rate.success, rate.failure).quantile(self.confidence);
        rate.n() >= self.min_tasks as f64 && upper() < least
    }
}

/// The rate of success of the latest tasks in which a lesson was injected and, if asked, followed.
fn rate_of(tx: &Transaction, id: Id<Strategy>, lesson: &Strategy, rule: Suppression) -> Result<Rate> {
    let offered = Offered::Strategy(id);
    let mut rate = Rate::default();
    for trajectory in tx.exposed_to(offered)?.into_iter().rev().take(N_TASKS) {
        let exposures = tx.exposures(trajectory)?;
        let was_read = exposures.iter().any(|one| one.offered == offered && one.delivery == Delivery::Injected);
        if !was_read {
            continue;
        }
        if !rule.followed_only || tx.get(trajectory)?.is_some_and(|lived| was_followed(lesson, &lived)) {
            rate.count(tx.outcome(trajectory)?);
        }
    }
    Ok(rate)
}

/// Whether what the lesson says was done: one of its actions was taken, or of a guardrail none.
fn was_followed(lesson: &Strategy, lived: &Trajectory) -> bool {
    let mut taken = lived.steps.iter().filter_map(|step| step.action_signature.as_ref());
    let did = taken.any(|signature| lesson.action_signatures.contains(signature));
    did != (lesson.kind == StrategyKind::Guardrail)
}
