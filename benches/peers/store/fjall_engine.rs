//! fjall: the same bytes in three keyspaces, every batch synced with its file's length.

use crate::engine::{Engine, Reader, Writer};
use crate::memories::Memory;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use lagdb_peers::BenchResult;
use std::path::Path;

struct Fjall {
    database: Database,
    trajectories: Keyspace,
    strategies: Keyspace,
    embeddings: Keyspace,
}

pub(crate) fn open(directory: &Path) -> BenchResult<Box<dyn Engine>> {
    let database = Database::builder(directory).open()?;
    let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
    let (trajectories, strategies) = (keyspace("trajectories")?, keyspace("strategies")?);
    let embeddings = keyspace("embeddings")?;
    Ok(Box::new(Fjall { database, trajectories, strategies, embeddings }))
}

impl Engine for Fjall {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn writer(&self) -> BenchResult<Box<dyn Writer + '_>> {
        Ok(Box::new(self))
    }

    fn reader(&self) -> BenchResult<Box<dyn Reader + '_>> {
        Ok(Box::new(self))
    }
}

impl Writer for &Fjall {
    fn commit(&mut self, first: u64, memories: &[Memory]) -> BenchResult<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (id, memory) in (first..).zip(memories) {
            let key = id.to_be_bytes();
            batch.insert(&self.trajectories, key, memory.trajectory_bytes());
            batch.insert(&self.strategies, key, memory.strategy_bytes());
            batch.insert(&self.embeddings, key, memory.vector_bytes());
        }
        batch.commit()?;
        Ok(())
    }
}

impl Reader for &Fjall {
    fn strategy(&mut self, i: u64) -> BenchResult<usize> {
        Ok(self.strategies.get(i.to_be_bytes())?.ok_or("no such strategy")?.to_vec().len())
    }
}
