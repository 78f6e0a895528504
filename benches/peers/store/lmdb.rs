//! LMDB through heed: the same bytes in three databases, every commit synced.

use crate::engine::{Engine, Reader, Writer};
use crate::memories::Memory;
use heed::byteorder::BigEndian;
use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvOpenOptions, RoTxn, WithTls};
use lagdb_peers::BenchResult;
use std::path::Path;

/// Address space, not memory.
const MAP_BYTES: usize = 32 << 30;

struct Lmdb {
    env: Env,
    tables: [Database<U64<BigEndian>, Bytes>; 3],
}

pub(crate) fn open(directory: &Path) -> BenchResult<Box<dyn Engine>> {
    std::fs::create_dir_all(directory)?;
    // SAFETY: the directory was made by this process for this store; nothing else opens or changes its files.
    #[allow(unsafe_code, reason = "LMDB maps its file")]
    let env = unsafe { EnvOpenOptions::new().map_size(MAP_BYTES).max_dbs(3).open(directory)? };
    let mut tx = env.write_txn()?;
    let mut table = |name| env.create_database(&mut tx, Some(name));
    let tables = [table("trajectories")?, table("strategies")?, table("embeddings")?];
    tx.commit()?;
    Ok(Box::new(Lmdb { env, tables }))
}

impl Engine for Lmdb {
    fn name(&self) -> &'static str {
        "LMDB"
    }

    fn writer(&self) -> BenchResult<Box<dyn Writer + '_>> {
        Ok(Box::new(self))
    }

    fn reader(&self) -> BenchResult<Box<dyn Reader + '_>> {
        Ok(Box::new(LmdbReader { lmdb: self, tx: self.env.read_txn()? }))
    }
}

impl Writer for &Lmdb {
    fn commit(&mut self, first: u64, memories: &[Memory]) -> BenchResult<()> {
        let mut tx = self.env.write_txn()?;
        let [trajectories, strategies, embeddings] = self.tables;
        for (id, memory) in (first..).zip(memories) {
            trajectories.put(&mut tx, &id, &memory.trajectory_bytes())?;
            strategies.put(&mut tx, &id, &memory.strategy_bytes())?;
            embeddings.put(&mut tx, &id, &memory.vector_bytes())?;
        }
        tx.commit()?;
        Ok(())
    }
}

struct LmdbReader<'a> {
    lmdb: &'a Lmdb,
    tx: RoTxn<'a, WithTls>,
}

impl Reader for LmdbReader<'_> {
    fn strategy(&mut self, i: u64) -> BenchResult<usize> {
        let [_, strategies, _] = self.lmdb.tables;
        Ok(strategies.get(&self.tx, &i)?.ok_or("no such strategy")?.to_vec().len())
    }
}
