//! The catalog's own rows: counters, scopes, the embedding space, where KV logs lie.
//!
//! **Frozen** as records are: a row that changes gets another schema number.

use super::{Table, value};
use crate::record::codec::{self, Undecodable};
use crate::{Error, Result};
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

/// A row with one archive form.
pub(crate) trait Row: Sized {
    const SCHEMA: u16 = 1;
    fn archive(&self) -> std::result::Result<AlignedVec, String>;
    fn unarchive(bytes: &[u8]) -> std::result::Result<Self, Undecodable>;
}

macro_rules! rows {
    ($($row:ty),*) => {$(
        impl Row for $row {
            fn archive(&self) -> std::result::Result<AlignedVec, String> {
                codec::archive(self)
            }

            fn unarchive(bytes: &[u8]) -> std::result::Result<Self, Undecodable> {
                codec::unarchive(bytes)
            }
        }
    )*};
}

rows!(State, ScopeRow, SpaceRow, SpacesRow, DerivedRow, SegmentRow, KvLogRows, EvictedRow);

/// The database as a whole.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Number of the latest commit.
    pub(crate) commit: u64,
    /// The next record's number. The ids of records, from 1 on.
    pub(crate) next_id: u64,
    /// The next segment's number.
    pub(crate) next_segment: u64,
    /// The next scope's number.
    pub(crate) next_scope: u32,
    /// Rows of the table of scopes. With the next one: so that a row that damage hides is missed.
    pub(crate) n_scopes: u32,
    /// Rows of the table of segments.
    pub(crate) n_segments: u32,
}

impl Default for State {
    fn default() -> Self {
        Self { commit: 0, next_id: 1, next_segment: 1, next_scope: 1, n_scopes: 0, n_segments: 0 }
    }
}

/// A scope.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeRow {
    /// Its number, never given again.
    pub(crate) id: u32,
}

/// The embedding space of the database.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpaceRow {
    /// The model.
    pub(crate) name: String,
    /// Numbers per vector.
    pub(crate) dim: u32,
}

/// All embedding spaces, where there is or was more than one.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpacesRow {
    /// The number, the [role](super::spaces::Role) and what it is.
    pub(crate) spaces: Vec<(u32, u8, SpaceRow)>,
    /// The next number.
    pub(crate) next: u32,
}

/// Which bitmaps and counters a catalog has: those of the lagdb that made them.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DerivedRow {
    /// Raised whenever there is something new to derive, and with each new version of a record: the digest of its content
    /// changes with it.
    pub(crate) version: u32,
}

impl DerivedRow {
    /// What this lagdb derives.
    pub(crate) const NOW: Self = Self { version: 3 };
}

/// A segment file that the catalog knows.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRow {
    /// Length of the file in bytes.
    pub(crate) len: u64,
    /// BLAKE3 of the end of the file (footer and tail): another file under the same name is not this one.
    pub(crate) footer: [u8; 32],
    /// Bytes of that end.
    pub(crate) footer_bytes: u64,
    /// KV logs in it, living or dead.
    pub(crate) n_row_groups: u32,
}

/// All KV logs of one trajectory, so that none of them can get lost unnoticed.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KvLogRows {
    /// One per model.
    pub(crate) logs: Vec<KvLogRow>,
}

/// Where one KV log lies.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KvLogRow {
    /// Id of the fingerprint of the model that made it.
    pub(crate) fingerprint: [u8; 32],
    /// Which segment.
    pub(crate) segment: u64,
    /// Which row group of the segment, from 0.
    pub(crate) row_group: u32,
    /// Tokens.
    pub(crate) n_tokens: u32,
    /// Bytes on disk.
    pub(crate) n_bytes: u64,
}

/// KV logs that were ever evicted to keep a budget.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EvictedRow {
    /// How many.
    pub(crate) kv_logs: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// The row that stands in an opened value.
pub(crate) fn decode<R: Row>(table: Table, key: &[u8], opened: value::Opened<'_>) -> Result<R> {
    if opened.schema != R::SCHEMA {
        return Err(undecodable(table, key, Undecodable::Newer(opened.schema)));
    }
    R::unarchive(opened.payload).map_err(|error| undecodable(table, key, error))
}

/// The error for a payload that has the right checksum and is no row nevertheless.
pub(crate) fn undecodable(table: Table, key: &[u8], error: Undecodable) -> Error {
    match error {
        Undecodable::Newer(schema) => {
            let what = format!("schema {schema} of {}", table.name());
            Error::Unsupported { file: super::CATALOG.into(), what }
        }
        Undecodable::Wrong(what) => value::corrupt(table, key, what),
    }
}
