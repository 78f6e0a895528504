//! `lagdb compact`: rewrites live row groups together and gives back the space of what was deleted.

use super::DatabaseOptions;
use crate::failure::Outcome;
use crate::output::{Output, bytes};
use serde_json::json;

/// What to compact.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Compacts and prints what it brought.
///
/// # Errors
/// When the database cannot be opened or written; it is unharmed then.
pub fn run(options: &Options, output: Output) -> Outcome {
    let bar = output.progress(0, "compacting");
    let done = options.database.open()?.compact(&mut |progress| {
        bar.set_message(progress.stage);
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    })?;
    bar.finish_and_clear();
    output.print(
        || {
            format!(
                "{} segments ({}) -> {} segments ({})",
                done.segments_before,
                bytes(done.bytes_before),
                done.segments_after,
                bytes(done.bytes_after)
            )
        },
        || {
            json!({
                "schema": "lagdb.compact/1",
                "segments_before": done.segments_before, "segments_after": done.segments_after,
                "bytes_before": done.bytes_before, "bytes_after": done.bytes_after,
            })
        },
    )?;
    Ok(())
}
