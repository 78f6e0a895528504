//! What can be chosen when a database is opened. Few things, checked once.

mod kv_storage;

use crate::record::EmbeddingSpace;
use crate::{Error, Result};
pub use kv_storage::KvStorage;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Measured at 384 numbers with AVX-512: comparing takes 8 ns a vector, a walk 11 us, so that from 1,500 on a walk is
/// faster. At 5,000 it saves 30 us a search, and building takes 0.8 s once.
const GRAPH_FROM: usize = 5_000;

/// A million vectors of 768 numbers.
const INDEX_MEMORY_BYTES: usize = 1 << 30;

/// Bytes of the catalog that may be in memory, and the fewest with which it works.
const CATALOG_CACHE_BYTES: usize = 128 << 20;
const LEAST_CATALOG_CACHE_BYTES: usize = 1 << 20;

/// So much is copied at once, at most, when something in a segment is dead.
const SEGMENT_BYTES: u64 = 256 << 20;

/// Longest owner text.
const OWNER_BYTES: usize = 256;

/// What can be chosen when a database is opened; `Database::options()` begins with the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) space: Option<EmbeddingSpace>,
    pub(crate) kv_storage: KvStorage,
    pub(crate) key_summaries: bool,
    pub(crate) owner: String,
    pub(crate) check_pages: bool,
    pub(crate) read_only: bool,
    pub(crate) retained: usize,
    pub(crate) graph_from: usize,
    pub(crate) index_memory_bytes: usize,
    pub(crate) clock: Clock,
    pub(crate) catalog_cache_bytes: usize,
    pub(crate) segment_bytes: u64,
}

/// Says what time it is, in ms since 1970.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    pub(crate) fn now_ms(&self) -> u64 {
        (self.0)()
    }

    fn of_the_system() -> Self {
        let since = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Arc::new(move || u64::try_from(since().as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({} ms)", self.now_ms())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            create: true,
            space: None,
            kv_storage: KvStorage::default(),
            key_summaries: false,
            owner: this_process(),
            check_pages: false,
            read_only: false,
            retained: 0,
            graph_from: GRAPH_FROM,
            index_memory_bytes: INDEX_MEMORY_BYTES,
            clock: Clock::of_the_system(),
            catalog_cache_bytes: CATALOG_CACHE_BYTES,
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

impl Options {
    /// Whether a database that is not there is made. It is by default.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// The main embedding space of the database: opening one that has another is refused. Otherwise the first embedding
    /// decides.
    #[must_use]
    pub fn embedding_space(mut self, space: EmbeddingSpace) -> Self {
        self.space = Some(space);
        self
    }

    /// How new KV logs are written; [`KvStorage::Lossless`] unless said otherwise.
    #[must_use]
    pub fn kv_storage(mut self, storage: KvStorage) -> Self {
        self.kv_storage = storage;
        self
    }

    /// Whether new KV logs are written with a summary of the keys of each page and KV head, by which attention over
    /// pages (`Session::attach_pages`) chooses those that it reads. They are not by default: they take 7
    /// bytes per page and number of a token's keys, which is a fortieth of a log of int8. Logs whose heads are of odd width
    /// are then refused.
    #[must_use]
    pub fn key_summaries(mut self, summarize: bool) -> Self {
        self.key_summaries = summarize;
        self
    }

    /// Whether every page of the catalog is checked at the open. It takes about two seconds per GiB, and it finds all
    /// damage at once. Without, damage is found when the block it is in is read.
    ///
    /// Catalogs of the first version have no checksums of blocks. There, without this, damage is found when a row is
    /// read, except where it hides a row that a filter needs: then a search can return too little until
    /// [`verify`](crate::Database::verify) says why. A compaction gives them checksums.
    #[must_use]
    pub fn check_pages(mut self, check: bool) -> Self {
        self.check_pages = check;
        self
    }

    /// Whether the database is only read, also beside a process that has it open and writes. It is not by default.
    ///
    /// The catalog of one commit is copied into memory and every page of it is checked; the database then answers
    /// from that commit for ever, and refuses to be written to. A KV log whose segment the writer has given up since is
    /// [`Error::Outdated`]: open again. No lock is taken, no file is changed.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// How many commits stay readable after they are no longer the latest, by
    /// [`as_of`](crate::Scope::as_of); none unless said otherwise. Those that shared a sync count as one.
    ///
    /// The window begins with the open. What was deleted or replaced inside it still takes its place on disk.
    #[must_use]
    pub fn retain_commits(mut self, n: usize) -> Self {
        self.retained = n;
        self
    }

    /// From how many vectors of one kind of records of one scope on a graph is built over them, in the background;
    /// `usize::MAX` for never. With fewer, every candidate is compared, which is exact and as fast.
    #[must_use]
    pub fn graph_from(mut self, n_vectors: usize) -> Self {
        self.graph_from = n_vectors.max(1);
        self
    }

    /// Bytes that the vector index may hold in memory, 1 GiB unless said otherwise. What does not fit is read from the
    /// catalog by every search that needs it.
    #[must_use]
    pub fn index_memory_bytes(mut self, n_bytes: usize) -> Self {
        self.index_memory_bytes = n_bytes;
        self
    }

    /// Bytes of the catalog that may be in memory, for reading and writing together; 128 MiB unless said otherwise, 1 MiB
    /// at least. While a compaction writes the catalog anew, 32 MiB more.
    #[must_use]
    pub fn catalog_cache_bytes(mut self, n_bytes: usize) -> Self {
        self.catalog_cache_bytes = n_bytes;
        self
    }

    /// Whether a database can be opened so.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the option that makes no sense.
    pub(crate) fn check(&self) -> Result<()> {
        if self.catalog_cache_bytes < LEAST_CATALOG_CACHE_BYTES {
            let detail = format!("{}; {LEAST_CATALOG_CACHE_BYTES} are needed", self.catalog_cache_bytes);
            return Err(Error::invalid("catalog_cache_bytes", detail));
        }
        Ok(())
    }

    /// Bytes from which on a segment gets no more KV logs: a transaction or a compaction goes on in another. 256 MiB unless
    /// said otherwise. It bounds what the upkeep copies at once; a compaction or a purge copies all that it has to.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// What time it is, in ms since 1970; the system's clock unless said otherwise. Every snapshot asks once, when it is
    /// taken: what is over by then, it does not find.
    #[must_use]
    pub fn clock(mut self, now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.clock = Clock(Arc::new(now_ms));
        self
    }

    /// What others are told who find the database locked; the program's name and process id unless said otherwise.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into().chars().filter(|c| !c.is_control()).collect();
        let end = (0..=OWNER_BYTES.min(self.owner.len())).rev().find(|&end| self.owner.is_char_boundary(end));
        self.owner.truncate(end.unwrap_or(0));
        self
    }
}

fn this_process() -> String {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_stem()).map(|name| name.to_string_lossy().into_owned());
    format!("{} (process {})", name.as_deref().unwrap_or("a program"), std::process::id())
}
