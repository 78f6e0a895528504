//! The recipe for both worlds: twice the heads, so that each world's look-ups have KV heads of their own.
//!
//! Block 0 copies three tokens back, as the tool-choice model does, and both worlds look up by these copies: the demo world in
//! the first two KV heads of block 1 and the first of block 2, the tool-choice world in the last two of block 1.

use super::vocabulary::{tool_choice_tokens, words};
use crate::train::copies::copy_before;
use crate::train::model::{Model, Sizes};
use crate::train::optimizer::Rates;
use crate::train::preset::preset_look_ups;
use crate::train::raw_model::RawModel;
use crate::train::tool_choice::preset_look_ups as preset_tool_look_ups;
use crate::train::{recipe, tool_choice};
use crate::world::Rng;
use candle_core::Result;

/// How sharply the positional heads of block 0 look at one token.
const SHARPNESS: f32 = 0.95;
/// The rates of the plateau.
const RATES: Rates = Rates { muon: 0.009, adam: 3e-3 };
const WARM_UP_STEPS: usize = 50;
/// The fraction of the run after which the rates fall.
const PLATEAU_END: f64 = 0.35;
/// The fraction of the rate that is left at the end.
const LAST_RATE: f64 = 0.02;

/// The model of both worlds: 0.93 million weights, where the two models have 1.16 together.
pub(super) fn sizes() -> Sizes {
    Sizes {
        n_words: words().len(),
        d: 128,
        n_layers: 4,
        n_heads: 8,
        n_kv_heads: 4,
        head_dim: 32,
        d_ff: 320,
        theta: 100_000.0,
    }
}

/// A fresh model.
pub(super) fn fresh(rng: &mut Rng) -> Result<Model> {
    let mut raw = RawModel::random(sizes(), rng);
    let copies = copy_before(&mut raw, 3, SHARPNESS, rng);
    preset_look_ups(&mut raw, &copies, rng);
    preset_tool_look_ups(&mut raw, &copies, 2, &tool_choice_tokens());
    raw.into_model()
}

/// A whole run: the stages of one recipe beside the curriculum of the other.
pub(super) struct Recipe {
    pub(super) demo: recipe::Recipe,
    pub(super) tools: tool_choice::Recipe,
}

impl Recipe {
    pub(super) fn new(n_steps: usize) -> Self {
        let tools = tool_choice::Recipe { n_steps, is_finish: false };
        Self { demo: recipe::Recipe::new(false).within(n_steps), tools }
    }

    /// The rates of a step: a short rise, a plateau, a cosine fall.
    pub(super) fn rates(&self, step: usize) -> Rates {
        let progress = step as f64 / self.tools.n_steps as f64;
        let fall = ((progress - PLATEAU_END) / (1.0 - PLATEAU_END)).clamp(0.0, 1.0);
        let left = LAST_RATE + (1.0 - LAST_RATE) * (1.0 + (std::f64::consts::PI * fall).cos()) / 2.0;
        let factor = left * ((step + 1) as f64 / WARM_UP_STEPS as f64).min(1.0);
        Rates { muon: RATES.muon * factor, adam: RATES.adam * factor }
    }
}
