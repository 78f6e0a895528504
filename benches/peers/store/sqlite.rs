//! SQLite: three tables, WAL, `synchronous=FULL`, prepared statements; a connection a thread.

use crate::engine::{Engine, Reader, Writer};
use crate::memories::Memory;
use lagdb_peers::BenchResult;
use rusqlite::{Connection, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

struct Sqlite {
    file: PathBuf,
}

pub(crate) fn open(directory: &Path) -> BenchResult<Box<dyn Engine>> {
    std::fs::create_dir_all(directory)?;
    let sqlite = Sqlite { file: directory.join("peer.sqlite") };
    sqlite.connect()?.execute_batch(
        "CREATE TABLE IF NOT EXISTS trajectory(id INTEGER PRIMARY KEY, task TEXT, observation TEXT, action TEXT);
         CREATE TABLE IF NOT EXISTS strategy(id INTEGER PRIMARY KEY, title TEXT, description TEXT, content TEXT);
         CREATE TABLE IF NOT EXISTS embedding(id INTEGER PRIMARY KEY, vector BLOB);",
    )?;
    Ok(Box::new(sqlite))
}

impl Sqlite {
    fn connect(&self) -> BenchResult<Connection> {
        let connection = Connection::open(&self.file)?;
        connection.busy_timeout(Duration::from_secs(60))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(connection)
    }
}

impl Engine for Sqlite {
    fn name(&self) -> &'static str {
        "SQLite"
    }

    fn writer(&self) -> BenchResult<Box<dyn Writer + '_>> {
        Ok(Box::new(SqliteConnection(self.connect()?)))
    }

    fn reader(&self) -> BenchResult<Box<dyn Reader + '_>> {
        Ok(Box::new(SqliteConnection(self.connect()?)))
    }
}

struct SqliteConnection(Connection);

impl Writer for SqliteConnection {
    fn commit(&mut self, first: u64, memories: &[Memory]) -> BenchResult<()> {
        let tx = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (id, memory) in (first as i64..).zip(memories) {
            tx.prepare_cached("INSERT INTO trajectory VALUES (?, ?, ?, ?)")?.execute(params![
                id,
                memory.task,
                memory.observation,
                memory.action
            ])?;
            tx.prepare_cached("INSERT INTO strategy VALUES (?, ?, ?, ?)")?.execute(params![
                id,
                memory.title,
                memory.description,
                memory.content
            ])?;
            tx.prepare_cached("INSERT INTO embedding VALUES (?, ?)")?.execute(params![id, memory.vector_bytes()])?;
        }
        tx.commit()?;
        Ok(())
    }
}

impl Reader for SqliteConnection {
    fn strategy(&mut self, i: u64) -> BenchResult<usize> {
        let mut statement = self.0.prepare_cached("SELECT title, description, content FROM strategy WHERE id = ?")?;
        let row = |row: &rusqlite::Row<'_>| Ok([row.get::<_, String>(0)?, row.get(1)?, row.get(2)?]);
        let [_, _, content] = statement.query_row([i as i64], row)?;
        Ok(content.len())
    }
}
