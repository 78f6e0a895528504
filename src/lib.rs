//! lagdb: an embedded, transactional memory for agents.
//!
//! It remembers what an agent lived through ([`Trajectory`]), what it learned ([`Strategy`], as in ReasoningBank) and
//! what it computed ([KV logs](format::KvLog), as in Log-Augmented Generation), **in one transaction**, and gives all
//! three back: strategies as words in the prompt, KV logs as attention.
//!
//! ```
//! use lagdb::{Database, Judgment, LexicalEmbedder, Outcome, Query, Trajectory};
//!
//! # fn main() -> lagdb::Result<()> {
//! let database = Database::in_memory()?; // or Database::open("agent.lagdb")?
//! let agent = database.scope("support-bot")?;
//! let embedder = LexicalEmbedder::default();
//!
//! let mut tx = agent.begin()?;
//! let lived = Trajectory::new("cancel my flight to Seattle").step("which booking?", "lookup(MIA42)");
//! let id = tx.put(&lived)?;
//! tx.embed(id, &embedder.embed(&lived.task))?;
//! tx.judge(id, &Judgment::new(Outcome::Success, "unit test"))?;
//! tx.commit()?;
//!
//! let snapshot = agent.snapshot()?;
//! let near = Query::near(embedder.embed("please cancel a flight")).outcome(Outcome::Success);
//! let hits = snapshot.search::<Trajectory>(&near)?;
//! assert_eq!(hits[0].record, lived);
//! # Ok(())
//! # }
//! ```
//!
//! On disk a database is one directory: `catalog.redb`, `segments/*.kv` (immutable), `index/` (derived, may be deleted at
//! any time), `lock`, and `latest`, which notes a commit that was durable. Four sentences the design rests on:
//!
//! 1. A segment exists if and only if a living commit names it: the latest one, or one that a snapshot pins.
//! 2. The index may return too much, never too little; the snapshot decides what is visible.
//! 3. A KV log is addressed by the trajectory it came from and the model that can read it.
//! 4. Derived data can always be rebuilt from the catalog and the segments.
//!
//! # The house
//!
//! Imports point downwards in this list; a test sees to it.
//!
//! | floor | what |
//! |---|---|
//! | [`agent`] | the learning loop: recall, try, judge, distill, consolidate, remember; the only floor that sees store and generator |
//! | [`maintenance`] | verify every byte, compact, purge, back up, restore, count |
//! | [`db`] | [`Database`], [`Scope`]: where everything begins |
//! | [`retrieval`] | [`Query`], [`Filter`], [`Snapshot::search`] and why; guard, contrast |
//! | [`txn`] | [`Snapshot`]: one commit, pinned; [`Transaction`]: a snapshot that can be written to |
//! | `store` | the open files, the order of a commit, who may write, which commits are pinned |
//! | `catalog`, `segment`, `index` | rows in redb, each with its checksum; immutable KV files; bitmaps and vectors |
//! | [`medium`] | what is needed of a disk: files, memory, or a disk that fails on cue |
//! | [`embed`], [`options`] | the embedders; what can be chosen at the open |
//! | [`record`] | plain data and its frozen codec |
//! | [`id`], [`error`] | numbers that cannot be confused; what can go wrong and what to do about it |
//!
//! Beside them stands `generate` (feature `generate`): the decoder. It imports nothing of the store; both speak
//! [`format`](mod@format).

pub mod agent;
mod catalog;
pub mod db;
pub mod embed;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "generate")]
pub mod generate;
pub mod id;
mod index;
pub mod maintenance;
pub mod medium;
pub mod options;
pub mod record;
pub mod retrieval;
mod segment;
mod store;
pub mod txn;

pub use db::{Admin, Database, Scope};
#[cfg(feature = "generate")]
pub use embed::BertEmbedder;
pub use embed::{Embedder, LexicalEmbedder};
pub use error::{Error, ErrorKind, Result};
pub use id::{CommitId, Id, SegmentId};
pub use index::vector::{IndexStats, Plan, Route, Why};
pub use lagdb_format as format;
pub use maintenance::{
    Backup, Compaction, Debt, DiskBudget, Eviction, Expiry, Problem, Progress, PurgeReceipt, Stats, Upkeep,
    UpkeepHandle, UpkeepReport, VerifyReport,
};
pub use options::{KvStorage, Options};
pub use record::{
    Action, Condition, Delivery, DeliveryPoint, Embedding, EmbeddingSpace, Estimate, Evidence, Exposure, Judgment,
    JudgmentSource, Level, Offered, Outcome, Polarity, Provenance, Record, RecordKind, Rollout, Status, Step, Strategy,
    StrategyKind, StrategyStats, Tally, Trajectory, Trust,
};
pub use retrieval::{Contrast, Explanation, Filter, Hit, Lesson, Nearest, Query, Signals};
pub use txn::{KvLogInfo, Snapshot, Transaction};

/// The README's examples, compiled and run with the other examples; one of them generates.
#[cfg(all(doctest, feature = "generate"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
