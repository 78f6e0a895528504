//! The table of the model card: every kind of question, in every arm, with 1 to 8 logs.
//!
//! Checks during a run look at cases of one seed, the table at those of three others, which nothing was chosen by.

use super::batch::Arm;
use super::evaluate::{Cell, Counts, evaluate};
use super::model::Model;
use super::recipe::SIZES;
use super::{TrainError, checkpoint};
use crate::world::{Kind, Through};
use serde_json::{Map, Value, json};
use std::path::Path;

const CHECK_SEED: u64 = 777;
const TABLE_SEEDS: [u64; 3] = [101, 202, 303];
const CASES_A_SEED: usize = 70;

/// The share of unspelled facts recalled from KV logs.
pub(crate) fn check(model: &Model) -> Result<Map<String, Value>, TrainError> {
    let mut checks = Map::new();
    for (name, n_logs) in [("unspelled_kv_1", 1), ("unspelled_kv_4", 4), ("unspelled_kv_8", 8)] {
        let cell = Cell { kind: Kind::Unspelled, through: Through::Bridge, arm: Arm::Kv, n_logs, relevant: true };
        let counts = evaluate(model, cell, CHECK_SEED, 64)?;
        checks.insert(name.into(), json!(counts.correct as f64 / counts.n() as f64));
    }
    Ok(checks)
}

/// Reads the checkpoint in `folder` and writes its `evaluation.json`, one line a cell; `progress` is told each line.
///
/// # Errors
///
/// [`TrainError`] if the checkpoint cannot be read or the file cannot be written.
pub fn evaluate_checkpoint(folder: &Path, progress: impl FnMut(&str)) -> Result<(), TrainError> {
    write_table(&checkpoint::load(folder, SIZES)?, &folder.join("evaluation.json"), progress)
}

/// Writes the table of `model` to `file`.
pub(crate) fn write_table(model: &Model, file: &Path, mut progress: impl FnMut(&str)) -> Result<(), TrainError> {
    let mut lines = Vec::new();
    for cell in cells() {
        let line = table_line(model, cell)?.to_string();
        progress(&line);
        lines.push(line);
    }
    let text = format!("[\n{}\n]\n", lines.join(",\n"));
    Ok(std::fs::write(file, text)?)
}

fn cells() -> Vec<Cell> {
    let both = [Through::Bridge, Through::SamePerson];
    let mut cells = Vec::new();
    for kind in Kind::ALL {
        let ways = match kind {
            Kind::Spelled | Kind::Unspelled => &both[..],
            Kind::Own | Kind::Absent => &both[..1],
        };
        for &through in ways {
            let cell = |arm, n_logs, relevant| Cell { kind, through, arm, n_logs, relevant };
            cells.push(cell(Arm::None, 0, false));
            for arm in [Arm::Text, Arm::Kv, Arm::Full] {
                cells.extend([1, 2, 4, 8].map(|n_logs| cell(arm, n_logs, true)));
            }
            cells.extend([1, 4].map(|n_logs| cell(Arm::Kv, n_logs, false)));
        }
    }
    cells
}

fn table_line(model: &Model, cell: Cell) -> Result<Value, TrainError> {
    let mut sum = Counts::default();
    let mut correct_by_seed = Vec::new();
    for seed in TABLE_SEEDS {
        let counts = evaluate(model, cell, seed, CASES_A_SEED)?;
        correct_by_seed.push(counts.correct);
        sum.add(counts);
    }
    Ok(json!({
        "kind": format!("{:?}", cell.kind).to_lowercase(),
        "through": if cell.through == Through::Bridge { "bridge" } else { "same" },
        "arm": cell.arm.name(),
        "logs": cell.n_logs,
        "relevant": cell.relevant,
        "correct": sum.correct,
        "lookup": sum.lookup,
        "wrong": sum.wrong,
        "correct_by_seed": correct_by_seed,
    }))
}
