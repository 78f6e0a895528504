//! `lagdb train-demo-model`: trains the demo model from a seed.

use crate::output::Output;
use crate::train::{TrainError, TrainOptions, evaluate_checkpoint, train};
use std::path::PathBuf;

/// Train the demo model from a seed.
///
/// Uses one core well and several badly: set RAYON_NUM_THREADS=1 where other work runs.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Everything random in the run comes from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
    if args.evaluate_only {
        return evaluate_checkpoint(&args.out, progress);
    }
    let options = TrainOptions { seed: args.seed, out: args.out, plain: args.plain };
    train(&options, progress)
}
