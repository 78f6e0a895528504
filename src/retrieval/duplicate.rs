//! Near duplicates: advice before something is put, never a refusal.

use super::{Hit, Query};
use crate::record::{Embedding, Record};
use crate::{Result, Snapshot};

impl Snapshot {
    /// The record nearest to `embedding`, if its cosine is at least `floor` (-1 to 1): what a record with this embedding
    /// would repeat. What to do about it is for the caller to say: leave it, supersede it, or put all the same.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn near_duplicate<R: Record>(&self, embedding: &Embedding, floor: f32) -> Result<Option<Hit<R>>> {
        let query = Query::near(embedding.clone()).floor(floor).limit(1);
        Ok(self.search(&query)?.into_iter().next())
    }
}
