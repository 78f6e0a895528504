//! Erasing: after it no file holds a byte of what no row names.
//!
//! A purge takes rows away in one commit, together with a mark that erasing is due. Then living KV logs move out of every
//! segment that has something dead in it, and the catalog is written anew, without the mark: redb keeps the bytes of
//! removed rows in free pages until it needs them. A crash in between leaves the mark, and the next open goes on.
//!
//! What a file system, a disk or a backup keeps of files that were unlinked is out of reach. Files that a snapshot still
//! reads go when it ends.

use super::Store;
use super::moving::segment_uses;
use crate::catalog::{Key, Rows, Table};
use crate::{Result, SegmentId};
use std::collections::BTreeSet;

/// In which form the mark is: it has no payload.
const MARK_SCHEMA: u16 = 1;

/// Notes, in a transaction that takes rows away, that their bytes are to be erased.
pub(crate) fn mark_erasing(rows: &Rows) -> Result<()> {
    rows.put(Table::Meta, &Key::erasing(), MARK_SCHEMA, &[])
}

impl Store {
    /// Erases whatever no row names, and says which segments were given up for it.
    pub(crate) fn erase(&self) -> Result<BTreeSet<SegmentId>> {
        self.forget_retained();
        let (rows, commit, mut pin) = self.read()?;
        let uses = segment_uses(&rows);
        drop(rows);
        self.unpin(&mut pin);
        let dead: BTreeSet<_> = uses?.into_iter().filter(|(_, of)| of.has_dead()).map(|(id, _)| id).collect();
        if !dead.is_empty() {
            self.move_out(&dead, &mut |_| Ok(()))?;
        }
        self.vectors.clear(commit)?;
        self.rewrite_catalog(true, &mut |_| {})?;
        self.forget_retained();
        self.retain()?;
        Ok(dead)
    }

    /// Goes on where a crash stopped an erasing.
    pub(super) fn finish_erasing(&self) -> Result<()> {
        let is_due = self.catalog().begin_read()?.get(Table::Meta, &Key::erasing(), |_| Ok(()))?.is_some();
        if is_due { self.erase().map(drop) } else { Ok(()) }
    }
}
