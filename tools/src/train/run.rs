//! One training run, from a seed to a folder of files.
//!
//! The folder gets the checkpoint, `curve.jsonl` (one line every 25 steps) and `evaluation.json`.

use super::TrainError;
use super::batch::{Arm, Batch};
use super::checkpoint::{self, Speech};
use super::curve::Curve;
use super::loss::{Losses, losses};
use super::model::Model;
use super::optimizer::Optimizer;
use super::recipe::{Recipe, SIZES};
use super::table::{check, evaluate_checkpoint};
use crate::world::{Rng, Word, tokenizer_json};
use serde_json::Map;
use std::path::PathBuf;

const CURVE_EVERY: usize = 25;
const CHECK_EVERY: usize = 250;

/// What to train and where to put it.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Everything random in the run comes from this.
    pub seed: u64,
    /// The folder for the results; made if missing.
    pub out: PathBuf,
    /// Train the control, which never sees a KV log.
    pub plain: bool,
}

/// Trains a model, writes its files and evaluates them; `progress` is told, line by line, how it goes.
///
/// # Errors
///
/// [`TrainError`] if a file cannot be written or read back.
pub fn train(options: &TrainOptions, mut progress: impl FnMut(&str)) -> Result<(), TrainError> {
    std::fs::create_dir_all(&options.out)?;
    let recipe = Recipe::new(options.plain);
    let mut rng = Rng::new(options.seed);
    let model = super::preset::fresh(SIZES, &mut rng)?;
    let mut optimizer = Optimizer::new(&model)?;
    let mut curve = Curve::create(&options.out.join("curve.jsonl"))?;
    let last = recipe.n_steps() - 1;
    for step in 0..=last {
        let (arm, losses) = train_step(&model, &mut optimizer, &recipe, step, &mut rng)?;
        losses.note(arm, &mut curve)?;
        let is_checked = step % CHECK_EVERY == 0 || step == last;
        if is_checked {
            checkpoint::save(&model, &speech(), &options.out)?;
        }
        if step % CURVE_EVERY == 0 || step == last {
            let checks = if is_checked { check(&model)? } else { Map::new() };
            progress(&curve.point(step, recipe.stage(step).name, checks)?);
        }
    }
    evaluate_checkpoint(&options.out, progress)
}

/// The words of the demo world.
pub(super) fn speech() -> Speech {
    Speech { tokenizer: tokenizer_json(), bos: Word::BOS.id(), end: Word::END.id(), pad: Word::PAD.id() }
}

/// Draws a batch and steps down its losses, which are returned with the batch's arm.
fn train_step(
    model: &Model,
    optimizer: &mut Optimizer,
    recipe: &Recipe,
    step: usize,
    rng: &mut Rng,
) -> Result<(Arm, Losses), TrainError> {
    let stage = recipe.stage(step);
    let plan = stage.plan(rng);
    let batch = Batch::draw(&plan, rng)?;
    let losses = losses(model, &batch, plan.arm)?;
    let grads = losses.total(stage.write_weight)?.backward()?;
    optimizer.step(&grads, recipe.rates(step))?;
    Ok((plan.arm, losses))
}
