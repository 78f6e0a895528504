//! Where the command's words go: data to standard output, everything else to standard error.
//!
//! With `--json` a command prints exactly one JSON object (or one per line for streams of hits); without it, text
//! for people. Progress bars appear on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};

/// How a command reports.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Print JSON on standard output.
    pub json: bool,
    /// No progress, no remarks.
    pub quiet: bool,
}

impl Output {
    /// Prints `text` for people or `json` for programs.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn print(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> serde_json::Value) -> io::Result<()> {
        let mut line = if self.json { json().to_string() } else { text() };
        if !line.ends_with('\n') {
            line.push('\n');
        }
        io::stdout().lock().write_all(line.as_bytes())
    }

    /// Says `words` on standard error, unless quiet.
    pub fn say(&self, words: impl AsRef<str>) {
        if !self.quiet {
            // A closed standard error is no reason to stop the work.
            let _ = writeln!(io::stderr().lock(), "{}", words.as_ref());
        }
    }

    /// A progress bar over `n` things named `what`; invisible where nobody looks.
    pub fn progress(&self, n: u64, what: &'static str) -> ProgressBar {
        let visible = !self.quiet && io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        ProgressBar::with_draw_target(Some(n), target).with_style(bar_style()).with_message(what)
    }
}

/// How bars look.
pub(crate) fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg:>12} [{bar:30}] {pos}/{len} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// Bytes as people read them.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
