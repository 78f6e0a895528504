//! `lagdb learn --env replay`: what a memory would have been worth to an agent whose trajectories were recorded. No model.
//!
//! All trajectories are stored as an agent would store them, one task a commit, judged by their rewards. Then every trial
//! in turn is the one that is yet to come: it is left out, and the memory of all others is asked what it would have told.
//!
//! | question | answered by |
//! |---|---|
//! | which trials, in which half, what did they do and when did they fail? | `trial` |
//! | what had the conversation shown before each action? | `shown` |
//! | what do recall and record cost? | `store` |
//! | from the first message alone, is a success at the same task found? | `retrieval`, `embedders` |
//! | does a lesson arrive before the action that fails, and how often for nothing? | `guard`, `lessons` |
//!
//! Tasks (rollout groups) are put in the order of their names; everything that is chosen is chosen on the first half, and
//! both halves are reported.

mod embedders;
mod guard;
mod lessons;
mod report;
mod retrieval;
mod shown;
mod store;
#[cfg(test)]
mod tests;
mod trial;

use trial::{Half, Trial};

use crate::failure::{Failure, Outcome};
use crate::import::{self, Entry, ImportedRecord, Place, StrategyLine};
use crate::interrupt;
use crate::output::Output;
use lagdb::Error;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What to replay.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "replay")]
pub struct Options {
    /// Recorded trajectories with rewards, several attempts at each task, and strategies that were distilled from them; or
    /// questions.
    pub files: Vec<PathBuf>,
    /// Where to keep the database (a directory that does not exist yet; --env qa goes on in one that does); without it, a
    /// temporary one is removed.
    #[arg(long)]
    pub db: Option<PathBuf>,
}

/// Stores, measures and prints.
///
/// # Errors
/// [`Failure::Input`] for what is not understood or has no rollout group; when the database cannot be written; on Ctrl-C,
/// [`Failure::Interrupted`].
pub fn run(options: &Options, output: Output) -> Outcome {
    interrupt::listen();
    let (text, json) = replayed(options, output)?;
    Ok(output.print(|| text, || json)?)
}

impl Options {
    /// Where the database goes: where the user said, or into `temporary`. What is there already is refused: it would be
    /// measured too.
    pub(crate) fn new_database(&self, temporary: &Path) -> Result<PathBuf, Failure> {
        match &self.db {
            Some(path) if path.exists() => {
                let detail = format!("{} exists; a replay makes a new database", path.display());
                Err(Error::invalid("--db", detail).into())
            }
            Some(path) => Ok(path.clone()),
            None => Ok(temporary.join("replay.lagdb")),
        }
    }
}

/// What is printed, for people and for programs.
fn replayed(options: &Options, output: Output) -> Result<(String, Value), Failure> {
    let (trials, lines) = read(&options.files)?;
    let directory = tempfile::tempdir()?;
    let stored = store::store(&options.new_database(directory.path())?, trials, output)?;
    let retrieval = retrieval::measure(&stored, output)?;
    let guard = guard::measure(&stored, &lines, output)?;
    let report = report::Report { stored: &stored, retrieval, guard };
    Ok((report.text(), report.json()))
}

/// A strategy and where it stands in its file.
type Placed = (Place, StrategyLine);

/// The trials, in the order of their tasks and attempts, and the strategies.
fn read(files: &[PathBuf]) -> Result<(Vec<Trial>, Vec<Placed>), Failure> {
    if files.is_empty() {
        return Err(Error::invalid("FILES", "a replay needs recorded trajectories").into());
    }
    let (mut recorded, mut lines) = (Vec::new(), Vec::new());
    for path in files {
        for Entry { place, record } in import::read(path)? {
            match record {
                ImportedRecord::Trajectory(trajectory) => recorded.push((place, trajectory)),
                ImportedRecord::Strategy(line) => lines.push((place, line)),
            }
        }
    }
    Ok((trial::trials(recorded)?, lines))
}

fn check_interrupt() -> Result<(), Failure> {
    if interrupt::requested() {
        return Err(Failure::Interrupted("nothing was printed".to_owned()));
    }
    Ok(())
}
