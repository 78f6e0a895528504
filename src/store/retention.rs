//! The retention window: commits that stay readable after they are no longer the latest.
//!
//! Each is a pinned view, as a snapshot has one: what it sees is neither overwritten in the catalog nor unlinked. The
//! window begins with the open and ends with the close; a purge empties it, for nothing may answer with what was purged.
//!
//! Of commits that shared a sync, redb knows the last one only. What the others saw is the commit before all of them with
//! the layers of the first of them above it.

use super::{Pin, Store};
use crate::catalog::{Layer, Rows};
use crate::{CommitId, Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};

/// The commits of the window, oldest first.
pub(super) type Retained = VecDeque<Past>;

/// A commit of the window.
#[derive(Debug)]
pub(super) struct Past {
    commit: CommitId,
    rows: Rows,
    /// Its own, and one for each commit that it shared its sync with: those have segments of their own.
    pins: Vec<Pin>,
    /// One for each commit that it shared its sync with and that came before it.
    layers: Vec<Arc<Layer>>,
}

impl Past {
    /// What `commit` saw, which came later and shared its sync with `next`.
    fn rows_at(&self, commit: CommitId, next: Option<&Self>) -> Option<Rows> {
        let n_later = usize::try_from(commit.as_u64().checked_sub(self.commit.as_u64())?).ok()?;
        let rows = self.rows.share()?;
        if n_later == 0 {
            return Some(rows);
        }
        let next = next.filter(|next| next.commit.as_u64() - next.layers.len() as u64 == self.commit.as_u64() + 1)?;
        Some(rows.staged_on(next.layers.get(..n_later)?.to_vec()))
    }
}

impl Store {
    /// Takes the latest commit into the window, and those that shared its sync, whose `layers` these are; the oldest leave
    /// when it is full.
    pub(super) fn retain(&self, layers: &[Arc<Layer>]) -> Result<()> {
        let n = self.options.retained;
        if n == 0 {
            return Ok(());
        }
        let (rows, commit, pin) = self.read()?;
        let before = layers.split_last().map_or(&[][..], |(_, before)| before);
        let earlier = (1..=before.len() as u64).filter_map(|n| commit.as_u64().checked_sub(n));
        let pins = earlier.map(|commit| self.pins.pin_again(CommitId::from_u64(commit))).chain([pin]).collect();
        let mut retained = self.retained();
        retained.push_back(Past { commit, rows, pins, layers: before.to_vec() });
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
            let first = retained.front().map_or(latest, |first| first.commit);
            Error::invalid("commit", format!("{commit} is outside of the retention window, {first} to {latest}"))
        };
        if commit > latest {
            return Err(outside());
        }
        let behind = retained.partition_point(|past| past.commit <= commit);
        let past = behind.checked_sub(1).and_then(|at| retained.get(at)).ok_or_else(outside)?;
        let rows = past.rows_at(commit, retained.get(behind)).ok_or_else(outside)?;
        Ok((rows, commit, self.pins.pin_again(commit)))
    }

    /// Ends the window; it begins anew with the latest commit.
    pub(super) fn forget_retained(&self) {
        let leaving: Vec<_> = self.retained().drain(..).collect();
        self.let_go(leaving);
    }

    fn let_go(&self, leaving: Vec<Past>) {
        for Past { rows, mut pins, .. } in leaving {
            drop(rows);
            pins.iter_mut().for_each(|pin| self.unpin(pin));
        }
    }

    fn retained(&self) -> MutexGuard<'_, Retained> {
        self.retained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
