//! `lagdb learn`: what a memory is worth, measured: an agent that learns, or recorded trajectories without one.

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::{learn, qa, questions, replay};
use lagdb::Error;
use std::path::PathBuf;

/// In which environment.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Where tasks are lived.
    #[arg(long, value_enum)]
    env: Environment,
    /// With --env demo how many tasks a stream has (60 unless said), otherwise a file of tasks; may be said again.
    #[arg(long, value_name = "NUMBER|FILE")]
    tasks: Vec<String>,
    #[command(flatten, next_help_heading = "With --env demo and --env qa")]
    demo: learn::Options,
    #[command(flatten, next_help_heading = "With --env replay, questions and qa")]
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
    /// One or two files of questions, answered by a model of yours (--model) with and without a memory.
    Qa,
}

/// Lives the tasks and prints what was found.
///
/// # Errors
/// As the environment fails.
pub fn run(options: &Options, output: Output) -> Outcome {
    match options.env {
        Environment::Demo => learn::run(&options.demo()?, output),
        Environment::Replay => replay::run(&options.files(), output),
        Environment::Questions => questions::run(&options.files(), output),
        Environment::Qa => qa::run(&options.files(), &options.demo, output),
    }
}

impl Options {
    /// Whether a model of the user's answers, one question at a time.
    pub fn speaks_with_a_large_model(&self) -> bool {
        self.env == Environment::Qa
    }

    fn demo(&self) -> Result<learn::Options, Failure> {
        let mut demo = self.demo.clone();
        for tasks in &self.tasks {
            let invalid = || Error::invalid("--tasks", format!("{tasks:?} is no number of tasks"));
            demo.tasks = tasks.parse().map_err(|_| invalid())?;
        }
        Ok(demo)
    }

    fn files(&self) -> replay::Options {
        let mut replay = self.replay.clone();
        replay.files.extend(self.tasks.iter().map(PathBuf::from));
        replay
    }
}
