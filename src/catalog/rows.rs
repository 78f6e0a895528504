//! Rows inside one transaction, for reading or for writing: the same reads on both, so that a transaction sees its own
//! writes through the very code that a snapshot uses.
//!
//! A transaction of lagdb is *staged*: it reads a commit, and what it writes stays in a [`Layer`] above it. redb's own
//! write transaction is open only while layers are applied to it or a new catalog is filled, never while a caller thinks.

use super::chunks::Chunks;
use super::guard::{guarded, guarded_drop};
use super::layer::{Change, Layer};
use super::row::{self, Row};
use super::value::{self, Opened};
use super::{Catalog, Key, Table};
use crate::{Error, Result};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

/// A view of the catalog.
pub(crate) struct Rows {
    /// `None` only while it is being dropped or committed.
    transaction: Option<Transaction>,
    /// What lies above the transaction, where this is staged.
    staged: Option<Staged>,
    /// Kept open as long as it is read, also when another file took its place.
    catalog: Option<Arc<Catalog>>,
}

/// What a staged transaction sees above the commit that it reads.
struct Staged {
    /// Of transactions before it, oldest first.
    below: Vec<Arc<Layer>>,
    own: Mutex<Layer>,
    /// Above it: bitmaps that are not bytes yet.
    chunks: Chunks,
}

impl Staged {
    fn own(&self) -> MutexGuard<'_, Layer> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, table: Table, key: &Key, change: Change) {
        if table == Table::Bitmaps {
            self.chunks.forget(key);
        }
        self.own().set(table, key.clone(), change);
    }

    fn write_chunks(&self, table: Table, prefix: &Key) {
        if table == Table::Bitmaps {
            self.chunks.write_under(prefix, &mut self.own());
        }
    }

    /// What is under `key`, if a layer says anything about it.
    fn get(&self, table: Table, key: &Key) -> Option<Change> {
        self.write_chunks(table, key);
        let own = self.own().get(table, key).cloned();
        own.or_else(|| self.below.iter().rev().find_map(|layer| layer.get(table, key)).cloned())
    }

    /// All changes under keys that begin with `prefix`.
    fn under(&self, table: Table, prefix: &Key) -> BTreeMap<Key, Change> {
        self.write_chunks(table, prefix);
        let copied = |(key, change): (&Key, &Change)| (key.clone(), change.clone());
        let mut changes = BTreeMap::new();
        self.below.iter().for_each(|layer| changes.extend(layer.under(table, prefix).map(copied)));
        changes.extend(self.own().under(table, prefix).map(copied));
        changes
    }
}

enum Transaction {
    /// Shared by all that read one commit.
    Read(Arc<ReadTransaction>),
    Write(Box<WriteTransaction>),
}

/// What is done with each row of a scan: its key and what it holds.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], Opened<'_>) -> Result<()> + 'a;

/// What is done with each row that was asked for; whether more are wanted.
pub(crate) type VisitEach<'a> = dyn FnMut(Option<Opened<'_>>) -> Result<bool> + 'a;

/// What is done with each row of a scan: its key and its value as it is stored.
pub(crate) type VisitRaw<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// Whether a row, its key and its value as it is stored, is wanted.
pub(crate) type KeepRaw<'a> = dyn FnMut(&[u8], &[u8]) -> Result<bool> + 'a;

impl Rows {
    fn guarded<T>(&self, action: &'static str, call: impl FnOnce() -> Reading<T>) -> Result<T> {
        guarded(action, call).map_err(|error| match &self.catalog {
            Some(catalog) => catalog.explained(error),
            None => error,
        })
    }

    pub(super) fn reading(transaction: ReadTransaction, catalog: Arc<Catalog>) -> Self {
        Self { transaction: Some(Transaction::Read(Arc::new(transaction))), staged: None, catalog: Some(catalog) }
    }

    pub(super) fn writing(transaction: WriteTransaction, catalog: Arc<Catalog>) -> Self {
        let transaction = Some(Transaction::Write(Box::new(transaction)));
        Self { transaction, staged: None, catalog: Some(catalog) }
    }

    /// Another view of the same commit, if this one only reads.
    pub(crate) fn share(&self) -> Option<Self> {
        match (&self.transaction, &self.staged) {
            (Some(Transaction::Read(transaction)), None) => Some(Self {
                transaction: Some(Transaction::Read(transaction.clone())),
                staged: None,
                catalog: self.catalog.clone(),
            }),
            _ => None,
        }
    }

    /// This view with `below` above it, and above that an empty layer to write into.
    pub(crate) fn staged_on(mut self, below: Vec<Arc<Layer>>) -> Self {
        self.staged = Some(Staged { below, own: Mutex::default(), chunks: Chunks::default() });
        self
    }

    /// A view whose transaction is over: it has no rows.
    pub(crate) fn ended() -> Self {
        Self { transaction: None, staged: None, catalog: None }
    }

    /// What was written into a staged view.
    pub(crate) fn into_layer(mut self) -> Layer {
        let Some(staged) = self.staged.take() else { return Layer::default() };
        staged.write_chunks(Table::Bitmaps, &Key::all());
        staged.own.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether rows can be put.
    pub(crate) fn is_writing(&self) -> bool {
        self.staged.is_some() || matches!(self.transaction, Some(Transaction::Write(_)))
    }

    /// What `read` makes of the row under `key`, if there is one.
    pub(crate) fn get<T>(
        &self,
        table: Table,
        key: &Key,
        read: impl FnOnce(Opened<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self.bytes(table, key)? {
            Some(bytes) => value::open(table, key.as_bytes(), &bytes).and_then(read).map(Some),
            None => Ok(None),
        }
    }

    fn bytes(&self, table: Table, key: &Key) -> Result<Option<Vec<u8>>> {
        if let Some(change) = self.staged.as_ref().and_then(|staged| staged.get(table, key)) {
            return Ok(change);
        }
        self.guarded("read", || match &self.transaction {
            Some(Transaction::Read(transaction)) => get_bytes(&transaction.open_table(definition(table))?, key),
            Some(Transaction::Write(transaction)) => get_bytes(&transaction.open_table(definition(table))?, key),
            None => Ok(None),
        })
    }

    /// Shows the rows under `keys` to `visit`, one after the other, for as long as it wants more; `None` for one that is
    /// not there. The table is opened once.
    pub(crate) fn get_each(
        &self,
        table: Table,
        keys: &mut dyn Iterator<Item = Key>,
        visit: &mut VisitEach<'_>,
    ) -> Result<()> {
        if self.staged.is_some() {
            return self.get_each_staged(table, keys, visit);
        }
        self.guarded("read", || match &self.transaction {
            Some(Transaction::Read(transaction)) => {
                get_each(&transaction.open_table(definition(table))?, table, keys, visit)
            }
            Some(Transaction::Write(transaction)) => {
                get_each(&transaction.open_table(definition(table))?, table, keys, visit)
            }
            None => Ok(Ok(())),
        })?
    }

    fn get_each_staged(
        &self,
        table: Table,
        keys: &mut dyn Iterator<Item = Key>,
        visit: &mut VisitEach<'_>,
    ) -> Result<()> {
        for key in keys {
            let bytes = self.bytes(table, &key)?;
            let opened = bytes.as_ref().map(|bytes| value::open(table, key.as_bytes(), bytes)).transpose()?;
            if !visit(opened)? {
                break;
            }
        }
        Ok(())
    }

    /// The row under `key`, if there is one.
    pub(crate) fn get_row<R: Row>(&self, table: Table, key: &Key) -> Result<Option<R>> {
        self.get(table, key, |opened| row::decode(table, key.as_bytes(), opened))
    }

    /// Shows every row whose key begins with `prefix` to `visit`, in the order of the keys.
    pub(crate) fn scan(&self, table: Table, prefix: &Key, visit: &mut Visit<'_>) -> Result<()> {
        self.scan_raw(table, prefix, &mut |key, bytes| visit(key, value::open(table, key, bytes)?))
    }

    /// As [`scan`](Self::scan), with values whose checksum nobody looked at yet.
    pub(crate) fn scan_raw(&self, table: Table, prefix: &Key, visit: &mut VisitRaw<'_>) -> Result<()> {
        self.scan_raw_before(table, prefix, None, visit)
    }

    /// As [`scan_raw`](Self::scan_raw), of keys below `before` only.
    pub(crate) fn scan_raw_before(
        &self,
        table: Table,
        prefix: &Key,
        before: Option<&Key>,
        visit: &mut VisitRaw<'_>,
    ) -> Result<()> {
        match self.changes(table, prefix) {
            Some(mut changes) => {
                changes.retain(|key, _| before.is_none_or(|before| key < before));
                self.scan_merged(table, prefix, before, changes, visit)
            }
            None => self.scan_below(table, prefix, before, visit),
        }
    }

    /// What the layers say under `prefix`, if they say anything.
    fn changes(&self, table: Table, prefix: &Key) -> Option<BTreeMap<Key, Change>> {
        self.staged.as_ref().map(|staged| staged.under(table, prefix)).filter(|changes| !changes.is_empty())
    }

    fn scan_merged(
        &self,
        table: Table,
        prefix: &Key,
        before: Option<&Key>,
        changes: BTreeMap<Key, Change>,
        visit: &mut VisitRaw<'_>,
    ) -> Result<()> {
        let mut changes = changes.into_iter().peekable();
        self.scan_below(table, prefix, before, &mut |key, bytes| {
            while let Some((changed, change)) = changes.next_if(|(changed, _)| changed.as_bytes() < key) {
                change.map_or(Ok(()), |bytes| visit(changed.as_bytes(), &bytes))?;
            }
            match changes.next_if(|(changed, _)| changed.as_bytes() == key) {
                Some((_, Some(bytes))) => visit(key, &bytes),
                Some((_, None)) => Ok(()),
                None => visit(key, bytes),
            }
        })?;
        changes.try_for_each(|(key, change)| change.map_or(Ok(()), |bytes| visit(key.as_bytes(), &bytes)))
    }

    fn scan_below(&self, table: Table, prefix: &Key, before: Option<&Key>, visit: &mut VisitRaw<'_>) -> Result<()> {
        let after_prefix = prefix.after_prefix();
        let end = before.or(after_prefix.as_ref());
        self.guarded("scan", || match &self.transaction {
            Some(Transaction::Read(transaction)) => {
                scan_bytes(&transaction.open_table(definition(table))?, prefix, end, visit)
            }
            Some(Transaction::Write(transaction)) => {
                scan_bytes(&transaction.open_table(definition(table))?, prefix, end, visit)
            }
            None => Ok(Ok(())),
        })?
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: Table) -> Result<u64> {
        let below = self.guarded("count", || match &self.transaction {
            Some(Transaction::Read(transaction)) => Ok(transaction.open_table(definition(table))?.len()?),
            Some(Transaction::Write(transaction)) => Ok(transaction.open_table(definition(table))?.len()?),
            None => Ok(0),
        })?;
        let changes = self.changes(table, &Key::all()).unwrap_or_default();
        changes.iter().try_fold(below, |n, (key, change)| {
            let was_there = self.guarded("read", || match &self.transaction {
                Some(Transaction::Read(transaction)) => has(&transaction.open_table(definition(table))?, key),
                Some(Transaction::Write(transaction)) => has(&transaction.open_table(definition(table))?, key),
                None => Ok(false),
            })?;
            Ok(n + u64::from(change.is_some()) - u64::from(was_there))
        })
    }

    /// Bytes of the pages that a table takes, in the commit that is read.
    pub(crate) fn used_bytes(&self, table: Table) -> Result<u64> {
        self.guarded("measure", || match &self.transaction {
            Some(Transaction::Read(transaction)) => taken_bytes(&transaction.open_table(definition(table))?),
            Some(Transaction::Write(transaction)) => taken_bytes(&transaction.open_table(definition(table))?),
            None => Ok(0),
        })
    }

    /// The last key that begins with `prefix`.
    pub(crate) fn last_key(&self, table: Table, prefix: &Key) -> Result<Option<Key>> {
        let changes = self.changes(table, prefix).unwrap_or_default();
        let below = self.guarded("read", || match &self.transaction {
            Some(Transaction::Read(transaction)) => {
                last_key(&transaction.open_table(definition(table))?, prefix, &changes)
            }
            Some(Transaction::Write(transaction)) => {
                last_key(&transaction.open_table(definition(table))?, prefix, &changes)
            }
            None => Ok(None),
        })?;
        let above = changes.into_iter().rev().find_map(|(key, change)| change.map(|_| key));
        Ok(below.max(above))
    }

    /// Writes `payload` under `key`.
    pub(crate) fn put(&self, table: Table, key: &Key, schema: u16, payload: &[u8]) -> Result<()> {
        let value = value::seal(table, key.as_bytes(), schema, payload);
        if let Some(staged) = &self.staged {
            staged.set(table, key, Some(value));
            return Ok(());
        }
        let transaction = self.write_transaction()?;
        self.guarded("write", || {
            transaction.open_table(definition(table))?.insert(key.as_bytes(), value.as_slice())?;
            Ok(())
        })
    }

    /// Writes the rows of a table of another catalog, those that `keep` wants. The table is opened once.
    pub(crate) fn fill(&self, table: Table, from: &Self, keep: &mut KeepRaw<'_>) -> Result<()> {
        let transaction = self.write_transaction()?;
        let mut filled = self.guarded("write", || Ok(transaction.open_table(definition(table))?))?;
        let copied = from.scan_raw(table, &Key::all(), &mut |key, bytes| {
            if !keep(key, bytes)? {
                return Ok(());
            }
            self.guarded("write", || {
                filled.insert(key, bytes)?;
                Ok(())
            })
        });
        guarded_drop(filled);
        copied
    }

    /// Writes `row` under `key`.
    pub(crate) fn put_row<R: Row>(&self, table: Table, key: &Key, row: &R) -> Result<()> {
        let bytes = row.archive().map_err(|detail| Error::invalid("row", detail))?;
        self.put(table, key, R::SCHEMA, &bytes)
    }

    /// Removes the row under `key`; whether there was one.
    pub(crate) fn remove(&self, table: Table, key: &Key) -> Result<bool> {
        if let Some(staged) = &self.staged {
            let was_there = self.bytes(table, key)?.is_some();
            staged.set(table, key, None);
            return Ok(was_there);
        }
        let transaction = self.write_transaction()?;
        self.guarded("remove", || {
            let mut table = transaction.open_table(definition(table))?;
            let removed = table.remove(key.as_bytes())?.is_some();
            Ok(removed)
        })
    }

    /// What `look` says of the bitmap under `key`, if this view changed it.
    pub(crate) fn changed_bitmap<T>(&self, key: &Key, look: impl FnOnce(&RoaringBitmap) -> T) -> Option<T> {
        self.staged.as_ref().and_then(|staged| staged.chunks.look(key, look))
    }

    /// Does `change`, which says whether it changed anything, to the bitmap under `key`, which `parse` reads.
    pub(crate) fn change_bitmap(
        &self,
        key: &Key,
        parse: impl FnOnce(Opened<'_>) -> Result<RoaringBitmap>,
        change: impl Fn(&mut RoaringBitmap) -> bool,
    ) -> Result<()> {
        let Some(staged) = &self.staged else { return Err(Error::invalid("snapshot", "cannot be written to")) };
        if !staged.chunks.change(key, &change) {
            let found = self.get(Table::Bitmaps, key, parse)?.unwrap_or_default();
            staged.chunks.keep(key.clone(), found);
            staged.chunks.change(key, &change);
        }
        Ok(())
    }

    /// Makes all tables, so that a view of an empty catalog finds them.
    pub(super) fn create_tables(&self) -> Result<()> {
        let transaction = self.write_transaction()?;
        self.guarded("create tables", || {
            for table in Table::ALL {
                transaction.open_table(definition(table))?;
            }
            Ok(())
        })
    }

    /// Writes all that a layer says.
    pub(super) fn apply(&self, layer: &Layer) -> Result<()> {
        let transaction = self.write_transaction()?;
        self.guarded("write", || {
            for table in Table::ALL {
                let mut changes = layer.of(table).peekable();
                if changes.peek().is_none() {
                    continue;
                }
                let mut table = transaction.open_table(definition(table))?;
                for (key, change) in changes {
                    match change {
                        Some(bytes) => drop(table.insert(key.as_bytes(), bytes.as_slice())?),
                        None => drop(table.remove(key.as_bytes())?),
                    }
                }
            }
            Ok(())
        })
    }

    /// Makes everything that was written one durable commit. Not for a staged view, which the store commits.
    pub(super) fn commit(mut self) -> Result<()> {
        match self.transaction.take() {
            Some(Transaction::Write(transaction)) => self.guarded("commit", || Ok(transaction.commit()?)),
            _ => Ok(()),
        }
    }

    fn write_transaction(&self) -> Result<&WriteTransaction> {
        match &self.transaction {
            Some(Transaction::Write(transaction)) => Ok(transaction),
            _ => Err(Error::invalid("snapshot", "cannot be written to")),
        }
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").field("is_writing", &self.is_writing()).finish_non_exhaustive()
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        guarded_drop(self.transaction.take());
    }
}

type Reading<T> = std::result::Result<T, redb::Error>;

fn get_bytes(table: &impl ReadableTable<&'static [u8], &'static [u8]>, key: &Key) -> Reading<Option<Vec<u8>>> {
    Ok(table.get(key.as_bytes())?.map(|guard| guard.value().to_vec()))
}

fn taken_bytes(table: &impl ReadableTableMetadata) -> Reading<u64> {
    let stats = table.stats()?;
    Ok(stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes())
}

fn has(table: &impl ReadableTable<&'static [u8], &'static [u8]>, key: &Key) -> Reading<bool> {
    Ok(table.get(key.as_bytes())?.is_some())
}

fn get_each(
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    table: Table,
    keys: &mut dyn Iterator<Item = Key>,
    visit: &mut VisitEach<'_>,
) -> Reading<Result<()>> {
    for key in keys {
        let guard = rows.get(key.as_bytes())?;
        let opened = guard.as_ref().map(|guard| value::open(table, key.as_bytes(), guard.value())).transpose();
        match opened.and_then(&mut *visit) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}

fn scan_bytes(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    from: &Key,
    end: Option<&Key>,
    visit: &mut VisitRaw<'_>,
) -> Reading<Result<()>> {
    let range = match end {
        // redb panics on a range that ends before it begins.
        Some(end) if end <= from => return Ok(Ok(())),
        Some(end) => table.range::<&[u8]>(from.as_bytes()..end.as_bytes())?,
        None => table.range::<&[u8]>(from.as_bytes()..)?,
    };
    for entry in range {
        let (key, value) = entry?;
        if let Err(error) = visit(key.value(), value.value()) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// The last key that begins with `prefix` and is none of the changed ones.
fn last_key(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &Key,
    changed: &BTreeMap<Key, Change>,
) -> Reading<Option<Key>> {
    let end = prefix.after_prefix();
    let range = match &end {
        Some(end) => table.range::<&[u8]>(prefix.as_bytes()..end.as_bytes())?,
        None => table.range::<&[u8]>(prefix.as_bytes()..)?,
    };
    for entry in range.rev() {
        let key = Key::of(entry?.0.value());
        if !changed.contains_key(&key) {
            return Ok(Some(key));
        }
    }
    Ok(None)
}
