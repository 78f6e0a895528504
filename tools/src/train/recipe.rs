//! The recipe, as data: three stages, one run, nothing reset in between.
//!
//! 1. *recall*: one or two logs, short documents: find a value in what is shown.
//! 2. *write*: up to four logs: put unspelled facts behind the words of the log.
//! 3. *many*: up to eight logs at a time, the rate falling to nearly nothing: tell them apart.
//!
//! The plain recipe is the control: the same stages, steps, rates, presets and losses, without the KV arm.

use super::batch::{Arm, Plan};
use super::model::Sizes;
use super::optimizer::Rates;
use crate::world::{Rng, TaskSize, VOCABULARY_LEN};

/// The demo model: 467 616 weights.
pub(crate) const SIZES: Sizes = Sizes {
    n_words: VOCABULARY_LEN,
    d: 96,
    n_layers: 4,
    n_heads: 4,
    n_kv_heads: 2,
    head_dim: 32,
    d_ff: 256,
    theta: 100_000.0,
};

/// Words a batch holds, about; it sets how many examples fit.
const WORDS_A_BATCH: usize = 2600;
/// The rates of the plateau.
const RATES: Rates = Rates { muon: 0.010, adam: 3e-3 };
const WARM_UP_STEPS: usize = 50;
/// The fraction of the run after which the rates fall.
const PLATEAU_END: f64 = 0.25;
/// The fraction of the rate that is left at the end.
const LAST_RATE: f64 = 0.02;

/// One stage of a run.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) n_steps: usize,
    pub(crate) max_logs: usize,
    /// The most organisations, and people, a source task shows.
    max_size: usize,
    pub(crate) write_weight: f64,
    arms: [(Arm, f64); 4],
}

/// A whole run.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) stages: Vec<Stage>,
}

impl Recipe {
    /// The recipe of the demo model, or of its plain control.
    pub(crate) fn new(plain: bool) -> Self {
        let early = [(Arm::Kv, 0.5), (Arm::Text, 0.15), (Arm::Full, 0.2), (Arm::None, 0.15)];
        let late = [(Arm::Kv, 0.65), (Arm::Text, 0.12), (Arm::Full, 0.15), (Arm::None, 0.08)];
        let stage = |name, n_steps, max_logs, max_size, write_weight, arms| Stage {
            name,
            n_steps,
            max_logs,
            max_size,
            write_weight,
            arms: if plain { without_kv(arms) } else { arms },
        };
        Self {
            stages: vec![
                stage("recall", 500, 2, 3, 0.3, early),
                stage("write", 700, 4, 4, 0.3, late),
                stage("many", 2800, 8, 5, 0.1, late),
            ],
        }
    }

    /// The same stages within about `n_steps` steps.
    pub(crate) fn within(mut self, n_steps: usize) -> Self {
        let all = self.n_steps();
        self.stages.iter_mut().for_each(|stage| stage.n_steps = (stage.n_steps * n_steps / all).max(1));
        self
    }

    pub(crate) fn n_steps(&self) -> usize {
        self.stages.iter().map(|stage| stage.n_steps).sum()
    }

    /// The stage of a step.
    pub(crate) fn stage(&self, step: usize) -> &Stage {
        let mut end = 0;
        let reached = self.stages.iter().find(|stage| {
            end += stage.n_steps;
            step < end
        });
        reached.unwrap_or(&self.stages[self.stages.len() - 1])
    }

    /// The rates of a step: a short rise, a plateau, and from a quarter of the run on a cosine fall.
    pub(crate) fn rates(&self, step: usize) -> Rates {
        let progress = step as f64 / self.n_steps() as f64;
        let fall = ((progress - PLATEAU_END) / (1.0 - PLATEAU_END)).clamp(0.0, 1.0);
        let left = LAST_RATE + (1.0 - LAST_RATE) * (1.0 + (std::f64::consts::PI * fall).cos()) / 2.0;
        let factor = left * ((step + 1) as f64 / WARM_UP_STEPS as f64).min(1.0);
        Rates { muon: RATES.muon * factor, adam: RATES.adam * factor }
    }
}

/// The KV arm's share goes to the other arms, in proportion.
fn without_kv(arms: [(Arm, f64); 4]) -> [(Arm, f64); 4] {
    arms.map(|(arm, share)| (arm, if arm == Arm::Kv { 0.0 } else { share }))
}

impl Stage {
    /// Draws the sizes of a batch.
    pub(crate) fn plan(&self, rng: &mut Rng) -> Plan {
        let arm = rng.pick_weighted(&self.arms);
        let n_logs = match arm {
            Arm::None => 0,
            Arm::Text | Arm::Kv => rng.between(1, self.max_logs),
            // Whole trajectories are long: fewer of them more often.
            Arm::Full => rng.between(1, self.max_logs).min(rng.between(1, self.max_logs)),
        };
        let hidden = arm == Arm::None || rng.chance(0.3);
        let max_size = self.max_size.min(42 / (n_logs + 1));
        let (orgs, people) = (rng.between(2, max_size), rng.between(2, max_size));
        let n_extra = if n_logs > 3 { 1 } else { 3 };
        let n_questions = if n_logs > 3 { 8 } else { 5 };
        let source_len = 12 + 9 * orgs + 3 * people + 11 * n_extra;
        let follow_up_len = 34 + 14 * n_questions;
        let n_rows = (WORDS_A_BATCH / (n_logs.max(1) * source_len + follow_up_len)).max(3);
        let trim = (usize::from(rng.chance(0.15)), usize::from(rng.chance(0.15)));
        Plan { arm, n_rows, n_logs, hidden, size: TaskSize::new(orgs, people), n_extra, n_questions, trim }
    }
}
