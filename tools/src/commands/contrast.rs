//! `lagdb contrast`: the best success for some words beside the failure nearest to it, and where the two part.

use super::ScopeOptions;
use super::search::{near, shown, text};
use crate::failure::Outcome;
use crate::output::Output;
use serde_json::json;

/// About what.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    scope: ScopeOptions,
    /// What the task is about.
    #[arg(required = true)]
    words: Vec<String>,
}

/// Prints the pair, if there is one.
///
/// # Errors
/// When the database cannot be read.
pub fn run(options: &Options, output: Output) -> Outcome {
    let snapshot = options.scope.open()?.snapshot()?;
    let Some(contrast) = snapshot.contrast(&near(&options.words.join(" ")))? else {
        output.print(|| "no pair found".to_owned(), || json!({ "schema": "lagdb.contrast/1", "pair": null }))?;
        return Ok(());
    };
    let pair = [shown(&snapshot, &contrast.success)?, shown(&snapshot, &contrast.failure)?];
    let parted = || contrast.diverges_at.map_or_else(|| "nowhere".to_owned(), |step| format!("at step {step}"));
    output.print(
        || format!("{}\nthey part {}", text(&pair), parted()),
        || {
            json!({
                "schema": "lagdb.contrast/1",
                "pair": { "success": pair[0], "failure": pair[1], "diverges_at": contrast.diverges_at },
            })
        },
    )?;
    Ok(())
}
