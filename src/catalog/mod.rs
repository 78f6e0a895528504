//! The catalog: small rows about everything, in one redb database; its commit is the commit of lagdb.
//!
//! - Which tables are there, and what are their keys? [`schema`], [`key`].
//! - How does a row become bytes, and how is damage noticed? [`value`], [`row`].
//! - Which embedding spaces are there? [`spaces`].
//! - How are rows read and written inside a transaction? [`rows`]; and before redb has them? [`layer`]; and bitmaps, before
//!   they are rows? [`chunks`].
//! - How does redb reach the disk, and what if it panics? [`backend`], [`guard`].
//!
//! redb 4.4.0 does not check its page checksums when it reads (one in six flipped bits of a file gave a wrong value
//! in a measurement, one in 280 a panic). So every block of its file has a checksum, bound to its place, which is looked
//! at whenever the block is read; every value carries its own, bound to its table and key; and every call into redb is
//! guarded: a panic becomes [`Error::Corrupt`]. Catalogs of the first version have no checksums of blocks; they are read
//! as they are, and get them when a compaction writes the catalog anew.

pub(crate) mod backend;
mod chunks;
pub(crate) mod guard;
pub(crate) mod key;
pub(crate) mod layer;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod schema;
pub(crate) mod spaces;
pub(crate) mod value;

pub(crate) use chunks::{BITMAP_SCHEMA, bitmap_bytes};
pub(crate) use key::{Key, ScopeId};
pub(crate) use layer::Layer;
pub(crate) use rows::Rows;
pub(crate) use schema::Table;

use crate::medium::Medium;
use crate::{Error, Result};
use backend::{CatalogFile, Checked, Overlay, Strictness};
use guard::{guarded, guarded_drop};
use redb::{Database, Durability, StorageBackend};
use row::{DerivedRow, State};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The file, relative to the database directory.
pub(crate) const CATALOG: &str = "catalog.redb";
/// The file while it is being made; a start that finds it throws it away.
pub(crate) const NEW_CATALOG: &str = "catalog.new";
/// What redb may keep in memory of a file that is made, or checked over a copy.
pub(crate) const PASSING_CACHE_BYTES: usize = 32 << 20;

/// The open redb database.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// Taken out only to be dropped under guard.
    database: Option<Database>,
    /// Where damage was met.
    damaged: Arc<Mutex<BTreeSet<u64>>>,
}

impl Catalog {
    /// Makes a catalog without records, whole or not at all.
    pub(crate) fn create(medium: &dyn Medium) -> Result<()> {
        write_new(medium, |rows| {
            rows.put_row(Table::Meta, &Key::derived(), &DerivedRow::NOW)?;
            rows.put_row(Table::Meta, &Key::state(), &State::default())
        })?;
        name_durably(medium)
    }

    /// Writes a catalog with the rows that `fill` writes beside the present one; its length in bytes.
    pub(crate) fn write_beside(medium: &dyn Medium, fill: impl FnOnce(&Rows) -> Result<()>) -> Result<u64> {
        write_new(medium, fill)
    }

    /// Throws away what [`write_beside`](Self::write_beside) wrote, for good: the next one has the same name, and must not
    /// be taken for this one, nor this one for it.
    pub(crate) fn forget_beside(medium: &dyn Medium) -> Result<()> {
        medium.unlink(NEW_CATALOG).map_err(|source| Error::io("unlink", NEW_CATALOG, source))?;
        medium.sync_dir("").map_err(|source| Error::io("sync the directory of", NEW_CATALOG, source))
    }

    /// Puts what [`write_beside`](Self::write_beside) wrote in place of the present catalog and opens it.
    ///
    /// Whoever still reads the one before goes on reading it. After an error nobody may write to that one any more.
    pub(crate) fn take_place(medium: &dyn Medium, cache_bytes: usize) -> Result<Arc<Self>> {
        name_durably(medium)?;
        Self::open(medium, cache_bytes)
    }

    /// Opens [`CATALOG`], of which redb may keep `cache_bytes` in memory.
    pub(crate) fn open(medium: &dyn Medium, cache_bytes: usize) -> Result<Arc<Self>> {
        let file = medium.open(CATALOG).map_err(|source| Error::io("open", CATALOG, source))?;
        let file = CatalogFile::open(file, Strictness::Fail)?;
        let damaged = file.damaged();
        Self::open_on(file, cache_bytes, damaged).map(Arc::new)
    }

    /// Opens a copy in memory of [`CATALOG`] that takes all writes; reading goes to the file.
    ///
    /// A damaged block is read as it is, and noted: [`damaged_blocks`](Self::damaged_blocks).
    pub(crate) fn open_copy(medium: &dyn Medium) -> Result<Self> {
        let file = medium.open_to_read(CATALOG).map_err(|source| Error::io("open", CATALOG, source))?;
        let damaged = Arc::default();
        let file = CatalogFile::open(file, Strictness::Note(Arc::clone(&damaged)))?;
        let overlay = guarded("measure", || Overlay::new(file).map_err(redb::Error::from))?;
        Self::open_on(overlay, PASSING_CACHE_BYTES, damaged.clone()).map_err(|error| {
            let first = damaged.lock().unwrap_or_else(PoisonError::into_inner).first().copied();
            let Some(offset) = first else { return error };
            let what = format!("the block does not have its checksum; {error}");
            Error::Corrupt { file: CATALOG.into(), offset: Some(offset), what }
        })
    }

    /// Opens a catalog on another storage.
    fn open_on(backend: impl StorageBackend, cache_bytes: usize, damaged: Arc<Mutex<BTreeSet<u64>>>) -> Result<Self> {
        let database = guarded("open", || {
            let mut builder = Database::builder();
            builder.set_cache_size(cache_bytes);
            builder.create_with_backend(backend).map_err(redb::Error::from)
        })?;
        Ok(Self { database: Some(database), damaged })
    }

    /// A view of the latest commit.
    pub(crate) fn begin_read(self: &Arc<Self>) -> Result<Rows> {
        let database = self.database()?;
        guarded("begin reading", || {
            use redb::ReadableDatabase;
            Ok(Rows::reading(database.begin_read()?, self.clone()))
        })
        .map_err(|error| self.explained(error))
    }

    /// Makes what `layers` say, the later ones above the earlier, one durable commit.
    ///
    /// # Errors
    /// After one it is not known whether the commit is on disk.
    pub(crate) fn commit(self: &Arc<Self>, layers: &[Arc<Layer>]) -> Result<()> {
        let rows = self.begin_write()?;
        match layers {
            [layer] => rows.apply(layer)?,
            layers => {
                let mut all = Layer::default();
                layers.iter().for_each(|layer| all.absorb(layer));
                rows.apply(&all)?;
            }
        }
        rows.commit()
    }

    /// The one writable view; waits for the one before it.
    ///
    /// Its commit is durable, in two phases, and keeps the allocator's state, so that an open after a crash is quick.
    fn begin_write(self: &Arc<Self>) -> Result<Rows> {
        let database = self.database()?;
        guarded("begin writing", || {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_quick_repair(true);
            Ok(Rows::writing(transaction, self.clone()))
        })
        .map_err(|error| self.explained(error))
    }

    /// Makes the tables that an older lagdb did not know, in a commit of its own.
    pub(crate) fn add_tables(self: &Arc<Self>) -> Result<()> {
        let rows = self.begin_write()?;
        rows.create_tables()?;
        rows.commit()
    }

    /// Whether every page has the checksum that redb keeps of it. Repairs what it can: run it on a copy.
    pub(crate) fn check_pages(&mut self) -> Result<bool> {
        let Some(database) = self.database.as_mut() else { return Err(closed()) };
        guarded("check", || database.check_integrity().map_err(redb::Error::from))
    }

    /// The error of a call, told by what stopped redb: after a damaged block it reads nothing any more.
    pub(crate) fn explained(&self, error: Error) -> Error {
        match (&error, self.damaged_blocks().first()) {
            (Error::Poisoned { .. }, Some(offset)) => {
                let what = "the block does not have its checksum; open the database anew to read the others".to_owned();
                Error::Corrupt { file: CATALOG.into(), offset: Some(*offset), what }
            }
            _ => error,
        }
    }

    /// Offsets of the blocks that were read so far and do not have their checksums.
    pub(crate) fn damaged_blocks(&self) -> Vec<u64> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    fn database(&self) -> Result<&Database> {
        self.database.as_ref().ok_or_else(closed)
    }
}

/// Writes a catalog under [`NEW_CATALOG`], synced and closed, and returns its length in bytes.
fn write_new(medium: &dyn Medium, fill: impl FnOnce(&Rows) -> Result<()>) -> Result<u64> {
    let io = |action| move |source| Error::io(action, NEW_CATALOG, source);
    let file = medium.create(NEW_CATALOG).map_err(io("create"))?;
    let catalog = Arc::new(Catalog::open_on(Checked::create(file.clone()), PASSING_CACHE_BYTES, Arc::default())?);
    let rows = catalog.begin_write()?;
    rows.create_tables()?;
    fill(&rows)?;
    rows.commit()?;
    drop(catalog);
    file.sync().map_err(io("sync"))?;
    file.len().map_err(io("measure"))
}

fn name_durably(medium: &dyn Medium) -> Result<()> {
    medium.rename(NEW_CATALOG, CATALOG).map_err(|source| Error::io("rename", NEW_CATALOG, source))?;
    medium.sync_dir("").map_err(|source| Error::io("sync the directory of", CATALOG, source))
}

fn closed() -> Error {
    Error::Poisoned { cause: "the catalog is closed".to_owned() }
}

impl Drop for Catalog {
    fn drop(&mut self) {
        guarded_drop(self.database.take());
    }
}
