//! lagdb: an embedded, transactional memory for agents.

#[cfg(feature = "generate")]
pub mod agent;
mod catalog;
pub mod db;
pub mod embed;
pub mod error;
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

pub use db::{Database, Scope};
pub use embed::LexicalEmbedder;
pub use error::{Error, ErrorKind, Result};
pub use id::{CommitId, Id, SegmentId};
pub use lagdb_format as format;
pub use maintenance::{Compaction, Problem, Progress, Stats, VerifyReport};
pub use options::Options;
pub use record::{
    Embedding, EmbeddingSpace, Evidence, Judgment, Outcome, Polarity, Provenance, Record, RecordKind, Rollout, Step,
    Strategy, StrategyKind, Trajectory,
};
pub use retrieval::{Hit, Query};
pub use txn::{KvLogInfo, Snapshot, Transaction};
