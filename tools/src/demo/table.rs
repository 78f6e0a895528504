//! The live table: how the arms compare so far, drawn on a terminal while streams are measured.

use super::report::table;
use super::tasks::N_LOGS;
use super::{Arm, Case, Cell};
use crate::output::{Output, bar_style};
use crate::world::Kind;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;

/// Rows of text below a progress bar; nothing where nobody looks.
pub(super) struct LiveTable {
    bar: ProgressBar,
    rows: Vec<ProgressBar>,
    cases: Mutex<Vec<Case>>,
    lines: MultiProgress,
}

impl LiveTable {
    /// A table to be filled by `n_streams` streams.
    pub(super) fn new(output: Output, n_streams: usize) -> Self {
        let visible = !output.quiet && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        let bar = lines.add(ProgressBar::new(n_streams as u64)).with_style(bar_style()).with_message("measuring");
        let text = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let n_rows = N_SHOWN.len() * (2 + Kind::ALL.len());
        let rows = (0..n_rows).map(|_| lines.add(ProgressBar::new(1).with_style(text.clone()))).collect();
        Self { bar, rows, cases: Mutex::new(Vec::new()), lines }
    }

    /// Adds the cases of one stream and draws.
    pub(super) fn add(&self, cases: &[Case]) {
        self.bar.inc(1);
        let Ok(mut all) = self.cases.lock() else { return };
        all.extend_from_slice(cases);
        if self.lines.is_hidden() {
            return;
        }
        for (row, line) in self.rows.iter().zip(N_SHOWN.into_iter().flat_map(|n_logs| drawn(&all, n_logs))) {
            row.set_message(line);
        }
    }

    /// Takes the table off the terminal; the report prints the final one.
    pub(super) fn finish(&self) {
        self.rows.iter().for_each(ProgressBar::finish_and_clear);
        self.bar.finish_and_clear();
    }
}

/// Numbers of recalled logs that are drawn.
const N_SHOWN: [usize; 2] = [N_LOGS[0], N_LOGS[2]];

fn drawn(cases: &[Case], n_logs: usize) -> Vec<String> {
    let cells: Vec<Cell> = Arm::ALL
        .into_iter()
        .flat_map(|arm| Kind::ALL.into_iter().map(move |kind| Cell::of(cases, arm, kind, n_logs)))
        .collect();
    let title = format!("{n_logs} recalled: % correct before any look-up (look-ups, wrong)");
    std::iter::once(title).chain(table(&cells, n_logs)).collect()
}
