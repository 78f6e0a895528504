//! `lagdb demo`: an agent that gets better because it remembers, measured in front of you.
//!
//! Three phases. *Live*: in every stream the agent solves nine source tasks and remembers each in one transaction.
//! *Reopen*: the database is closed and opened again, so that nothing is left in memory. *Measure*: follow-up tasks that
//! need what the source tasks saw are solved under every [`Arm`], with 1, 2, 4 and 8 trajectories recalled by search.
//!
//! Nothing is fixed beforehand: every number comes from the run that prints it.

mod arm;
mod live;
mod measure;
mod model;
mod report;
mod story;
mod table;
mod tasks;

pub use arm::Arm;
pub use live::Stream;
pub use measure::{Case, Verdict};
pub use model::embedded_model;
pub use report::{Cell, Report};
pub use tasks::{FollowUpTask, N_LOGS, SourceTaskEnvironment};

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::world::{Word, text};
use crate::{commands, interrupt, serving};
use lagdb::agent::{Agent, Capture, Decoding, Policy, ServedGenerator};
use lagdb::generate::Generator;
use lagdb::{Database, Error, Scope};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A response is six words; one that does not end is wrong.
const MAX_NEW_TOKENS: usize = 12;
/// Two look-ups at most are needed.
const MAX_STEPS: usize = 4;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Seeds of the worlds; every seed has its own streams.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3])]
    pub seeds: Vec<u64>,
    /// Streams per seed: one follow-up per kind and number of logs comes from each.
    #[arg(long, default_value_t = 70)]
    pub streams: usize,
    /// Where to keep the database (a directory that does not exist yet); without it, a temporary one is removed.
    #[arg(long)]
    pub db: Option<PathBuf>,
    /// A model directory instead of the embedded demo model (it must speak the demo's vocabulary).
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// How conversations are served.
    #[command(flatten)]
    pub serving: serving::Flags,
    /// Threads that solve tasks.
    #[arg(long)]
    pub threads: Option<usize>,
}

impl Options {
    /// Threads to use: as asked, else as many as the machine has, at most 8.
    fn n_threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or(cores.min(8)).max(1)
    }

    /// Twice the same seed, or a database that is there already, would put twins of every task into one scope, and the
    /// control would find the log that was taken away from it.
    fn check(&self) -> lagdb::Result<()> {
        if self.seeds.iter().collect::<BTreeSet<_>>().len() < self.seeds.len() {
            return Err(Error::invalid("--seeds", "a seed is named twice"));
        }
        if self.seeds.is_empty() || self.streams == 0 {
            return Err(Error::invalid("--streams", "at least one stream of one seed is needed"));
        }
        match &self.db {
            Some(path) if path.exists() => {
                Err(Error::invalid("--db", format!("{} exists; the demo makes a new database", path.display())))
            }
            _ => Ok(()),
        }
    }

    fn generator(&self) -> Result<Generator, Failure> {
        match &self.model {
            Some(directory) => Ok(Generator::load(directory)?),
            None => Ok(embedded_model()?),
        }
    }
}

/// Runs the demo and prints its report.
///
/// # Errors
/// When the database, the model or the output fails, when the database does not verify, or on Ctrl-C; what was
/// committed until then stays committed.
pub fn run(options: &Options, output: Output) -> Outcome {
    options.check()?;
    interrupt::listen();
    let generator = options.generator()?;
    let temporary = tempfile::tempdir()?;
    let path = options.db.clone().unwrap_or_else(|| temporary.path().join("demo.lagdb"));
    output.say(story::introduction(&generator));
    let result = show(options, &generator, &path, output);
    if options.db.is_none() && matches!(result, Err(Failure::Interrupted(_))) {
        output.say(format!("what was committed is in {}", temporary.keep().join("demo.lagdb").display()));
    }
    result
}

/// Lives, reopens, measures and reports.
fn show(options: &Options, generator: &Generator, path: &Path, output: Output) -> Outcome {
    let streams = live::live(options, generator, &options.serving.database().open(path)?, output)?;
    // Closed here: from now on memory is what is on the disk.
    let database = Database::options().create(false).open(path)?;
    output.say(format!("wrote, closed and reopened {}", path.display()));

    if let Some(stream) = streams.first() {
        output.say(story::tell(&agent(options, generator, database.scope(&stream.scope)?, None), generator, stream)?);
    }
    let cases = measure::measure(options, generator, &database, &streams, output)?;
    let verification = database.verify(&mut |_| {})?;
    let report = Report::new(options, generator, &cases, &database, &streams, &verification)?;
    output.print(|| report.text(), || report.json())?;
    commands::verify::require_ok(&verification)
}

/// The agent of one stream: its memory is a scope of its own. It stops to let the world answer a `lookup`.
fn agent(options: &Options, generator: &Generator, scope: Scope, capture: Option<Capture>) -> Agent {
    let stop = vec![text(&[Word::LOOKUP])];
    let decoding = Decoding { stop, special: true, ..Decoding::greedy(MAX_NEW_TOKENS) };
    let policy = Policy { decoding, max_steps: MAX_STEPS, capture, ..Policy::default() };
    Agent::new(ServedGenerator::new(generator.clone(), options.serving.serving()), scope, policy)
}
