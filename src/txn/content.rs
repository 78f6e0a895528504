//! Content: what a record says, without what became of it later. The same content in the same scope is one record.
//!
//! A record is filed under a digest of its content when it is put. Whoever is found there is compared once more, so a
//! digest of an older form of the codec, or a collision, at worst lets a record be stored twice.

use super::{Snapshot, Transaction};
use crate::catalog::ScopeId;
use crate::index::bitmaps::{self, Field};
use crate::record::Record;
use crate::{Id, Result};

impl Snapshot {
    /// The record of this scope with exactly this content, if there is one; the oldest of several.
    ///
    /// Of a strategy, its status is no part of the content: one that was suspended or superseded is found.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a row is damaged.
    pub fn find<R: Record>(&self, record: &R) -> Result<Option<Id<R>>> {
        let Some(scope) = self.scope else { return Ok(None) };
        let digest = digest(record);
        for id in bitmaps::load(&self.rows, scope, Field::Content(digest))? {
            let id = Id::from_u64(u64::from(id));
            if self.contains(id)? && self.get(id)?.is_some_and(|found| self::digest(&found) == digest) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

impl Transaction {
    pub(super) fn file_content<R: Record>(&self, scope: ScopeId, id: u64, record: &R) -> Result<()> {
        bitmaps::insert(&self.rows, scope, Field::Content(digest(record)), id)
    }

    pub(super) fn forget_content<R: Record>(&self, scope: ScopeId, id: u64, record: &R) -> Result<()> {
        bitmaps::remove(&self.rows, scope, Field::Content(digest(record)), id)
    }
}

/// The first half of the BLAKE3 of kind and content.
pub(super) fn digest<R: Record>(record: &R) -> [u8; 16] {
    let encoded = record.content().encode();
    let mut hasher = blake3::Hasher::new();
    hasher.update(R::KIND.as_str().as_bytes());
    hasher.update(&encoded.schema.to_le_bytes());
    // What cannot be encoded is refused before it is stored.
    hasher.update(encoded.bytes.as_deref().unwrap_or_default());
    let mut half = [0; 16];
    half.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
    half
}
