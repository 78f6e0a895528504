//! What the demo found: one cell per arm, kind and number of logs, never averaged into one headline.

use super::tasks::{N_LOGS, kind_name};
use super::{Arm, Case, Options, Stream, Verdict};
use crate::failure::Failure;
use crate::output::bytes;
use crate::statistics::{median, round, wilson};
use crate::world::Kind;
use lagdb::Database;
use lagdb::format::KvRead;
use lagdb::generate::Generator;
use lagdb::maintenance::VerifyReport;
use serde_json::{Value, json};

/// The cases of one arm, kind and number of logs.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// What the agent was given of its past.
    pub arm: Arm,
    /// Where the needed fact can be found.
    pub kind: Kind,
    /// Trajectories asked of the search.
    pub n_logs: usize,
    /// Cases.
    pub n: usize,
    /// Share answered rightly before anything was looked up.
    pub correct: f64,
    /// Wilson 95 % interval of `correct`.
    pub ci95: [f64; 2],
    /// Share whose first act was to ask for a fact.
    pub lookup: f64,
    /// Share answered wrongly, or not at all, before anything was looked up.
    pub wrong: f64,
    /// Share right in the end, look-ups included.
    pub solved: f64,
    /// Share in which the search found the trajectory asked about.
    pub recalled: f64,
    /// Mean of 1 + look-ups.
    pub steps: f64,
    /// Mean of prompt tokens computed, over all steps.
    pub prefill_tokens: f64,
    /// Median time to search and read what is recalled, in ms.
    pub recall_ms_p50: f64,
    /// Median time to first token, recalling included, in ms.
    pub ttft_ms_p50: f64,
}

impl Cell {
    /// The cell of all `cases` with this arm, kind and number of logs.
    pub fn of(cases: &[Case], arm: Arm, kind: Kind, n_logs: usize) -> Self {
        let inside = |case: &&Case| (case.arm, case.kind, case.n_logs) == (arm, kind, n_logs);
        let cases: Vec<&Case> = cases.iter().filter(inside).collect();
        let n = cases.len();
        let count = |wanted: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| wanted(case)).count();
        let share = |wanted: &dyn Fn(&Case) -> bool| count(wanted) as f64 / n.max(1) as f64;
        let mean =
            |of: &dyn Fn(&Case) -> usize| cases.iter().map(|case| of(case)).sum::<usize>() as f64 / n.max(1) as f64;
        let n_correct = count(&|case| case.verdict == Verdict::Correct);
        Self {
            arm,
            kind,
            n_logs,
            n,
            correct: share(&|case| case.verdict == Verdict::Correct),
            ci95: wilson(n_correct, n),
            lookup: share(&|case| case.verdict == Verdict::Lookup),
            wrong: share(&|case| case.verdict == Verdict::Wrong),
            solved: share(&|case| case.solved),
            recalled: share(&|case| case.recalled),
            steps: mean(&|case| case.steps),
            prefill_tokens: mean(&|case| case.prefill_tokens),
            recall_ms_p50: median(cases.iter().map(|case| case.recall_ms).collect()),
            ttft_ms_p50: median(cases.iter().map(|case| case.ttft_ms).collect()),
        }
    }

    fn json(&self) -> Value {
        json!({
            "arm": self.arm.name(), "kind": kind_name(self.kind), "n_logs": self.n_logs, "n": self.n,
            "correct": round(self.correct, 4), "ci95": self.ci95.map(|x| round(x, 4)), "lookup": round(self.lookup, 4),
            "wrong": round(self.wrong, 4), "solved": round(self.solved, 4), "recalled": round(self.recalled, 4),
            "steps": round(self.steps, 3), "prefill_tokens": round(self.prefill_tokens, 1),
            "recall_ms_p50": round(self.recall_ms_p50, 3), "ttft_ms_p50": round(self.ttft_ms_p50, 3),
        })
    }
}

/// All cells, and what the memory cost.
pub struct Report {
    seeds: Vec<u64>,
    kv_numbers: &'static str,
    n_tasks: usize,
    n_solved: usize,
    cells: Vec<Cell>,
    logs: LogSizes,
    database_bytes: u64,
    verified: bool,
}

impl Report {
    /// Adds up a run.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new(
        options: &Options,
        generator: &Generator,
        cases: &[Case],
        database: &Database,
        streams: &[Stream],
        verification: &VerifyReport,
    ) -> Result<Self, Failure> {
        let stats = database.stats()?;
        let logs = LogSizes::of(generator, database, streams)?;
        let cells = Arm::ALL.into_iter().flat_map(|arm| {
            Kind::ALL
                .into_iter()
                .flat_map(move |kind| N_LOGS.into_iter().map(move |n_logs| Cell::of(cases, arm, kind, n_logs)))
        });
        Ok(Self {
            seeds: options.seeds.clone(),
            kv_numbers: options.serving.kv_name(generator),
            n_tasks: streams.iter().map(|stream| stream.sources.len()).sum(),
            n_solved: streams.iter().map(|stream| stream.n_solved).sum(),
            cells: cells.collect(),
            logs,
            database_bytes: stats.catalog_bytes + stats.segment_bytes,
            verified: verification.is_sound(),
        })
    }

    /// The JSON object `lagdb.demo/1`.
    pub fn json(&self) -> Value {
        json!({
            "schema": "lagdb.demo/1",
            "seeds": self.seeds,
            "kv_numbers": self.kv_numbers,
            "tasks": self.n_tasks,
            "tasks_solved": self.n_solved,
            "cells": self.cells.iter().map(Cell::json).collect::<Vec<_>>(),
            "bytes_per_log": {
                "tokens": round(self.logs.mean(self.logs.tokens), 2), "text": round(self.logs.mean(self.logs.text), 1),
                "kv_raw": round(self.logs.mean(self.logs.raw), 1), "kv_stored": round(self.logs.mean(self.logs.stored), 1),
            },
            "database_bytes": self.database_bytes,
            "verify": { "ok": self.verified },
        })
    }

    /// The tables, for people.
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} source tasks lived ({} solved); follow-ups answered before any look-up, % correct (look-ups, wrong):",
            self.n_tasks, self.n_solved
        )];
        for n_logs in N_LOGS {
            lines.push(format!("\n{n_logs} recalled"));
            lines.extend(table(&self.cells, n_logs));
        }
        lines.push(String::new());
        lines.extend(self.costs());
        lines.extend(REMARKS.map(str::to_owned));
        lines.join("\n")
    }

    fn costs(&self) -> Vec<String> {
        let mut lines = vec!["cost of an unspelled follow-up with 1 recalled, look-ups included:".to_owned()];
        let shown = |cell: &&Cell| cell.kind == Kind::Unspelled && cell.n_logs == 1;
        for cell in self.cells.iter().filter(shown) {
            lines.push(format!(
                "  {:<20} {:>5.2} steps {:>7.1} prompt tokens computed {:>8.2} ms to first token (median)",
                cell.arm.name(),
                cell.steps,
                cell.prefill_tokens,
                cell.ttft_ms_p50
            ));
        }
        lines.push(format!(
            "a log of {:.1} tokens: {} as text, {} as keys and values, {} stored; database {}; verify {}",
            self.logs.mean(self.logs.tokens),
            bytes(self.logs.mean(self.logs.text) as u64),
            bytes(self.logs.mean(self.logs.raw) as u64),
            bytes(self.logs.mean(self.logs.stored) as u64),
            bytes(self.database_bytes),
            if self.verified { "ok" } else { "FOUND PROBLEMS" }
        ));
        lines
    }
}

/// Sums over all stored KV logs.
#[derive(Clone, Copy, Debug, Default)]
struct LogSizes {
    n: u64,
    tokens: u64,
    /// Bytes of the tokens' text.
    text: u64,
    /// Bytes of keys and values, decoded.
    raw: u64,
    /// Bytes in segments.
    stored: u64,
}

impl LogSizes {
    fn of(generator: &Generator, database: &Database, streams: &[Stream]) -> Result<Self, Failure> {
        let mut sizes = Self::default();
        for stream in streams {
            let snapshot = database.scope(&stream.scope)?.snapshot()?;
            for (_, id) in &stream.sources {
                let Some(log) = snapshot.kv_log(*id, generator.fingerprint())? else { continue };
                sizes.n += 1;
                sizes.tokens += log.n_tokens() as u64;
                sizes.text += generator.decode(log.token_ids(), true)?.len() as u64;
                sizes.raw += log.row_group().decoded_bytes();
                sizes.stored += log.row_group().encoded_bytes();
            }
        }
        Ok(sizes)
    }

    fn mean(&self, sum: u64) -> f64 {
        sum as f64 / self.n.max(1) as f64
    }
}

/// What the numbers mean, and where memory does not help.
const REMARKS: [&str; 4] = [
    "own: the fact is in the follow-up's own prompt, so memory cannot help and must not hurt.",
    "spelled: the fact is written in the log, and its text does as well as its keys and values.",
    "unspelled: only keys and values can carry it; kv_of_another_task is the control that should fail.",
    "absent: known nowhere, so looking it up is right. Accuracy with look-ups allowed is `solved` in --json.",
];

/// The lines of the table for one number of logs: kinds down, arms across.
pub(super) fn table(cells: &[Cell], n_logs: usize) -> Vec<String> {
    let header = Arm::ALL.iter().fold(format!("{:<10}", ""), |line, arm| format!("{line} {:>18}", arm.name()));
    let row = |kind: Kind| {
        Arm::ALL.iter().fold(format!("{:<10}", kind_name(kind)), |line, arm| {
            let found = cells.iter().find(|cell| (cell.arm, cell.kind, cell.n_logs) == (*arm, kind, n_logs));
            format!("{line} {:>18}", found.map_or_else(String::new, summary))
        })
    };
    std::iter::once(header).chain(Kind::ALL.into_iter().map(row)).collect()
}

fn summary(cell: &Cell) -> String {
    if cell.n == 0 {
        return "-".to_owned();
    }
    let percent = |share: f64| 100.0 * share;
    format!("{:.1} ({:.0}, {:.0})", percent(cell.correct), percent(cell.lookup), percent(cell.wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_cell_add_up_to_one() {
        let case = |verdict| Case {
            arm: Arm::Kv,
            kind: Kind::Own,
            n_logs: 1,
            seed: 1,
            verdict,
            solved: true,
            recalled: true,
            steps: 1,
            prefill_tokens: 36,
            recall_ms: 0.5,
            ttft_ms: 2.0,
        };
        let cases = [Verdict::Correct, Verdict::Lookup, Verdict::Wrong, Verdict::Correct].map(case);
        let cell = Cell::of(&cases, Arm::Kv, Kind::Own, 1);
        assert_eq!((cell.correct, cell.lookup, cell.wrong), (0.5, 0.25, 0.25));
        assert_eq!(Cell::of(&cases, Arm::Text, Kind::Own, 1).n, 0);
    }
}
