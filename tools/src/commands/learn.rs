//! `lagdb learn`: what a memory is worth, measured: an agent that learns, or recorded trajectories without one.

use crate::failure::Outcome;
use crate::output::Output;
use crate::{questions, replay};

/// In which environment.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where tasks are lived.
    #[arg(long, value_enum)]
    env: Environment,
    #[command(flatten)]
    replay: replay::Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Environment {
    /// Recorded trajectories, no model.
    Replay,
    /// Two files of questions: what copying remembered answers is worth, no model.
    Questions,
}

/// Lives the tasks and prints what was found.
///
/// # Errors
/// As the environment fails.
pub fn run(options: &Options, output: Output) -> Outcome {
    match options.env {
        Environment::Replay => replay::run(&options.replay, output),
        Environment::Questions => questions::run(&options.replay, output),
    }
}
