//! One training run of a model of both worlds, from a seed to a folder of files.
//!
//! The folder gets the checkpoint, `curve.jsonl` (one line every 25 steps), `evaluation.json` (the table of the demo world) and
//! `evaluation-tool-choice.json`.

use super::recipe::{Recipe, fresh, sizes};
use super::vocabulary::{speech, tool_choice_tokens};
use crate::train::batch::Batch;
use crate::train::curve::Curve;
use crate::train::optimizer::Optimizer;
use crate::train::tool_choice::{Student, check as check_tools, losses as tool_losses, write_evaluation};
use crate::train::{TrainError, checkpoint, loss, table};
use crate::world::Rng;
use serde_json::Map;
use std::path::{Path, PathBuf};

const CURVE_EVERY: usize = 25;
const CHECK_EVERY: usize = 125;

/// What to train and where to put it.
#[derive(Clone, Debug)]
pub struct BothOptions {
    /// Everything random in the run comes from this.
    pub seed: u64,
    /// The folder for the results; made if missing.
    pub out: PathBuf,
    /// Steps of the run, each with a batch of either world.
    pub n_steps: usize,
}

/// Trains a model, writes its files and evaluates them; `progress` is told, line by line, how it goes.
///
/// # Errors
///
/// [`TrainError`] if a file cannot be written or read back.
pub fn train_both(options: &BothOptions, mut progress: impl FnMut(&str)) -> Result<(), TrainError> {
    std::fs::create_dir_all(&options.out)?;
    let recipe = Recipe::new(options.n_steps.max(1));
    let mut rng = Rng::new(options.seed);
    let model = fresh(&mut rng)?;
    let tokens = tool_choice_tokens();
    let student = Student { model: &model, tokens: &tokens };
    let mut optimizer = Optimizer::new(&model)?;
    let mut curve = Curve::create(&options.out.join("curve.jsonl"))?;
    let last = recipe.tools.n_steps - 1;
    for step in 0..=last {
        let stage = recipe.demo.stage(step);
        let plan = stage.plan(&mut rng);
        let of_demo = loss::losses(&model, &Batch::draw(&plan, &mut rng)?, plan.arm)?;
        let of_tools = tool_losses(student, &recipe.tools.batch(step, &mut rng))?;
        let total = (of_demo.total(stage.write_weight)? + of_tools.total()?)?;
        optimizer.step(&total.backward()?, recipe.rates(step))?;
        of_demo.note(plan.arm, &mut curve)?;
        of_tools.note(&mut curve)?;
        let is_checked = step % CHECK_EVERY == 0 || step == last;
        if is_checked {
            checkpoint::save(&model, &speech(), &options.out)?;
        }
        if step % CURVE_EVERY == 0 || step == last {
            let mut checks = Map::new();
            if is_checked {
                checks.extend(table::check(&model)?);
                checks.extend(check_tools(student)?);
            }
            progress(&curve.point(step, stage.name, checks)?);
        }
    }
    evaluate_both(&options.out, progress)
}

/// Reads the checkpoint in `folder` and writes what it has learned of either world; `progress` is told what it says.
///
/// # Errors
///
/// [`TrainError`] if the checkpoint cannot be read or a file cannot be written.
pub fn evaluate_both(folder: &Path, mut progress: impl FnMut(&str)) -> Result<(), TrainError> {
    let model = checkpoint::load(folder, sizes())?;
    let student = Student { model: &model, tokens: &tool_choice_tokens() };
    write_evaluation(student, &folder.join("evaluation-tool-choice.json"), &mut progress)?;
    table::write_table(&model, &folder.join("evaluation.json"), &mut progress)
}
