//! One training run of the tool-choice model, from a seed to a folder of files.
//!
//! The folder gets the checkpoint, `curve.jsonl` (one line every 25 steps) and `evaluation.json`.

use super::evaluate::{check, evaluate};
use super::loss::losses;
use super::preset::fresh;
use super::recipe::{Recipe, SIZES};
use crate::tool_choice::{Word, tokenizer_json};
use crate::train::TrainError;
use crate::train::checkpoint::{self, Speech};
use crate::train::curve::Curve;
use crate::train::optimizer::Optimizer;
use crate::world::Rng;
use serde_json::Map;
use std::path::{Path, PathBuf};

const CURVE_EVERY: usize = 25;
const CHECK_EVERY: usize = 125;

/// What to train and where to put it.
#[derive(Clone, Debug)]
pub struct ToolChoiceOptions {
    /// Everything random in the run comes from this.
    pub seed: u64,
    /// The folder for the results; made if missing.
    pub out: PathBuf,
    /// Steps of the run.
    pub n_steps: usize,
    /// A folder with a checkpoint to finish, instead of a fresh model.
    pub finish: Option<PathBuf>,
}

/// Trains a model, writes its files and evaluates them; `progress` is told, line by line, how it goes.
///
/// # Errors
///
/// [`TrainError`] if a file cannot be written or read back.
pub fn train_tool_choice(options: &ToolChoiceOptions, mut progress: impl FnMut(&str)) -> Result<(), TrainError> {
    std::fs::create_dir_all(&options.out)?;
    let recipe = Recipe { n_steps: options.n_steps.max(1), is_finish: options.finish.is_some() };
    let mut rng = Rng::new(options.seed);
    let model = match &options.finish {
        Some(folder) => checkpoint::load(folder, SIZES)?,
        None => fresh(&mut rng)?,
    };
    let mut optimizer = Optimizer::new(&model)?;
    let mut curve = Curve::create(&options.out.join("curve.jsonl"))?;
    let last = recipe.n_steps - 1;
    for step in 0..=last {
        let losses = losses(&model, &recipe.batch(step, &mut rng))?;
        optimizer.step(&losses.total()?.backward()?, recipe.rates(step))?;
        curve.note("choice", losses.choice.to_scalar()?);
        for (name, loss) in [("verdict", &losses.verdict), ("written", &losses.written)] {
            if let Some(loss) = loss {
                curve.note(name, loss.to_scalar()?);
            }
        }
        let is_checked = step % CHECK_EVERY == 0 || step == last;
        if is_checked {
            checkpoint::save(&model, &speech(), &options.out)?;
        }
        if step % CURVE_EVERY == 0 || step == last {
            let checks = if is_checked { check(&model)? } else { Map::new() };
            progress(&curve.point(step, if recipe.is_finish { "finish" } else { "run" }, checks)?);
        }
    }
    evaluate_tool_choice(&options.out, progress)
}

/// Reads the checkpoint in `folder` and writes its `evaluation.json`; `progress` is told what it says.
///
/// # Errors
///
/// [`TrainError`] if the checkpoint cannot be read or the file cannot be written.
pub fn evaluate_tool_choice(folder: &Path, mut progress: impl FnMut(&str)) -> Result<(), TrainError> {
    let model = checkpoint::load(folder, SIZES)?;
    let mut text = serde_json::to_string_pretty(&evaluate(&model)?)?;
    progress(&text);
    text.push('\n');
    Ok(std::fs::write(folder.join("evaluation.json"), text)?)
}

fn speech() -> Speech {
    Speech { tokenizer: tokenizer_json(), bos: Word::BOS.id(), end: Word::END.id(), pad: Word::PAD.id() }
}
