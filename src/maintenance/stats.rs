//! How much a database holds, and how much of it is dead.

use crate::catalog::row::EvictedRow;
use crate::catalog::{Key, Rows, Table};
use crate::index::vector::IndexStats;
use crate::segment::FOOTER_CACHE_BYTES;
use crate::store::{SegmentUse, Store, is_erasing, segment_uses};
use crate::{CommitId, Database, Result};

/// What a database holds, over all scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The latest commit.
    pub commit: CommitId,
    /// Scopes.
    pub scopes: u64,
    /// Trajectories.
    pub trajectories: u64,
    /// Strategies.
    pub strategies: u64,
    /// Judgments of trajectories.
    pub judgments: u64,
    /// Embeddings of trajectories and strategies.
    pub embeddings: u64,
    /// KV logs.
    pub kv_logs: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of the catalog's file.
    pub catalog_bytes: u64,
    /// Bytes of all segment files.
    pub segment_bytes: u64,
    /// Of these, bytes of KV logs that can be read.
    pub live_bytes: u64,
    /// Of these, bytes of KV logs that were deleted or replaced; a compaction frees them.
    pub dead_bytes: u64,
    /// Whether a purge is not finished: bytes of what was purged may still be in the files. It goes on with the next
    /// purge, with the upkeep, and at the next open.
    pub is_erasing: bool,
    /// KV logs that were ever evicted to keep a budget.
    pub evicted_kv_logs: u64,
    /// Their bytes.
    pub evicted_bytes: u64,
    /// Bytes of the catalog that may be in memory ([`Options::catalog_cache_bytes`](crate::Options::catalog_cache_bytes)); of
    /// one that is only read, all of its file.
    pub catalog_cache_bytes: u64,
    /// Bytes of checksums of the catalog's blocks that may be in memory: four for each block of 4 KiB.
    pub checksum_bytes: u64,
    /// Bytes of footers of segments that may be in memory.
    pub footer_cache_bytes: u64,
    /// Vectors in memory and the graphs over them.
    pub index: IndexStats,
}

impl Database {
    /// Counts everything.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a row is damaged, [`Error::Io`](crate::Error::Io) when the disk
    /// refuses.
    pub fn stats(&self) -> Result<Stats> {
        let store = self.store();
        store.check_running()?;
        let (rows, commit, mut pin) = store.read()?;
        let stats = count(store, &rows, commit);
        drop(rows);
        store.unpin(&mut pin);
        stats
    }
}

fn count(store: &Store, rows: &Rows, commit: CommitId) -> Result<Stats> {
    let uses = segment_uses(rows)?;
    let catalog_bytes = store.catalog_bytes()?;
    let evicted = rows.get_row::<EvictedRow>(Table::Meta, &Key::evicted())?.unwrap_or_default();
    Ok(Stats {
        commit,
        scopes: rows.count(Table::Scopes)?,
        trajectories: rows.count(Table::Trajectories)?,
        strategies: rows.count(Table::Strategies)?,
        judgments: rows.count(Table::Judgments)?,
        embeddings: rows.count(Table::Embeddings)?,
        kv_logs: uses.values().map(|of| u64::from(of.n_living)).sum(),
        segments: uses.len() as u64,
        catalog_bytes,
        segment_bytes: uses.values().map(|of| of.row.len).sum(),
        live_bytes: uses.values().map(|of| of.living_bytes).sum(),
        dead_bytes: uses.values().map(SegmentUse::dead_bytes).sum(),
        is_erasing: is_erasing(rows)?,
        evicted_kv_logs: evicted.kv_logs,
        evicted_bytes: evicted.bytes,
        catalog_cache_bytes: store.catalog_cache_bytes(catalog_bytes),
        checksum_bytes: catalog_bytes.div_ceil(1024),
        footer_cache_bytes: FOOTER_CACHE_BYTES,
        index: store.vectors.stats(),
    })
}
