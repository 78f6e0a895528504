//! `lagdb info`: what a database holds and what it costs.

use super::DatabaseOptions;
use crate::failure::Outcome;
use crate::output::{Output, bytes};
use lagdb::{Debt, Stats};
use serde_json::json;

/// What to look at.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    database: DatabaseOptions,
}

/// Prints counts, sizes and scopes.
///
/// # Errors
/// When the database cannot be opened or read.
pub fn run(options: &Options, output: Output) -> Outcome {
    let database = options.database.open_to_read()?;
    let (stats, debt, scopes) = (database.stats()?, database.debt()?, database.admin().scopes()?);
    let spaces = match scopes.first() {
        Some(scope) => database.scope(scope)?.snapshot()?.spaces()?.iter().map(ToString::to_string).collect(),
        None => Vec::new(),
    };
    output.print(|| text(&stats, &debt, &scopes, &spaces), || json(&stats, &debt, &scopes, &spaces))?;
    Ok(())
}

fn text(stats: &Stats, debt: &Debt, scopes: &[String], spaces: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut lines = vec![
        format!("commit        {}", stats.commit.as_u64()),
        format!("trajectories  {} ({} judgments)", stats.trajectories, stats.judgments),
        format!("strategies    {}", stats.strategies),
        format!("embeddings    {}", stats.embeddings),
        format!("spaces        {}", spaces.join(", ")),
        format!("KV logs       {} in {} segments", stats.kv_logs, stats.segments),
        format!("catalog       {}", bytes(stats.catalog_bytes)),
        format!(
            "segments      {} ({} live, {} to give back by compact)",
            bytes(stats.segment_bytes),
            bytes(stats.live_bytes),
            bytes(stats.dead_bytes)
        ),
        format!("debt          {} in {} segments", bytes(debt.dead_bytes), debt.segments.len()),
        format!("purges        {}", if stats.is_erasing { "one is not finished" } else { "all finished" }),
        format!("evicted       {} KV logs, {} ever", stats.evicted_kv_logs, bytes(stats.evicted_bytes)),
        format!(
            "vectors       {} in memory, {} of them in graphs: {}; {} on disk",
            stats.index.vectors,
            stats.index.in_graphs,
            bytes(stats.index.bytes),
            bytes(stats.index.file_bytes)
        ),
        format!(
            "memory        at most {} of the catalog, {} of its checksums, {} of footers, {} of vectors",
            bytes(stats.catalog_cache_bytes),
            bytes(stats.checksum_bytes),
            bytes(stats.footer_cache_bytes),
            bytes(stats.index.limit_bytes)
        ),
        format!("scopes        {}", scopes.len()),
    ];
    lines.extend(scopes.iter().take(SHOWN).map(|scope| format!("              {scope}")));
    if scopes.len() > SHOWN {
        lines.push(format!("              ... and {} more (--json lists all)", scopes.len() - SHOWN));
    }
    lines.join("\n")
}

fn json(stats: &Stats, debt: &Debt, scopes: &[String], spaces: &[String]) -> serde_json::Value {
    let debt_of = |of: &lagdb::maintenance::SegmentDebt| json!({ "segment": of.segment.as_u64(), "live_bytes": of.live_bytes, "dead_bytes": of.dead_bytes });
    let debts: Vec<_> = debt.segments.iter().map(debt_of).collect();
    json!({
        "schema": "lagdb.info/1", "commit": stats.commit.as_u64(), "trajectories": stats.trajectories,
        "judgments": stats.judgments, "strategies": stats.strategies, "embeddings": stats.embeddings,
        "kv_logs": stats.kv_logs, "segments": stats.segments, "catalog_bytes": stats.catalog_bytes,
        "segment_bytes": stats.segment_bytes, "live_bytes": stats.live_bytes, "dead_bytes": stats.dead_bytes,
        "is_erasing": stats.is_erasing,
        "evicted_kv_logs": stats.evicted_kv_logs, "evicted_bytes": stats.evicted_bytes,
        "catalog_cache_bytes": stats.catalog_cache_bytes, "checksum_bytes": stats.checksum_bytes,
        "footer_cache_bytes": stats.footer_cache_bytes, "debt": debts, "scopes": scopes, "spaces": spaces,
        "index": {
            "vectors": stats.index.vectors, "in_graphs": stats.index.in_graphs, "bytes": stats.index.bytes,
            "file_bytes": stats.index.file_bytes, "limit_bytes": stats.index.limit_bytes,
            "building": stats.index.building, "built": stats.index.built, "failed": stats.index.failed,
            "discarded": stats.index.discarded,
        },
    })
}
