//! The nearest records by id, without reading them, and how they were found.

use super::Query;
use super::search::{Among, filters_of};
use crate::catalog::{Key, Rows, ScopeId, Table};
use crate::index::bitmaps::{self, Field, document};
use crate::index::vector::{ExactScan, Found, Plan, Search, Source, VectorKey};
use crate::record::Record;
use crate::{Error, Id, Result, Snapshot};
use roaring::RoaringBitmap;

/// From this share of the scope on, fetching walks the table instead of looking up each row.
const WALK_SHARE: u64 = 4;

/// Records that were found, by id.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest<R> {
    /// Ids and cosines, best first; equal scores by lower id. Exact where all were compared, within 0.00001 or so where a
    /// graph was walked.
    pub hits: Vec<(Id<R>, f32)>,
    /// How they were found; `None` where there is nothing to search.
    pub plan: Option<Plan>,
}

impl Snapshot {
    /// The ids of the records nearest to the query's embedding, without reading the records; and which way the search
    /// went. A hit is checked against the filters only by bitmaps, where [`search`](Self::search) asks the records once more.
    ///
    /// # Errors
    /// As [`search`](Self::search); [`Error::Invalid`] for a query that is near to nothing, or asks for more than nearness
    /// (weights, diversity).
    pub fn nearest<R: Record>(&self, query: &Query) -> Result<Nearest<R>> {
        query.check()?;
        let Some(near) = &query.near else { return Err(Error::invalid("query", "is near to nothing")) };
        if query.is_weighed() {
            return Err(Error::invalid("query", "weights and diversity need the records: search"));
        }
        let nothing = Nearest { hits: Vec::new(), plan: None };
        let space = self.space_number(near.space())?;
        let (Some(scope), Some(_)) = (self.scope, space) else { return Ok(nothing) };
        let among = self.among::<R>(scope, space, query, &filters_of::<R>(query, self.now_ms()), &mut Vec::new())?;
        let found = self.nearest_among(scope, &among, near.as_slice(), query.limit, query.floor)?;
        let hits = found.best.into_iter().map(|scored| (Id::from_u64(u64::from(scored.document)), scored.score));
        Ok(Nearest { hits: hits.collect(), plan: Some(found.plan) })
    }

    /// The `limit` nearest of the candidates whose cosine is at least `floor`.
    pub(super) fn nearest_among(
        &self,
        scope: ScopeId,
        among: &Among,
        near: &[f32],
        limit: usize,
        floor: f32,
    ) -> Result<Found> {
        let (live, candidates) = (&among.live, among.candidates());
        let search = Search { near, as_of: self.commit, live, candidates, limit, floor };
        let key =
            VectorKey { scope: scope.0, kind: among.kind as u32 + 1, space: among.space + 1, dim: near.len() as u32 };
        let stored = Stored { rows: &self.rows, scope, space: among.space };
        self.store.vectors.nearest(key, &search, &stored, !self.rows.is_writing())
    }
}

/// The vectors of a scope, in the catalog.
struct Stored<'a> {
    rows: &'a Rows,
    scope: ScopeId,
    /// The number of the embedding space.
    space: u32,
}

impl Source for Stored<'_> {
    /// Each of them must be there.
    fn fetch(&self, wanted: &RoaringBitmap, scan: &mut ExactScan) -> Result<()> {
        let all = bitmaps::load(self.rows, self.scope, Field::Embedded(self.space))?.len();
        if wanted.len() * WALK_SHARE >= all {
            self.rows.scan(Table::Embeddings, &Key::scope(self.scope), &mut |key, opened| {
                let of_space = Key::embedding_of(key).filter(|(.., space)| *space == self.space);
                let id = of_space.and_then(|(_, id, _)| document(id).ok());
                match id.filter(|id| wanted.contains(*id)) {
                    Some(id) => scan.add(id, opened.payload),
                    None => Ok(()),
                }
            })?;
            return scan.require(wanted);
        }
        for id in wanted {
            let key = Key::embedding(self.scope, u64::from(id), self.space);
            self.rows.get(Table::Embeddings, &key, |opened| scan.add(id, opened.payload))?;
        }
        scan.require(wanted)
    }

    fn read(&self, documents: &[u32], visit: &mut dyn FnMut(u32, Option<&[u8]>) -> bool) -> Result<()> {
        let mut keys = documents.iter().map(|id| Key::embedding(self.scope, u64::from(*id), self.space));
        let mut ids = documents.iter();
        self.rows.get_each(Table::Embeddings, &mut keys, &mut |opened| {
            let Some(id) = ids.next() else { return Ok(false) };
            Ok(visit(*id, opened.map(|opened| opened.payload)))
        })
    }
}
