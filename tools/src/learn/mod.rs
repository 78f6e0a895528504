//! `lagdb learn --env demo`: what a memory is worth over a stream of tasks, arm by arm, with intervals.
//!
//! In every stream a small model lives sixty tasks of the [tool-choice world](crate::tool_choice): it recalls strategy
//! items by search, acts, judges its own attempts, writes items, and remembers all of it in one transaction. Which tool works
//! for what is drawn anew for every stream, so nothing but memory can raise its success. Streams run side by side, each
//! with a database of its own.
//!
//! | question | file |
//! |---|---|
//! | what differs between the arms? | `arm.rs`, `settings.rs` |
//! | what happens in a stream? | `life.rs`, `start.rs`, `environment.rs`, `dialect.rs`, `judge.rs`, `recorder.rs` |
//! | who acts? | `mind.rs`, `symbolic.rs` |
//! | what is kept, and gone on from after a kill? | `stream.rs`, `journal.rs` |
//! | what was found? | `report.rs`, `mean.rs`, `budget.rs`, `plot.rs` |

mod arm;
mod budget;
mod dialect;
mod environment;
mod journal;
mod judge;
mod life;
mod mean;
mod mind;
mod plot;
mod recorder;
mod report;
mod settings;
mod start;
mod stream;
mod symbolic;
#[cfg(test)]
mod tests;

pub use arm::{Arm, SHORT};
pub use dialect::ToolDialect;
pub use environment::ToolEnvironment;
pub use mean::Mean;
pub use mind::embedded_model;
pub use report::Report;
pub use stream::{Stream, StreamKey};
pub use symbolic::Symbolic;

use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::output::Output;
use crate::parallel;
use journal::{Header, Journal};
use lagdb::Error;
use life::Life;
use mind::Minds;
use std::path::PathBuf;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Arms to live, by name or short name; all if none is said. `--help` lists them.
    #[arg(long, value_delimiter = ',', long_help = arms_help())]
    pub arms: Vec<String>,
    /// Streams of each arm, one a seed.
    #[arg(long, default_value_t = 5)]
    pub seeds: u64,
    /// The first seed; the others follow it.
    #[arg(long, default_value_t = 1)]
    pub first_seed: u64,
    /// Tasks of a stream: a number given to `--tasks`.
    #[arg(skip = 60usize)]
    pub tasks: usize,
    /// A file for what is found, one JSON line a stream.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Go on from the file.
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// A file for the drawing of success over the stream (SVG).
    #[arg(long)]
    pub plot: Option<PathBuf>,
    /// A model directory instead of the embedded model (it must speak the world's sixty words).
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Threads that live streams.
    #[arg(long)]
    pub threads: Option<usize>,
}

impl Options {
    fn arms(&self) -> Result<Vec<Arm>, Failure> {
        if self.arms.is_empty() {
            return Ok(Arm::all());
        }
        let named = |name: &String| {
            Arm::named(name).ok_or_else(|| Error::invalid("--arms", format!("{name:?} is none of {}", names())).into())
        };
        self.arms.iter().map(named).collect()
    }

    fn n_threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or(cores.min(8)).max(1)
    }
}

/// The names of all arms.
fn names() -> String {
    Arm::all().iter().map(|arm| arm.name).collect::<Vec<_>>().join(", ")
}

fn arms_help() -> String {
    let short: Vec<String> = SHORT.iter().map(|(short, long)| format!("{short} ({long})")).collect();
    format!("Arms to live, separated by commas; all if none is said: {}. Short names: {}", names(), short.join(", "))
}

/// Lives all streams that are not in the journal yet and prints the report.
///
/// # Errors
/// When a name is no arm's, when the database, the model or a file fails, or on Ctrl-C; streams that had ended are in the
/// journal.
pub fn run(options: &Options, output: Output) -> Outcome {
    interrupt::listen();
    let report = measure(options, output)?;
    if let Some(path) = &options.plot {
        std::fs::write(path, plot::svg(&report))?;
    }
    Ok(output.print(|| report.text(), || report.json())?)
}

fn measure(options: &Options, output: Output) -> Result<Report, Failure> {
    let arms = options.arms()?;
    if options.tasks == 0 || options.seeds == 0 {
        return Err(Error::invalid("--tasks", "at least one task of one stream is needed").into());
    }
    let minds = Minds::load(options.model.as_deref())?;
    let journal = match &options.out {
        Some(path) => Journal::open(path, options.resume, &Header::new(minds.fingerprint(), options.tasks))?,
        None => Journal::in_memory(),
    };
    let seeds: Vec<u64> = (0..options.seeds).map(|nth| options.first_seed.saturating_add(nth)).collect();
    // Seeds outside, arms inside: whoever stops early has whole rows of few streams.
    let mut open: Vec<(Arm, u64)> = Vec::new();
    for (seed, arm) in seeds.iter().flat_map(|seed| arms.iter().map(move |arm| (*seed, *arm))) {
        if !journal.has(&StreamKey { arm: arm.name.to_owned(), seed }, &arm)? {
            open.push((arm, seed));
        }
    }
    let n_tasks: usize = open.iter().map(|(arm, _)| arm.length * options.tasks).sum();
    let bar = output.progress(n_tasks as u64, "living");
    parallel::map(options.n_threads(), &open, |(arm, seed)| {
        let life = Life::new(arm, *seed, arm.length * options.tasks, minds.get(arm.mind))?;
        journal.note(life.live(&|| bar.inc(1))?)
    })?;
    bar.finish_and_clear();
    Ok(Report::new(&arms, &seeds, &journal.into_streams()))
}
