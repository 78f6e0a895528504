//! Purge: a trajectory and everything derived from it leaves the database and its files, and a receipt says so.

use crate::catalog::CATALOG;
use crate::db::Scope;
use crate::record::{Strategy, Trajectory};
use crate::segment::file_name;
use crate::{CommitId, Id, Result, SegmentId};
use lagdb_format::Digest;
use std::collections::BTreeSet;
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
    /// Of these, files that are still there, also such as were given up before. What a snapshot still reads goes when it
    /// ends; what the disk did not let go is tried again by the next purge or compaction, and at the next open.
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
    /// Idempotent: purging what was only deleted, or purged already, erases what is left of it. A crash or an error on the
    /// way is made good at the next open, by the upkeep or by the next purge; until then
    /// [`Stats::is_erasing`](crate::Stats::is_erasing) says so. Backups made before keep what they have. Waits for a
    /// compaction, an upkeep's move or another purge that is under way.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when this thread has a transaction open.
    /// [`Error::Corrupt`](crate::Error::Corrupt) when something that is to be moved is damaged: then all is erased but
    /// the segment where it lies. [`Error::Io`](crate::Error::Io) when the disk refuses: then the trajectory may be out of
    /// reach and its bytes still be there; purge again, or open the database again.
    pub fn purge(&self, id: Id<Trajectory>) -> Result<PurgeReceipt> {
        let store = self.store();
        let sizes = || -> Result<u64> {
            let (rows, _, mut pin) = store.read()?;
            let segments = crate::store::segment_rows(&rows);
            drop(rows);
            store.unpin(&mut pin);
            Ok(store.catalog_bytes()? + segments?.iter().map(|(_, row)| row.len).sum::<u64>())
        };
        // Refused before it waits for somebody who waits for this thread.
        drop(store.writer_turn()?);
        // From before the commit: what another move copies meanwhile would be erased by nobody.
        let turn = store.moving_turn();
        let bytes_before = sizes()?;
        let mut tx = self.begin()?;
        let purged = tx.purge(id)?;
        let commit = tx.commit()?;
        let mut erased = store.erase(&turn)?;
        drop(turn);
        let waiting: BTreeSet<_> = store.waiting().into_iter().collect();
        erased.extend(&waiting);
        let names = |ids: BTreeSet<SegmentId>| ids.into_iter().map(|id| file_name(id).into()).collect();
        let (mut files, waiting): (Vec<PathBuf>, Vec<PathBuf>) = (names(erased), names(waiting));
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
