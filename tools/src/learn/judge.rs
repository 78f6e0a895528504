//! The judge of an experiment: it says what the arm's judge says, and keeps the truth beside it.
//!
//! The truth goes into the report and nowhere else, unless the arm is the one that is told.

use super::dialect::ToolDialect;
use super::stream::Judged;
use crate::world::Rng;
use lagdb::agent::{Attempt, Environment, Judge, LanguageModel, ModelJudge, Verifier};
use lagdb::{Judgment, Outcome, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Says a verdict and knows the truth.
pub(super) struct Witness {
    /// The agent's own judge; without it the truth is told.
    own: Option<ModelJudge>,
    /// How often the verdict is turned round.
    noise: f64,
    seen: Mutex<Seen>,
}

struct Seen {
    rng: Rng,
    /// Of the attempts at the task that is lived now.
    truths: Vec<bool>,
    judged: Judged,
}

impl Witness {
    /// Of an agent that judges itself, or of one that is told the truth.
    pub(super) fn new(own: Option<(Arc<dyn LanguageModel>, Arc<ToolDialect>)>, noise: f64, seed: u64) -> Self {
        let own = own.map(|(model, dialect)| ModelJudge::new(model, dialect).max_tokens(1));
        let seen = Seen { rng: Rng::new(seed), truths: Vec::new(), judged: Judged::default() };
        Self { own, noise, seen: Mutex::new(seen) }
    }

    /// Another task begins.
    pub(super) fn forget(&self) {
        self.seen().truths.clear();
    }

    /// Whether the attempts at the task did it, in order.
    pub(super) fn truths(&self) -> Vec<bool> {
        self.seen().truths.clone()
    }

    /// How the agent's own verdicts compare with the truth.
    pub(super) fn tell(&self, judged: &mut Judged) {
        *judged = self.seen().judged;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Judge for Witness {
    fn judge(&self, environment: &mut dyn Environment, attempt: &Attempt) -> Result<Judgment> {
        let truth = Verifier.judge(environment, attempt)?;
        self.seen().truths.push(truth.outcome == Outcome::Success);
        let Some(own) = &self.own else { return Ok(truth) };
        let mut judgment = own.judge(environment, attempt)?;
        let mut seen = self.seen();
        seen.judged.note(judgment.outcome, truth.outcome);
        if seen.rng.chance(self.noise) {
            judgment.outcome = match judgment.outcome {
                Outcome::Success => Outcome::Failure,
                Outcome::Failure => Outcome::Success,
                other => other,
            };
        }
        Ok(judgment)
    }
}
