//! The database and its scopes: where everything begins.

use crate::catalog::{Key, Table, value};
use crate::medium::{FileMedium, Medium, MemoryMedium};
use crate::record::limits;
use crate::store::{Store, find_scope};
use crate::{CommitId, Options, Result, Snapshot, Transaction, txn};
use std::path::Path;
use std::sync::Arc;

/// An open database. Clones are the same one; it closes when the last of them, its scopes, snapshots and transactions
/// are gone.
#[derive(Clone, Debug)]
pub struct Database {
    store: Arc<Store>,
}

/// A part of the database that sees nothing of the others: an agent, a tenant.
#[derive(Clone, Debug)]
pub struct Scope {
    store: Arc<Store>,
    name: Arc<str>,
}

/// The whole database, all scopes of it: for whoever runs it, never for an agent.
#[derive(Clone, Debug)]
pub struct Admin {
    store: Arc<Store>,
}

impl Database {
    /// Opens the database in the directory `path`, or makes one there.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// A database that ends with the process.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn in_memory() -> Result<Self> {
        Self::options().in_memory()
    }

    /// What can be chosen before opening.
    pub fn options() -> Options {
        Options::default()
    }

    /// The part called `name`, such as `"tenant/agent"`. It exists from its first commit on.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when the name is empty, longer than 255 bytes or has control
    /// characters.
    pub fn scope(&self, name: &str) -> Result<Scope> {
        limits::check_name("scope", name)?;
        Ok(Scope { store: self.store.clone(), name: name.into() })
    }

    /// The handle of whoever runs the database: it sees all scopes. Give an agent its [`Scope`] and not the database.
    pub fn admin(&self) -> Admin {
        Admin { store: self.store.clone() }
    }

    /// Waits until every graph over vectors that is being built in the background is there. Nothing needs it: searches
    /// answer the same before.
    pub fn finish_indexing(&self) {
        self.store.vectors.wait();
    }

    /// Deletes what is derived from vectors, in memory and on disk. Searches answer the same; graphs are built anew.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when a file cannot be unlinked, [`Error::Invalid`](crate::Error::Invalid) when the
    /// database is open to be read only.
    pub fn clear_index(&self) -> Result<()> {
        drop(self.store.writer_turn()?);
        self.store.vectors.clear(CommitId::from_u64(0))
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

impl Admin {
    /// The names of all scopes.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a row is damaged.
    pub fn scopes(&self) -> Result<Vec<String>> {
        let (rows, _, mut pin) = self.store.read()?;
        let mut names = Vec::new();
        rows.scan(Table::Scopes, &Key::all(), &mut |key, _| {
            let name = std::str::from_utf8(key).map_err(|_| value::corrupt(Table::Scopes, key, "is no text"))?;
            names.push(name.to_owned());
            Ok(())
        })?;
        drop(rows);
        self.store.unpin(&mut pin);
        Ok(names)
    }

    /// What every scope holds, by name.
    ///
    /// # Errors
    /// As [`Scope::snapshot`].
    pub fn snapshots(&self) -> Result<Vec<(String, Snapshot)>> {
        let scope = |name: String| Scope { store: self.store.clone(), name: name.into() };
        let snapshot = |name: String| Ok((name.clone(), scope(name).snapshot()?));
        self.scopes()?.into_iter().map(snapshot).collect()
    }
}

impl Options {
    /// Opens the database in the directory `path`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for an option that makes no sense;
    /// [`Error::Locked`](crate::Error::Locked) when it is open already, here or in another process;
    /// [`Error::SpaceMismatch`](crate::Error::SpaceMismatch) when it has embeddings of another space than was chosen;
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Unsupported`](crate::Error::Unsupported) and
    /// [`Error::Io`](crate::Error::Io) as their names say.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Database> {
        self.open_on(Arc::new(FileMedium::new(path)))
    }

    /// A database that ends with the process.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn in_memory(self) -> Result<Database> {
        self.open_on(Arc::new(MemoryMedium::new()))
    }

    /// Opens the database on any [`Medium`].
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(self, medium: Arc<dyn Medium>) -> Result<Database> {
        self.check()?;
        if self.read_only {
            let store = Store::open_to_read(medium, self)?;
            txn::refuse_older(&store)?;
            return Ok(Database { store: Arc::new(store) });
        }
        let store = Store::open(medium, self)?;
        txn::rebuild_if_older(&store)?;
        Ok(Database { store: Arc::new(store) })
    }
}

impl Scope {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// What it holds at the latest commit.
    ///
    /// # Errors
    /// [`Error::Poisoned`](crate::Error::Poisoned) when the database stopped,
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a row is damaged.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.store.check_running()?;
        let (rows, commit, pin) = self.store.read()?;
        let scope = find_scope(&rows, &self.name)?;
        Ok(Snapshot::pinned(rows, self.store.clone(), scope, (commit, pin)))
    }

    /// What it held at an earlier commit, inside the retention window ([`Options::retain_commits`]).
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot); also [`Error::Invalid`](crate::Error::Invalid) when the commit is outside of the
    /// window, or is still to come.
    pub fn as_of(&self, commit: CommitId) -> Result<Snapshot> {
        self.store.check_running()?;
        let (rows, commit, pin) = self.store.read_as_of(commit)?;
        let scope = find_scope(&rows, &self.name)?;
        Ok(Snapshot::pinned(rows, self.store.clone(), scope, (commit, pin)))
    }

    /// Begins to write, once nobody else does.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot); also [`Error::Invalid`](crate::Error::Invalid) when this thread has begun a
    /// transaction of this database that is still open, for it would wait for itself.
    pub fn begin(&self) -> Result<Transaction> {
        Transaction::begin(self.store.clone(), self.name.clone())
    }
}
