//! Reading what others recorded: trajectories and strategies as JSON lines, and tool-agent conversations.
//!
//! | file | recognised by | read by |
//! |---|---|---|
//! | JSON lines of trajectories | an object with `task` | [`trajectory_line`] |
//! | JSON lines of strategies | an object with `title` | [`StrategyLine::parse`] |
//! | JSON lines of solved problems (GSM8K's `example_model_solutions`) | an object with `ground_truth` | [`gsm8k_line`] |
//! | a JSON array of conversations (tau-bench's `historical_trajectories`) | `[` first | [`tau_bench`] |
//!
//! Nothing is guessed: a line that is none of these is refused with its number.

mod gsm8k;
mod recording;
mod step_map;
mod strategy_line;
mod tau_bench;
mod trajectory_line;

pub use gsm8k::gsm8k_line;
pub use recording::{Call, Event, Recording, error_signature};
pub use step_map::StepMap;
pub use strategy_line::{EvidenceLine, StrategyLine};
pub use tau_bench::tau_bench;
pub use trajectory_line::trajectory_line;

use crate::failure::Failure;
use lagdb::{Judgment, Trajectory};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Label of trajectories whose evidence counts the messages of a recording, which the stored steps no longer show.
pub const COUNTS_MESSAGES: &str = "tau-bench";

/// One thing to import, and where it stood.
#[derive(Clone, Debug)]
pub struct Entry {
    /// File and line.
    pub place: Place,
    /// What it is.
    pub record: ImportedRecord,
}

/// A record as it stood in a file.
#[derive(Clone, Debug)]
pub enum ImportedRecord {
    /// A trajectory, with its judgment if it had one.
    Trajectory(ImportedTrajectory),
    /// A strategy, whose evidence is still to be resolved.
    Strategy(StrategyLine),
}

/// A trajectory as it was recorded.
#[derive(Clone, Debug)]
pub struct ImportedTrajectory {
    /// The trajectory.
    pub trajectory: Trajectory,
    /// What was said of it.
    pub judgment: Option<Judgment>,
    /// Which step each message of the recording became, for evidence that counts messages.
    pub steps: StepMap,
    /// The recording itself, where there is one.
    pub recording: Option<Recording>,
}

/// Where a record stood.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// `line 3`, or `element 3` of an array; from 1.
    pub part: String,
}

impl Place {
    /// A problem here.
    pub fn fail(&self, problem: impl std::fmt::Display) -> Failure {
        Failure::Input { path: self.path.clone(), part: self.part.clone(), problem: problem.to_string() }
    }

    fn line(path: &Path, number: usize) -> Self {
        Self { path: path.to_path_buf(), part: format!("line {number}") }
    }

    fn element(path: &Path, number: usize) -> Self {
        Self { path: path.to_path_buf(), part: format!("element {number}") }
    }
}

/// Reads one file, whichever of the known forms it has.
///
/// # Errors
/// [`Failure::Read`] for the file, [`Failure::Input`] for what is in it.
pub fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let bytes = std::fs::read(path).map_err(|source| Failure::Read { path: path.to_path_buf(), source })?;
    if bytes.trim_ascii_start().starts_with(b"[") {
        return tau_bench(path, &bytes);
    }
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut entries = Vec::new();
    for (i, line) in lines {
        let place = Place::line(path, i + 1);
        let records = read_line(line, i + 1).map_err(|problem| place.fail(problem))?;
        entries.extend(records.into_iter().map(|record| Entry { place: place.clone(), record }));
    }
    Ok(entries)
}

fn read_line(line: &[u8], number: usize) -> Result<Vec<ImportedRecord>, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
    match value.as_object() {
        Some(object) if object.contains_key("task") => Ok(vec![ImportedRecord::Trajectory(trajectory_line(value)?)]),
        Some(object) if object.contains_key("title") => Ok(vec![ImportedRecord::Strategy(StrategyLine::parse(value)?)]),
        Some(object) if object.contains_key("ground_truth") => {
            Ok(gsm8k_line(value, number)?.into_iter().map(ImportedRecord::Trajectory).collect())
        }
        Some(_) => {
            Err("neither a trajectory (no `task`) nor a strategy (no `title`) nor a solved problem (no `ground_truth`)"
                .to_owned())
        }
        None => Err("not a JSON object".to_owned()),
    }
}
