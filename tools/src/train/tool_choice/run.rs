//! One training run of the tool-choice model, from a seed to a folder of files.
//!
//! The folder gets the checkpoint, `curve.jsonl` (one line every 25 steps) and `evaluation.json`.

use super::evaluate::{check, evaluate};
use super::loss::losses;
use super::preset::fresh;
use super::recipe::{Recipe, SIZES};
use super::student::{Student, WordTokens};
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
    let tokens = WordTokens::alone();
    let student = Student { model: &model, tokens: &tokens };
    let mut optimizer = Optimizer::new(&model)?;
    let mut curve = Curve::create(&options.out.join("curve.jsonl"))?;
    let last = recipe.n_steps - 1;
    for step in 0..=last {
        let losses = losses(student, &recipe.batch(step, &mut rng))?;
        optimizer.step(&losses.total()?.backward()?, recipe.rates(step))?;
        losses.note(&mut curve)?;
        let is_checked = step % CHECK_EVERY == 0 || step == last;
        if is_checked {
            checkpoint::save(&model, &speech(), &options.out)?;
        }
        if step % CURVE_EVERY == 0 || step == last {
            let checks = if is_checked { check(student)? } else { Map::new() };
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
pub fn evaluate_tool_choice(folder: &Path, progress: impl FnMut(&str)) -> Result<(), TrainError> {
    let model = checkpoint::load(folder, SIZES)?;
    let student = Student { model: &model, tokens: &WordTokens::alone() };
    write_evaluation(student, &folder.join("evaluation.json"), progress)
}

/// Writes what `student` has learned to `file`.
pub(crate) fn write_evaluation(
    student: Student<'_>,
    file: &Path,
    mut progress: impl FnMut(&str),
) -> Result<(), TrainError> {
    let mut text = serde_json::to_string_pretty(&evaluate(student)?)?;
    progress(&text);
    text.push('\n');
    Ok(std::fs::write(file, text)?)
}

fn speech() -> Speech {
    Speech { tokenizer: tokenizer_json(), bos: Word::BOS.id(), end: Word::END.id(), pad: Word::PAD.id() }
}
