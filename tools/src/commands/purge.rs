//! `lagdb purge`: erases a trajectory and everything derived from it, and prints the receipt.

use super::ScopeOptions;
use crate::failure::Outcome;
use crate::output::{Output, bytes};
use lagdb::{Id, PurgeReceipt};
use serde_json::json;

/// What to erase.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    scope: ScopeOptions,
    /// The id of the trajectory.
    trajectory: u64,
}

/// Purges and prints the receipt.
///
/// # Errors
/// When the database cannot be opened or written.
pub fn run(options: &Options, output: Output) -> Outcome {
    let receipt = options.scope.open()?.purge(Id::from_u64(options.trajectory))?;
    output.print(|| text(&receipt), || json(&receipt))?;
    Ok(())
}

fn text(receipt: &PurgeReceipt) -> String {
    let id = receipt.trajectory;
    let mut lines = vec![match &receipt.digest {
        Some(digest) => {
            format!("trajectory {id} is gone (BLAKE3 of what it was: {digest}), from commit {} on", receipt.commit)
        }
        None => format!("there was no trajectory {id}; what was deleted before is erased"),
    }];
    lines.push(format!("{} judgments, {} KV logs", receipt.judgments, receipt.kv_logs.len()));
    lines.extend(receipt.strategies.iter().map(|id| format!("strategy {id} is gone: it had no other evidence")));
    lines.extend(receipt.stale.iter().map(|id| format!("strategy {id} is stale: distill it again")));
    lines.extend(receipt.files.iter().map(|file| format!("{} was given up or written anew", file.display())));
    lines.extend(receipt.waiting.iter().map(|file| format!("{} is still read", file.display())));
    lines.push(format!("{} -> {}", bytes(receipt.bytes_before), bytes(receipt.bytes_after)));
    lines.join("\n")
}

fn json(receipt: &PurgeReceipt) -> serde_json::Value {
    let names = |files: &[std::path::PathBuf]| files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
    let kv_logs = receipt.kv_logs.iter().map(|(model, n)| json!({ "fingerprint": model.to_string(), "bytes": n }));
    json!({
        "schema": "lagdb.purge/1", "trajectory": receipt.trajectory.as_u64(), "commit": receipt.commit.as_u64(),
        "digest": receipt.digest.map(|digest| digest.to_string()), "judgments": receipt.judgments,
        "kv_logs": kv_logs.collect::<Vec<_>>(),
        "strategies": receipt.strategies.iter().map(|id| id.as_u64()).collect::<Vec<_>>(),
        "stale": receipt.stale.iter().map(|id| id.as_u64()).collect::<Vec<_>>(),
        "files": names(&receipt.files), "waiting": names(&receipt.waiting),
        "bytes_before": receipt.bytes_before, "bytes_after": receipt.bytes_after,
    })
}
