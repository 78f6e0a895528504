//! `lagdb train-demo-model`: trains the demo model from a seed.

use crate::output::Output;
use crate::train::{
    BothOptions, ToolChoiceOptions, TrainError, TrainOptions, evaluate_both, evaluate_checkpoint, evaluate_tool_choice,
    train, train_both, train_tool_choice,
};
use std::path::PathBuf;

/// Steps of the tool-choice run and of the one for both worlds, where none are given.
const TOOL_CHOICE_STEPS: usize = 1500;
const BOTH_STEPS: usize = 2400;

/// Which model to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// The one that uses KV logs, in the world of people and firms.
    MultiHop,
    /// The one that acts, judges and writes strategy items, in the tool-choice world.
    ToolChoice,
    /// One for both worlds: a try, which is not shipped.
    Both,
}

/// Train a demo model from a seed.
///
/// Uses one core well and several badly: set RAYON_NUM_THREADS=1 where other work runs.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Everything random in the run comes from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Which model.
    #[arg(long, value_enum, default_value = "multi-hop")]
    world: Which,
    /// Steps of the run, where it is not the multi-hop one [default: tool-choice 1500, both 2400]
    #[arg(long)]
    steps: Option<usize>,
    /// Finish the tool-choice checkpoint in this folder instead of starting afresh.
    #[arg(long)]
    finish: Option<PathBuf>,
    /// The folder for the checkpoint, the learning curve and the evaluation.
    #[arg(long)]
    out: PathBuf,
    /// Train the control, which never sees a KV log.
    #[arg(long, conflicts_with = "evaluate_only")]
    plain: bool,
    /// Train nothing: evaluate the checkpoint that stands in the folder.
    #[arg(long)]
    evaluate_only: bool,
}

/// Runs the command; progress goes to standard error.
///
/// # Errors
///
/// [`TrainError`] if the run stopped early.
pub fn run(args: Args, output: Output) -> Result<(), TrainError> {
    let progress = |line: &str| output.say(line);
    let Args { seed, out, steps, .. } = args;
    match (args.world, args.evaluate_only) {
        (Which::MultiHop, true) => evaluate_checkpoint(&out, progress),
        (Which::MultiHop, false) => train(&TrainOptions { seed, out, plain: args.plain }, progress),
        (Which::ToolChoice, true) => evaluate_tool_choice(&out, progress),
        (Which::ToolChoice, false) => {
            let n_steps = steps.unwrap_or(TOOL_CHOICE_STEPS);
            train_tool_choice(&ToolChoiceOptions { seed, out, n_steps, finish: args.finish }, progress)
        }
        (Which::Both, true) => evaluate_both(&out, progress),
        (Which::Both, false) => train_both(&BothOptions { seed, out, n_steps: steps.unwrap_or(BOTH_STEPS) }, progress),
    }
}
