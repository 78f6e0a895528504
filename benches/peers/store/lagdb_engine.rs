//! lagdb through its public API: three records' worth in one transaction, bitmaps and checksums included.

use crate::engine::{Engine, Reader, Writer};
use crate::memories::{DIM, Memory};
use lagdb::medium::{FileMedium, Medium};
use lagdb::{Database, Embedding, EmbeddingSpace, Evidence, Id, Polarity, Scope, Snapshot, Strategy, Trajectory};
use lagdb_peers::BenchResult;
use std::path::Path;
use std::sync::Arc;

struct Lagdb {
    /// Open while its scope is used.
    _database: Database,
    scope: Scope,
    space: EmbeddingSpace,
}

pub(crate) fn open(directory: &Path) -> BenchResult<Box<dyn Engine>> {
    open_on(FileMedium::new(directory))
}

pub(crate) fn open_on(medium: impl Medium) -> BenchResult<Box<dyn Engine>> {
    let database = Database::options().open_on(Arc::new(medium))?;
    let scope = database.scope("bench")?;
    Ok(Box::new(Lagdb { _database: database, scope, space: EmbeddingSpace::new("bench", DIM)? }))
}

impl Engine for Lagdb {
    fn name(&self) -> &'static str {
        "lagdb"
    }

    fn writer(&self) -> BenchResult<Box<dyn Writer + '_>> {
        Ok(Box::new(LagdbWriter(self)))
    }

    fn reader(&self) -> BenchResult<Box<dyn Reader + '_>> {
        Ok(Box::new(LagdbReader(self.scope.snapshot()?)))
    }
}

struct LagdbWriter<'a>(&'a Lagdb);

impl Writer for LagdbWriter<'_> {
    fn commit(&mut self, _first: u64, memories: &[Memory]) -> BenchResult<()> {
        let mut tx = self.0.scope.begin()?;
        for memory in memories {
            let trajectory = tx.put(&Trajectory::new(&memory.task).step(&memory.observation, &memory.action))?;
            let mut strategy = Strategy::new(&memory.title, &memory.description, &memory.content);
            let evidence = Evidence { trajectory, first_step: 0, last_step: 0, polarity: Polarity::Support };
            strategy.provenance.evidence.push(evidence);
            let id = tx.put(&strategy)?;
            tx.embed(id, &Embedding::new(&self.0.space, memory.vector.clone())?)?;
        }
        tx.commit()?;
        Ok(())
    }
}

struct LagdbReader(Snapshot);

impl Reader for LagdbReader {
    fn strategy(&mut self, i: u64) -> BenchResult<usize> {
        // One writer gives out the numbers in turn: a trajectory, then its strategy.
        let id: Id<Strategy> = Id::from_u64(2 * i + 2);
        Ok(self.0.get(id)?.ok_or("no such strategy")?.content.len())
    }
}
