//! Expiry: what is over is taken out. Searches pass over it from the moment on; this is for the bytes, and for the record.
//!
//! A trajectory is deleted, with all that belongs to it, as [`Transaction::delete`](crate::Transaction::delete) does. A
//! strategy that is active stays as history: its status becomes [`Status::Expired`]. A few at a time, so that other writers get their turn.

use crate::db::Scope;
use crate::record::{Status, Strategy, Trajectory};
use crate::{CommitId, Database, Result};
use std::ops::AddAssign;

/// Records of a kind that one transaction takes out.
const AT_ONCE: usize = 1024;

/// What was taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// Trajectories that were deleted.
    pub trajectories: u64,
    /// Strategies that are expired now.
    pub strategies: u64,
    /// The latest commit that did it, if anything was over.
    pub commit: Option<CommitId>,
}

impl AddAssign for Expiry {
    fn add_assign(&mut self, later: Self) {
        self.trajectories += later.trajectories;
        self.strategies += later.strategies;
        self.commit = later.commit.or(self.commit);
    }
}

impl Database {
    /// Takes out of every scope what is over at `now_ms`, in durable commits of up to some thousand records; none if
    /// nothing is over.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a row is damaged, [`Error::Io`](crate::Error::Io) when the disk
    /// refuses, [`Error::Invalid`](crate::Error::Invalid) when this thread has a transaction open. What was committed
    /// before stays.
    pub fn expire(&self, now_ms: u64) -> Result<Expiry> {
        let mut all = Expiry::default();
        for name in self.admin().scopes()? {
            let scope = self.scope(&name)?;
            loop {
                let some = expire_some(&scope, now_ms)?;
                all += some;
                if some.commit.is_none() {
                    break;
                }
            }
        }
        Ok(all)
    }
}

fn expire_some(scope: &Scope, now_ms: u64) -> Result<Expiry> {
    let snapshot = scope.snapshot()?.at_ms(now_ms);
    let (trajectories, strategies) = (snapshot.over::<Trajectory>(AT_ONCE)?, snapshot.over::<Strategy>(AT_ONCE)?);
    drop(snapshot);
    let mut expired = Expiry::default();
    if trajectories.is_empty() && strategies.is_empty() {
        return Ok(expired);
    }
    let mut tx = scope.begin()?;
    for id in trajectories {
        expired.trajectories += u64::from(tx.delete(id)?);
    }
    for id in strategies {
        // It may have been deleted or superseded meanwhile.
        if tx.get(id)?.is_some_and(|strategy| strategy.status == Status::Active) {
            tx.set_status(id, Status::Expired)?;
            expired.strategies += 1;
        }
    }
    expired.commit = Some(tx.commit()?);
    Ok(expired)
}
