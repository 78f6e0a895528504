//! `lagdb train-demo-model`: trains the demo model from a seed.

use crate::output::Output;
use crate::train::{
    ToolChoiceOptions, TrainError, TrainOptions, evaluate_checkpoint, evaluate_tool_choice, train, train_tool_choice,
};
use std::path::PathBuf;

/// Which model to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// The one that uses KV logs, in the world of people and firms.
    MultiHop,
    /// The one that acts, judges and writes strategy items, in the tool-choice world.
    ToolChoice,
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
    /// Steps of the tool-choice run.
    #[arg(long, default_value_t = 1600)]
    steps: usize,
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
    if args.world == Which::ToolChoice {
        if args.evaluate_only {
            return evaluate_tool_choice(&args.out, progress);
        }
        let options = ToolChoiceOptions { seed: args.seed, out: args.out, n_steps: args.steps, finish: args.finish };
        return train_tool_choice(&options, progress);
    }
    if args.evaluate_only {
        return evaluate_checkpoint(&args.out, progress);
    }
    let options = TrainOptions { seed: args.seed, out: args.out, plain: args.plain };
    train(&options, progress)
}
