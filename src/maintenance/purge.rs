//! Purge: a trajectory and everything derived from it leaves the database and its files, and a receipt says so.

use crate::catalog::CATALOG;
use crate::db::Scope;
use crate::record::{Strategy, Trajectory};
use crate::segment::file_name;
use crate::{CommitId, Id, Result};
use lagdb_format::Digest;
use std::path::PathBuf;

/// What a purge removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeReceipt {
    /// The trajectory that was to go.
    pub trajectory: Id<Trajectory>,
    /// The commit from which on nobody finds it.
    pub commit: CommitId,
    /// BLAKE3 of the trajectory as it was stored; `None` when it was gone already. Its bytes were erased all the same.
    pub digest: Option<Digest>,
    /// Its judgments.
    pub judgments: u64,
    /// Its KV logs: whose they were (the fingerprint's id), and how many bytes.
    pub kv_logs: Vec<(Digest, u64)>,
    /// Strategies that had no other evidence; they are gone too.
    pub strategies: Vec<Id<Strategy>>,
    /// Strategies that had other evidence, or whose place was taken by one of those that are gone; they are stale until
    /// they are distilled again.
    pub stale: Vec<Id<Strategy>>,
    /// Files that were given up or written anew.
    pub files: Vec<PathBuf>,
    /// Of these, files that a snapshot still reads: they go when it ends.
    pub waiting: Vec<PathBuf>,
    /// Bytes of catalog and segments before.
    pub bytes_before: u64,
    /// Bytes of catalog and segments after.
    pub bytes_after: u64,
}

impl Scope {
    /// Removes a trajectory for good: its steps, judgments, exposures, embedding and KV logs, and the strategies whose only
    /// evidence it was. Strategies with other evidence lose this one and become stale. What other trajectories were offered
    /// of what is gone is forgotten. No file of the database holds
    /// a byte of it afterwards, nor of anything else that was deleted: segments with dead KV logs and the catalog are
    /// written anew.
    ///
    /// Idempotent: purging what was only deleted, or purged already, erases what is left of it. A crash on the way is
    /// made good at the next open. Backups made before keep what they have.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when this thread has a transaction open.
    /// [`Error::Corrupt`](crate::Error::Corrupt) when something that is to be moved is damaged,
    /// [`Error::Io`](crate::Error::Io) when the disk refuses: then the trajectory may be out of reach and its bytes still
    /// be there; purge again, or open the database again.
    pub fn purge(&self, id: Id<Trajectory>) -> Result<PurgeReceipt> {
        let store = self.store();
        let sizes = || -> Result<u64> {
            let (rows, _, mut pin) = store.read()?;
            let segments = crate::store::segment_rows(&rows);
            drop(rows);
            store.unpin(&mut pin);
            Ok(store.catalog_bytes()? + segments?.iter().map(|(_, row)| row.len).sum::<u64>())
        };
        let bytes_before = sizes()?;
        let mut tx = self.begin()?;
        let purged = tx.purge(id)?;
        let commit = tx.commit()?;
        let erased = store.erase()?;
        let names = |ids: &mut dyn Iterator<Item = crate::SegmentId>| ids.map(|id| file_name(id).into()).collect();
        let waiting: Vec<PathBuf> = names(&mut store.waiting().into_iter().filter(|id| erased.contains(id)));
        let mut files: Vec<PathBuf> = names(&mut erased.into_iter());
        files.push(CATALOG.into());
        Ok(PurgeReceipt {
            trajectory: id,
            commit,
            digest: purged.digest.map(Digest),
            judgments: purged.n_judgments,
            kv_logs: purged.kv_logs.iter().map(|log| (Digest(log.fingerprint), log.n_bytes)).collect(),
            strategies: purged.strategies,
            stale: purged.stale,
            files,
            waiting,
            bytes_before,
            bytes_after: sizes()?,
        })
    }
}
