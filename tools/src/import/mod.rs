//! Reading what others recorded: trajectories and strategies as JSON lines, and tool-agent conversations.
//!
//! | file | recognised by | read by |
//! |---|---|---|
//! | JSON lines of trajectories | an object with `task` | [`trajectory_line`] |
//! | JSON lines of strategies | an object with `title` | [`StrategyLine::parse`] |
//! | a JSON array of conversations (tau-bench's `historical_trajectories`) | `[` first | [`tau_bench`] |
//!
//! Nothing is guessed: a line that is none of these is refused with its number.

mod step_map;
mod strategy_line;
mod tau_bench;
mod trajectory_line;

pub use step_map::StepMap;
pub use strategy_line::{EvidenceLine, StrategyLine};
pub use tau_bench::tau_bench;
pub use trajectory_line::trajectory_line;

use crate::failure::Failure;
use lagdb::{Judgment, Trajectory};
use serde_json::Value;
use std::path::Path;

/// One thing to import, and the line of its file it stood on.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Line number, from 1 (of a JSON array: the index of the element, from 1).
    pub line: usize,
    /// What it is.
    pub record: ImportedRecord,
}

/// A record as it stood in a file.
#[derive(Clone, Debug)]
pub enum ImportedRecord {
    /// A trajectory, with its judgment if it had one.
    Trajectory {
        /// The trajectory.
        trajectory: Trajectory,
        /// What was said of it.
        judgment: Option<Judgment>,
        /// Which step each message of the recording became, for evidence that counts messages.
        steps: StepMap,
    },
    /// A strategy, whose evidence is still to be resolved.
    Strategy(StrategyLine),
}

/// Reads one file, whichever of the known forms it has.
///
/// # Errors
/// [`Failure::Read`] for the file, [`Failure::Line`] for what is in it.
pub fn read(path: &Path) -> Result<Vec<Entry>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Failure::Read { path: path.to_path_buf(), source })?;
    if text.trim_start().starts_with('[') {
        return tau_bench(path, &text);
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(i, line)| read_line(line).map_err(|problem| at(path, i + 1, problem)).map(|record| Entry { line: i + 1, record })).collect()
}

fn read_line(line: &str) -> Result<ImportedRecord, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
    match value.as_object() {
        Some(object) if object.contains_key("task") => trajectory_line(value),
        Some(object) if object.contains_key("title") => StrategyLine::parse(value).map(ImportedRecord::Strategy),
        Some(_) => Err("neither a trajectory (no `task`) nor a strategy (no `title`)".to_owned()),
        None => Err("not a JSON object".to_owned()),
    }
}

/// A problem on a line.
fn at(path: &Path, line: usize, problem: impl Into<String>) -> Failure {
    Failure::Line { path: path.to_path_buf(), line, problem: problem.into() }
}
