//! redb by itself: the same bytes in three tables, its default durability (one sync a commit).

use crate::engine::{Engine, Reader, Writer};
use crate::memories::Memory;
use lagdb_peers::BenchResult;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::path::Path;

const TRAJECTORIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("trajectories");
const STRATEGIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("strategies");
const EMBEDDINGS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("embeddings");

struct Redb(Database);

pub(crate) fn open(directory: &Path) -> BenchResult<Box<dyn Engine>> {
    std::fs::create_dir_all(directory)?;
    Ok(Box::new(Redb(Database::create(directory.join("peer.redb"))?)))
}

impl Engine for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn writer(&self) -> BenchResult<Box<dyn Writer + '_>> {
        Ok(Box::new(self))
    }

    fn reader(&self) -> BenchResult<Box<dyn Reader + '_>> {
        Ok(Box::new(RedbReader(self.0.begin_read()?.open_table(STRATEGIES)?)))
    }
}

impl Writer for &Redb {
    fn commit(&mut self, first: u64, memories: &[Memory]) -> BenchResult<()> {
        let tx = self.0.begin_write()?;
        {
            let mut trajectories = tx.open_table(TRAJECTORIES)?;
            let mut strategies = tx.open_table(STRATEGIES)?;
            let mut embeddings = tx.open_table(EMBEDDINGS)?;
            for (id, memory) in (first..).zip(memories) {
                trajectories.insert(id, memory.trajectory_bytes().as_slice())?;
                strategies.insert(id, memory.strategy_bytes().as_slice())?;
                embeddings.insert(id, memory.vector_bytes().as_slice())?;
            }
        }
        tx.commit()?;
        Ok(())
    }
}

struct RedbReader(redb::ReadOnlyTable<u64, &'static [u8]>);

impl Reader for RedbReader {
    fn strategy(&mut self, i: u64) -> BenchResult<usize> {
        let bytes = self.0.get(i)?.ok_or("no such strategy")?.value().to_vec();
        Ok(bytes.len())
    }
}
