//! `lagdb backup` and `lagdb restore`: a copy of one commit that can be checked, and a database made of it.

use super::DatabaseOptions;
use crate::failure::Outcome;
use crate::output::{Output, bytes};
use lagdb::{Backup, maintenance};
use serde_json::json;
use std::path::PathBuf;

/// What to back up, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct BackupOptions {
    #[command(flatten)]
    database: DatabaseOptions,
    /// The directory of the backup; it must be empty or new.
    to: PathBuf,
}

/// What to restore, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct RestoreOptions {
    /// The database directory; it must be empty or new.
    #[arg(long)]
    db: PathBuf,
    /// The directory of the backup.
    from: PathBuf,
}

/// Backs up the latest commit.
///
/// # Errors
/// When the database is damaged or open elsewhere, or the backup cannot be written.
pub fn backup(options: &BackupOptions, output: Output) -> Outcome {
    let bar = output.progress(0, "backup");
    let done = options.database.open()?.backup(&options.to, &mut |progress| {
        bar.set_message(progress.stage);
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    })?;
    bar.finish_and_clear();
    print(done, "backed up", "lagdb.backup/1", output)
}

/// Makes a database of a backup, and verifies it to the last page.
///
/// # Errors
/// When the backup is damaged, or the database cannot be written.
pub fn restore(options: &RestoreOptions, output: Output) -> Outcome {
    let bar = output.progress(0, "restore");
    let mut progress = |progress: lagdb::Progress| {
        bar.set_message(progress.stage);
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let done = maintenance::restore(&options.from, &options.db, &mut progress)?;
    super::verify::require_ok(&maintenance::verify(&options.db, &mut progress)?)?;
    bar.finish_and_clear();
    print(done, "restored and verified", "lagdb.restore/1", output)
}

fn print(done: Backup, word: &str, schema: &str, output: Output) -> Outcome {
    output.print(
        || format!("commit {} {word}: {} files, {}", done.commit, done.files, bytes(done.bytes)),
        || json!({ "schema": schema, "commit": done.commit.as_u64(), "files": done.files, "bytes": done.bytes }),
    )?;
    Ok(())
}
