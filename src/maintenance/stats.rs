//! How much a database holds, and how much of it is dead.

use crate::catalog::row::KvLogRows;
use crate::catalog::{CATALOG, Key, Rows, Table, row};
use crate::store::{Store, segment_rows};
use crate::{CommitId, Database, Error, Result};
use std::sync::Arc;

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
}

impl Database {
    /// Counts everything.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a row is damaged, [`Error::Io`] when the disk refuses.
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

fn count(store: &Arc<Store>, rows: &Rows, commit: CommitId) -> Result<Stats> {
    let segments = segment_rows(rows)?;
    let segment_bytes = segments.iter().map(|(_, row)| row.len).sum();
    // What is no row group (header, footer, tail) is neither living nor dead.
    let framing: u64 = segments.iter().map(|(_, row)| row.footer_bytes + FRAMING_BYTES).sum();
    let (kv_logs, live_bytes) = count_kv_logs(rows)?;
    let io = |source| Error::io("measure", CATALOG, source);
    Ok(Stats {
        commit,
        scopes: rows.count(Table::Scopes)?,
        trajectories: rows.count(Table::Trajectories)?,
        strategies: rows.count(Table::Strategies)?,
        judgments: rows.count(Table::Judgments)?,
        embeddings: rows.count(Table::Embeddings)?,
        kv_logs,
        segments: segments.len() as u64,
        catalog_bytes: store.medium.open(CATALOG).and_then(|file| file.len()).map_err(io)?,
        segment_bytes,
        live_bytes,
        dead_bytes: segment_bytes.saturating_sub(live_bytes + framing),
    })
}

/// Bytes before the first row group.
const FRAMING_BYTES: u64 = lagdb_format::segment::HEADER_BYTES as u64;

fn count_kv_logs(rows: &Rows) -> Result<(u64, u64)> {
    let (mut n, mut n_bytes) = (0, 0);
    rows.scan(Table::KvLogs, &Key::all(), &mut |key, opened| {
        let found: KvLogRows = row::decode(Table::KvLogs, key, opened)?;
        n += found.logs.len() as u64;
        n_bytes += found.logs.iter().map(|log| log.n_bytes).sum::<u64>();
        Ok(())
    })?;
    Ok((n, n_bytes))
}
