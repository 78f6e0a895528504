//! The recipe of the tool-choice model, as data: a run with a curriculum from look-ups to life, and a finish.
//!
//! At first most of a batch are quizzes, so that look-up is learned from dense examples; then drills and lessons. The finish
//! goes on from a checkpoint with more quizzes and fewer drills: drills teach not to repeat what was refuted, and after
//! the first run that was learned while items were still read too loosely.

use super::practice::{Extent, Practice};
use crate::tool_choice::N_WORDS;
use crate::train::model::Sizes;
use crate::train::optimizer::Rates;
use crate::world::Rng;

/// The tool-choice model: 696 960 weights.
pub(crate) const SIZES: Sizes = Sizes {
    n_words: N_WORDS,
    d: 128,
    n_layers: 4,
    n_heads: 4,
    n_kv_heads: 2,
    head_dim: 32,
    d_ff: 320,
    theta: 10_000.0,
};

/// Sequences in a batch.
const N_ROWS: usize = 40;
/// The rates of the plateau.
const RATES: Rates = Rates { muon: 0.008, adam: 3e-3 };
const WARM_UP_STEPS: usize = 40;
/// The fraction of the run after which the rates fall.
const PLATEAU_END: f64 = 0.45;
/// The fraction of the rate that is left at the end.
const LAST_RATE: f64 = 0.02;

/// The weights of the three losses.
pub(crate) const CHOICE_WEIGHT: f64 = 2.0;
pub(crate) const VERDICT_WEIGHT: f64 = 0.5;
pub(crate) const WRITTEN_WEIGHT: f64 = 1.0;

#[derive(Clone, Copy)]
enum Kind {
    Quiz,
    Drill,
    Lesson,
    Review,
}

const SHARES_OF_FINISH: [(Kind, f64); 4] =
    [(Kind::Quiz, 0.50), (Kind::Drill, 0.08), (Kind::Lesson, 0.30), (Kind::Review, 0.12)];

/// A whole run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) n_steps: usize,
    /// Whether it goes on from a checkpoint: everything is in view from the first step on.
    pub(crate) is_finish: bool,
}

impl Recipe {
    /// The sequences of a step's batch.
    pub(crate) fn batch(self, step: usize, rng: &mut Rng) -> Vec<Practice> {
        let progress = if self.is_finish { 1.0 } else { step as f64 / self.n_steps as f64 };
        let shares = match progress {
            _ if self.is_finish => SHARES_OF_FINISH,
            p if p < 0.15 => [(Kind::Quiz, 0.80), (Kind::Drill, 0.05), (Kind::Lesson, 0.15), (Kind::Review, 0.0)],
            p if p < 0.40 => [(Kind::Quiz, 0.50), (Kind::Drill, 0.10), (Kind::Lesson, 0.28), (Kind::Review, 0.12)],
            _ => [(Kind::Quiz, 0.20), (Kind::Drill, 0.12), (Kind::Lesson, 0.52), (Kind::Review, 0.16)],
        };
        let grown = (progress / 0.3).min(1.0);
        let extent = Extent {
            max_items: 4 + (12.0 * grown).round() as usize,
            max_attempts: 1 + (4.0 * grown).round() as usize,
            past: if progress < 0.10 { 0.0 } else { 0.30 },
        };
        let quiz_items = 6 + (10.0 * (2.0 * grown).min(1.0)).round() as usize;
        let fails = if progress < 0.06 { 0.2 } else { 0.6 };
        let draw = |_| match rng.pick_weighted(&shares) {
            Kind::Quiz => Practice::quiz(quiz_items, fails, extent.past, rng),
            Kind::Drill => Practice::drill(extent, rng),
            Kind::Lesson => Practice::lesson(extent, rng),
            Kind::Review => Practice::reviews(extent, rng),
        };
        (0..N_ROWS).map(draw).collect()
    }

    /// The rates of a step: a short rise, a plateau, a cosine fall; a finish has a short plateau.
    pub(crate) fn rates(self, step: usize) -> Rates {
        let progress = step as f64 / self.n_steps as f64;
        let plateau_end = if self.is_finish { 0.2 } else { PLATEAU_END };
        let fall = ((progress - plateau_end) / (1.0 - plateau_end)).clamp(0.0, 1.0);
        let left = LAST_RATE + (1.0 - LAST_RATE) * (1.0 + (std::f64::consts::PI * fall).cos()) / 2.0;
        let factor = left * ((step + 1) as f64 / WARM_UP_STEPS as f64).min(1.0);
        Rates { muon: RATES.muon * factor, adam: RATES.adam * factor }
    }
}
