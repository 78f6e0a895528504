//! The retention window: commits that stay readable after they are no longer the latest.
//!
//! Each is a pinned view, as a snapshot has one: what it sees is neither overwritten in the catalog nor unlinked. The
//! window begins with the open and ends with the close; a purge empties it, for nothing may answer with what was purged.

use super::{Pin, Store};
use crate::catalog::Rows;
use crate::{CommitId, Error, Result};
use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError};

/// The commits of the window, oldest first.
pub(super) type Retained = VecDeque<(CommitId, Rows, Pin)>;

impl Store {
    /// Takes the latest commit into the window; the oldest leaves when it is full.
    pub(super) fn retain(&self) -> Result<()> {
        let n = self.options.retained;
        if n == 0 {
            return Ok(());
        }
        let (rows, commit, pin) = self.read()?;
        let mut retained = self.retained();
        retained.push_back((commit, rows, pin));
        // The latest one is not yet in need of the window.
        let n_leaving = retained.len().saturating_sub(n + 1);
        let leaving: Vec<_> = retained.drain(..n_leaving).collect();
        drop(retained);
        self.let_go(leaving);
        Ok(())
    }

    /// The state of the database at `commit`, pinned once more.
    pub(crate) fn read_as_of(&self, commit: CommitId) -> Result<(Rows, CommitId, Pin)> {
        let (rows, latest, mut pin) = self.read()?;
        if commit == latest {
            return Ok((rows, latest, pin));
        }
        drop(rows);
        self.unpin(&mut pin);
        let retained = self.retained();
        let outside = || {
            let first = retained.front().map_or(latest, |(first, ..)| *first);
            Error::invalid("commit", format!("{commit} is outside of the retention window, {first} to {latest}"))
        };
        if commit > latest {
            return Err(outside());
        }
        let (at, rows, _) = retained.iter().rev().find(|(at, ..)| *at <= commit).ok_or_else(outside)?;
        let pin = self.pins.pin_again(*at);
        Ok((rows.share().ok_or_else(outside)?, *at, pin))
    }

    /// Ends the window; it begins anew with the latest commit.
    pub(super) fn forget_retained(&self) {
        let leaving: Vec<_> = self.retained().drain(..).collect();
        self.let_go(leaving);
    }

    fn let_go(&self, leaving: Vec<(CommitId, Rows, Pin)>) {
        for (_, rows, mut pin) in leaving {
            drop(rows);
            self.unpin(&mut pin);
        }
    }

    fn retained(&self) -> MutexGuard<'_, Retained> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
