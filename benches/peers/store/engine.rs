//! lagdb and the stores beside it, behind what all of them can do: commit memories durably, read a strategy back.
//!
//! Every store is set to be as durable as lagdb: a commit that has returned survives a power cut.

use crate::memories::Memory;
use lagdb_peers::BenchResult;
use std::path::Path;

/// A store that is open.
pub(crate) trait Engine: Sync {
    /// Its name in the rows.
    fn name(&self) -> &'static str;
    /// A writer for one thread.
    fn writer(&self) -> BenchResult<Box<dyn Writer + '_>>;
    /// A reader for one thread.
    fn reader(&self) -> BenchResult<Box<dyn Reader + '_>>;
}

/// Commits.
pub(crate) trait Writer {
    /// One durable commit of these memories, numbered from `first`; they are not in the store yet.
    fn commit(&mut self, first: u64, memories: &[Memory]) -> BenchResult<()>;
}

/// Reads.
pub(crate) trait Reader {
    /// Bytes of the content of the strategy of memory `i`.
    fn strategy(&mut self, i: u64) -> BenchResult<usize>;
}

/// How to open a store in a directory of its own, empty or not.
pub(crate) type Open = fn(&Path) -> BenchResult<Box<dyn Engine>>;

/// lagdb first.
pub(crate) const ALL: [Open; 5] = [
    crate::lagdb_engine::open,
    crate::sqlite::open,
    crate::redb_engine::open,
    crate::lmdb::open,
    crate::fjall_engine::open,
];

/// Opens every store under `root`.
pub(crate) fn open_all(root: &Path) -> BenchResult<Vec<Box<dyn Engine>>> {
    let directory = |i: usize| root.join(i.to_string());
    ALL.iter().enumerate().map(|(i, open)| open(&directory(i))).collect()
}

/// Fills a store with memories `0..n`, many a commit.
pub(crate) fn fill(engine: &dyn Engine, n: u64) -> BenchResult<()> {
    const A_COMMIT: u64 = 2000;
    let mut writer = engine.writer()?;
    for first in (0..n).step_by(A_COMMIT as usize) {
        let memories: Vec<Memory> = (first..n.min(first + A_COMMIT)).map(Memory::number).collect();
        writer.commit(first, &memories)?;
    }
    Ok(())
}
