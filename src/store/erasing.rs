//! Erasing: after it no file holds a byte of what no row names.
//!
//! A purge takes rows away in one commit, together with a mark that erasing is due. Then living KV logs move out of every
//! segment that has something dead in it, and the catalog is written anew, without the mark: redb keeps the bytes of
//! removed rows in free pages until it needs them. A crash or an error in between leaves the mark; the next open, purge or
//! upkeep goes on. Nobody else moves KV logs from before the commit until the mark is gone.
//!
//! What a file system, a disk or a backup keeps of files that were unlinked is out of reach. Files that a snapshot still
//! reads go when it ends.

use super::Store;
use super::moving::{MovingTurn, segment_uses};
use super::rewriting::Anew;
use crate::catalog::{Key, Rows, Table};
use crate::{Error, Result, SegmentId};
use std::collections::BTreeSet;

/// In which form the mark is: it has no payload.
const MARK_SCHEMA: u16 = 1;

/// Notes, in a transaction that takes rows away, that their bytes are to be erased.
pub(crate) fn mark_erasing(rows: &Rows) -> Result<()> {
    rows.put(Table::Meta, &Key::erasing(), MARK_SCHEMA, &[])
}

/// Whether something is still to be erased.
pub(crate) fn is_erasing(rows: &Rows) -> Result<bool> {
    Ok(rows.get(Table::Meta, &Key::erasing(), |_| Ok(()))?.is_some())
}

impl Store {
    /// Erases whatever no row names, and says which segments were given up for it. What is marked while the caller has the
    /// turn was marked by the caller: a purge has it from before its commit.
    ///
    /// A damaged KV log stops only the segment it lies in. All else is erased; the mark stays, and the error is returned.
    pub(crate) fn erase(&self, turn: &MovingTurn<'_>) -> Result<BTreeSet<SegmentId>> {
        self.forget_retained();
        let (rows, commit, mut pin) = self.read()?;
        let uses = segment_uses(&rows);
        drop(rows);
        self.unpin(&mut pin);
        // Tries again what the disk did not let go.
        self.retire(commit, Vec::new());
        let dead: BTreeSet<_> = uses?.into_iter().filter(|(_, of)| of.has_dead()).map(|(id, _)| id).collect();
        let damage = self.move_out_of_sound(turn, &dead)?;
        self.vectors.clear(commit)?;
        self.rewrite_catalog(Anew::ToErase { is_done: damage.is_none() }, &mut |_| {})?;
        self.forget_retained();
        self.retain(&[])?;
        damage.map_or(Ok(dead), Err)
    }

    /// Moves what lives out of all of these at once; if something is damaged, out of each that is not. Returns the damage.
    fn move_out_of_sound(&self, turn: &MovingTurn<'_>, dead: &BTreeSet<SegmentId>) -> Result<Option<Error>> {
        let sorted_out = |moved: Result<_>| match moved {
            Ok(_) => Ok(None),
            Err(damage @ Error::Corrupt { .. }) => Ok(Some(damage)),
            Err(error) => Err(error),
        };
        let mut damage = sorted_out(self.move_out(turn, dead, &mut |_| Ok(())))?;
        if damage.is_some() && dead.len() > 1 {
            for id in dead {
                let of_one = sorted_out(self.move_out(turn, &BTreeSet::from([*id]), &mut |_| Ok(())))?;
                damage = of_one.or(damage);
            }
        }
        Ok(damage)
    }

    /// Goes on where a crash or an error stopped an erasing.
    pub(crate) fn finish_erasing(&self) -> Result<()> {
        let turn = self.moving_turn();
        if is_erasing(&self.catalog().begin_read()?)? { self.erase(&turn).map(drop) } else { Ok(()) }
    }

    /// Goes on with an erasing at the open. If that cannot be, because a KV log is damaged or the disk is full, the mark
    /// stays, for all to see: what is not damaged can be read.
    pub(super) fn try_to_finish_erasing(&self) -> Result<()> {
        if !is_erasing(&self.catalog().begin_read()?)? {
            return Ok(());
        }
        match self.finish_erasing() {
            Err(error) if self.check_running().is_ok() => {
                tracing::warn!(%error, "a purge is not finished: bytes of what was purged may be left");
                Ok(())
            }
            finished => finished,
        }
    }
}
