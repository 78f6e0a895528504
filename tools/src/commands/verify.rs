//! `lagdb verify`: checks every checksum, record and page; works when the database does not open.

use crate::failure::{Failure, Outcome};
use crate::output::{Output, bytes};
use lagdb::maintenance::{self, Problem, VerifyReport};
use serde_json::json;
use std::path::PathBuf;

/// What to check.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The database directory.
    #[arg(long)]
    pub db: PathBuf,
}

/// Checks and prints every problem found.
///
/// # Errors
/// [`Failure::ProblemsFound`] when something is wrong (exit code 3); `Locked` when it is open elsewhere.
pub fn run(options: &Options, output: Output) -> Outcome {
    let bar = output.progress(0, "verifying");
    let report = maintenance::verify(&options.db, &mut |progress| {
        bar.set_message(progress.stage);
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    })?;
    bar.finish_and_clear();
    output.print(|| text(&report), || json(&report))?;
    require_ok(&report)
}

/// Fails where problems were found.
///
/// # Errors
/// [`Failure::ProblemsFound`].
pub fn require_ok(report: &VerifyReport) -> Outcome {
    let n = report.problems.len();
    if report.is_sound() { Ok(()) } else { Err(Failure::ProblemsFound(format!("verify found {n} problem(s)"))) }
}

fn text(report: &VerifyReport) -> String {
    let mut lines: Vec<String> = report.problems.iter().map(line).collect();
    lines.extend(
        report.orphans.iter().map(|file| format!("{}: no commit names it; the next open unlinks it", file.display())),
    );
    lines.push(format!(
        "{}: {} catalog rows, {} segments ({}) checked",
        if report.is_sound() { "ok" } else { "DAMAGED" },
        report.rows,
        report.segments,
        bytes(report.segment_bytes)
    ));
    lines.join("\n")
}

/// `file: at byte n: what is wrong`.
fn line(Problem { file, offset, what }: &Problem) -> String {
    let place = offset.map_or_else(String::new, |offset| format!("at byte {offset}: "));
    format!("{}: {place}{what}", file.display())
}

fn json(report: &VerifyReport) -> serde_json::Value {
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|p| json!({ "file": p.file.display().to_string(), "offset": p.offset, "what": p.what }))
        .collect();
    let orphans: Vec<String> = report.orphans.iter().map(|file| file.display().to_string()).collect();
    json!({
        "schema": "lagdb.verify/1", "ok": report.is_sound(), "problems": problems, "orphans": orphans, "rows": report.rows,
        "segments": report.segments, "segment_bytes": report.segment_bytes,
    })
}
