//! Writing the catalog anew: all living rows into a new file, which takes the name of the old one.
//!
//! What was deleted is in no byte of the new file. Whoever still reads the old one goes on reading it, without a name.

use super::{Store, read_state};
use crate::catalog::{CATALOG, Catalog, Key, Rows, Table, value};
use crate::index::vector::INDEX;
use crate::segment::{SEGMENTS, file_name};
use crate::{CommitId, Error, Result};
use std::io;

/// What a catalog is written anew for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anew {
    /// To become smaller; if it would not, the old one stays.
    ToShrink,
    /// To keep nothing of what was deleted. The mark of something to erase goes with it if that `is_done`: then nothing is
    /// left in segments either.
    ToErase { is_done: bool },
}

impl Store {
    /// Bytes of the catalog's file.
    pub(crate) fn catalog_bytes(&self) -> Result<u64> {
        let measured = self.medium.open_to_read(CATALOG).and_then(|file| file.len());
        measured.map_err(|source| Error::io("measure", CATALOG, source))
    }

    /// Bytes of the catalog's pages that hold something at the latest commit; the others are free.
    pub(crate) fn used_catalog_bytes(&self) -> Result<(CommitId, u64)> {
        let (rows, commit, mut pin) = self.read()?;
        let used = Table::ALL.into_iter().map(|table| rows.used_bytes(table)).sum::<Result<u64>>();
        drop(rows);
        self.unpin(&mut pin);
        Ok((commit, used?))
    }

    /// Bytes of all files, those included that are given up and still there.
    pub(crate) fn file_bytes(&self) -> Result<u64> {
        let mut n_bytes = 0;
        for dir in ["", SEGMENTS, INDEX] {
            let names =
                self.medium.list(dir).map_err(|source| Error::io("list", self.medium.root().join(dir), source))?;
            for name in names {
                let name = if dir.is_empty() { name } else { format!("{dir}/{name}") };
                n_bytes += self.len_of(&name)?;
            }
        }
        Ok(n_bytes)
    }

    /// Bytes of segments that are given up and still there.
    pub(crate) fn waiting_bytes(&self) -> Result<u64> {
        self.waiting().into_iter().map(|id| self.len_of(&file_name(id))).sum()
    }

    /// Bytes of a file; 0 if it went meanwhile.
    fn len_of(&self, name: &str) -> Result<u64> {
        match self.medium.open_to_read(name).and_then(|file| file.len()) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(0),
            measured => measured.map_err(|source| Error::io("measure", name, source)),
        }
    }

    /// How much of a catalog of `catalog_bytes` may be in memory.
    pub(crate) fn catalog_cache_bytes(&self, catalog_bytes: u64) -> u64 {
        let cache_bytes = self.options.catalog_cache_bytes as u64;
        // One that is only read is a copy in memory, and redb keeps some of it once more.
        if self.options.read_only { catalog_bytes + cache_bytes } else { cache_bytes }
    }

    /// Writes the catalog anew. Writing waits meanwhile.
    ///
    /// `progress` is told how many rows are copied.
    pub(crate) fn rewrite_catalog(&self, anew: Anew, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let _turn = self.writer_turn()?;
        self.check_running()?;
        self.settle()?;
        let old = self.catalog().begin_read()?;
        let mut done = 0;
        let copy = |new: &Rows| {
            for table in Table::ALL {
                new.fill(table, &old, &mut |key, bytes| {
                    done += 1;
                    value::open(table, key, bytes)?;
                    let is_mark = table == Table::Meta && key == Key::erasing().as_bytes();
                    Ok(!is_mark || anew != (Anew::ToErase { is_done: true }))
                })?;
                progress(done);
            }
            read_state(new).map(drop)
        };
        let written = Catalog::write_beside(&*self.medium, copy);
        match written.and_then(|n_bytes| Ok(anew != Anew::ToShrink || n_bytes < self.catalog_bytes()?)) {
            Ok(true) => {}
            Ok(false) => return Catalog::forget_beside(&*self.medium),
            Err(error) => {
                // If this fails too, the next open forgets it.
                drop(Catalog::forget_beside(&*self.medium));
                return Err(error);
            }
        }
        let placed = Catalog::take_place(&*self.medium, self.options.catalog_cache_bytes);
        let catalog = placed.inspect_err(|error| self.stop(error))?;
        self.replace_catalog(catalog);
        Ok(())
    }
}
