//! Rows inside one transaction, for reading or for writing: the same reads on both, so that a transaction sees its own
//! writes through the very code that a snapshot uses.

use super::guard::{guarded, guarded_drop};
use super::row::{self, Row};
use super::value::{self, Opened};
use super::{Catalog, Key, Table};
use crate::{Error, Result};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use std::sync::Arc;

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

/// A view of the catalog.
pub(crate) struct Rows {
    /// `None` only while it is being dropped or committed.
    transaction: Option<Transaction>,
    /// Kept open as long as it is read, also when another file took its place.
    _catalog: Option<Arc<Catalog>>,
}

enum Transaction {
    Read(ReadTransaction),
    Write(Box<WriteTransaction>),
}

/// What is done with each row of a scan: its key and what it holds.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], Opened<'_>) -> Result<()> + 'a;

/// What is done with each row of a scan: its key and its value as it is stored.
pub(crate) type VisitRaw<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

impl Rows {
    pub(super) fn reading(transaction: ReadTransaction, catalog: Arc<Catalog>) -> Self {
        Self { transaction: Some(Transaction::Read(transaction)), _catalog: Some(catalog) }
    }

    pub(super) fn writing(transaction: WriteTransaction, catalog: Arc<Catalog>) -> Self {
        Self { transaction: Some(Transaction::Write(Box::new(transaction))), _catalog: Some(catalog) }
    }

    /// A view whose transaction is over: it has no rows.
    pub(crate) fn ended() -> Self {
        Self { transaction: None, _catalog: None }
    }

    /// Whether rows can be put.
    pub(crate) fn is_writing(&self) -> bool {
        matches!(self.transaction, Some(Transaction::Write(_)))
    }

    /// What `read` makes of the row under `key`, if there is one.
    pub(crate) fn get<T>(
        &self,
        table: Table,
        key: &Key,
        read: impl FnOnce(Opened<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let bytes = guarded("read", || match &self.transaction {
            Some(Transaction::Read(transaction)) => get_bytes(&transaction.open_table(definition(table))?, key),
            Some(Transaction::Write(transaction)) => get_bytes(&transaction.open_table(definition(table))?, key),
            None => Ok(None),
        })?;
        match bytes {
            Some(bytes) => value::open(table, key.as_bytes(), &bytes).and_then(read).map(Some),
            None => Ok(None),
        }
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
        guarded("scan", || match &self.transaction {
            Some(Transaction::Read(transaction)) => {
                scan_bytes(&transaction.open_table(definition(table))?, prefix, visit)
            }
            Some(Transaction::Write(transaction)) => {
                scan_bytes(&transaction.open_table(definition(table))?, prefix, visit)
            }
            None => Ok(Ok(())),
        })?
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: Table) -> Result<u64> {
        let mut n = 0;
        self.scan_raw(table, &Key::all(), &mut |_, _| {
            n += 1;
            Ok(())
        })?;
        Ok(n)
    }

    /// The last key that begins with `prefix`.
    pub(crate) fn last_key(&self, table: Table, prefix: &Key) -> Result<Option<Key>> {
        guarded("read", || match &self.transaction {
            Some(Transaction::Read(transaction)) => last_key(&transaction.open_table(definition(table))?, prefix),
            Some(Transaction::Write(transaction)) => last_key(&transaction.open_table(definition(table))?, prefix),
            None => Ok(None),
        })
    }

    /// Writes `payload` under `key`.
    pub(crate) fn put(&self, table: Table, key: &Key, schema: u16, payload: &[u8]) -> Result<()> {
        self.put_raw(table, key, &value::seal(table, key.as_bytes(), schema, payload))
    }

    /// Writes a value that was sealed for this table and key.
    pub(crate) fn put_raw(&self, table: Table, key: &Key, value: &[u8]) -> Result<()> {
        let transaction = self.write_transaction()?;
        guarded("write", || {
            transaction.open_table(definition(table))?.insert(key.as_bytes(), value)?;
            Ok(())
        })
    }

    /// Writes `row` under `key`.
    pub(crate) fn put_row<R: Row>(&self, table: Table, key: &Key, row: &R) -> Result<()> {
        let bytes = row.archive().map_err(|detail| Error::invalid("row", detail))?;
        self.put(table, key, R::SCHEMA, &bytes)
    }

    /// Removes the row under `key`; whether there was one.
    pub(crate) fn remove(&self, table: Table, key: &Key) -> Result<bool> {
        let transaction = self.write_transaction()?;
        guarded("remove", || {
            let mut table = transaction.open_table(definition(table))?;
            let removed = table.remove(key.as_bytes())?.is_some();
            Ok(removed)
        })
    }

    /// Makes all tables, so that a view of an empty catalog finds them.
    pub(super) fn create_tables(&self) -> Result<()> {
        let transaction = self.write_transaction()?;
        guarded("create tables", || {
            for table in Table::ALL {
                transaction.open_table(definition(table))?;
            }
            Ok(())
        })
    }

    /// Makes everything that was written one durable commit.
    pub(crate) fn commit(mut self) -> Result<()> {
        match self.transaction.take() {
            Some(Transaction::Write(transaction)) => guarded("commit", || Ok(transaction.commit()?)),
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

impl Drop for Rows {
    fn drop(&mut self) {
        guarded_drop(self.transaction.take());
    }
}

type Reading<T> = std::result::Result<T, redb::Error>;

fn get_bytes(table: &impl ReadableTable<&'static [u8], &'static [u8]>, key: &Key) -> Reading<Option<Vec<u8>>> {
    Ok(table.get(key.as_bytes())?.map(|guard| guard.value().to_vec()))
}

fn scan_bytes(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &Key,
    visit: &mut VisitRaw<'_>,
) -> Reading<Result<()>> {
    let end = prefix.after_prefix();
    let range = match &end {
        Some(end) => table.range::<&[u8]>(prefix.as_bytes()..end.as_bytes())?,
        None => table.range::<&[u8]>(prefix.as_bytes()..)?,
    };
    for entry in range {
        let (key, value) = entry?;
        if let Err(error) = visit(key.value(), value.value()) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn last_key(table: &impl ReadableTable<&'static [u8], &'static [u8]>, prefix: &Key) -> Reading<Option<Key>> {
    let end = prefix.after_prefix();
    let mut range = match &end {
        Some(end) => table.range::<&[u8]>(prefix.as_bytes()..end.as_bytes())?,
        None => table.range::<&[u8]>(prefix.as_bytes()..)?,
    };
    Ok(range.next_back().transpose()?.map(|(key, _)| Key::of(key.value())))
}
