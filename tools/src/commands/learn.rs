//! `lagdb learn`: what a memory is worth, measured: an agent that learns, or recorded trajectories without one.

use crate::failure::Outcome;
use crate::output::Output;
use crate::{learn, questions, replay};

/// In which environment.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Where tasks are lived.
    #[arg(long, value_enum)]
    env: Environment,
    #[command(flatten, next_help_heading = "With --env demo")]
    demo: learn::Options,
    #[command(flatten, next_help_heading = "With --env replay")]
    replay: replay::Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Environment {
    /// The tool-choice world, with the small model inside the executable.
    Demo,
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
        Environment::Demo => learn::run(&options.demo, output),
        Environment::Replay => replay::run(&options.replay, output),
        Environment::Questions => questions::run(&options.replay, output),
    }
}
