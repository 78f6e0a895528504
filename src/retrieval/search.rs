//! Searching a snapshot: bitmaps say who may answer, vectors say in which order, rows give the records.

use super::Query;
use super::query::Without;
use crate::catalog::{Key, ScopeId, Table, value};
use crate::index::bitmaps::{self, Field, document};
use crate::index::vector::{ExactScan, Scored, Search};
use crate::record::{Record, RecordKind, Trajectory};
use crate::{Id, Result, Snapshot};
use roaring::RoaringBitmap;

/// From this share of the scope on, fetching walks the table instead of looking up each row.
const WALK_SHARE: u64 = 4;

/// A record that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit<R> {
    /// Its id.
    pub id: Id<R>,
    /// Cosine to the query, -1 to 1.
    pub score: f32,
    /// The record.
    pub record: R,
}

impl Snapshot {
    /// The records that `query` asks for, best first; equal scores by lower id. Only records with an embedding.
    ///
    /// # Errors
    /// [`Error::SpaceMismatch`](crate::Error::SpaceMismatch) when the database has embeddings of another space;
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a row is damaged.
    pub fn search<R: Record>(&self, query: &Query) -> Result<Vec<Hit<R>>> {
        let (Some(scope), Some(space)) = (self.scope, self.space()?) else { return Ok(Vec::new()) };
        query.near.space().require(&space)?;
        let candidates = self.candidates(scope, R::KIND, query)?;
        let hits: Vec<Hit<R>> = self
            .nearest(scope, &candidates, query)?
            .into_iter()
            .map(|scored| self.hit(scored))
            .collect::<Result<_>>()?;
        hits.iter().try_for_each(|hit| self.check_left_out(query, &hit.record))?;
        Ok(hits)
    }

    /// A bitmap that lost a row would let in what was to be left out: the records themselves are asked once more.
    fn check_left_out<R: Record>(&self, query: &Query, record: &R) -> Result<()> {
        if query.without.is_empty() {
            return Ok(());
        }
        if let Some(trajectory) = record.as_trajectory() {
            return query.without.iter().try_for_each(|without| without.expect_not(trajectory));
        }
        for evidence in record.as_strategy().map(|strategy| strategy.provenance.evidence.as_slice()).unwrap_or_default()
        {
            let is_out = |without: &Without| without.names(evidence.trajectory);
            if query.without.iter().any(is_out) {
                return Err(lost_row());
            }
            if let Some(trajectory) = self.get(evidence.trajectory)? {
                query.without.iter().try_for_each(|without| without.expect_not(&trajectory))?;
            }
        }
        Ok(())
    }

    fn candidates(&self, scope: ScopeId, kind: RecordKind, query: &Query) -> Result<RoaringBitmap> {
        let outcome = query.outcome.map(Field::Outcome);
        let labels = query.labels.iter().map(|label| Field::Label(label));
        let needed = [Field::Embedded].into_iter().chain(outcome).chain(query.kind.map(Field::Kind)).chain(labels);
        let mut candidates = bitmaps::load(&self.rows, scope, Field::Live(kind))?;
        for field in needed {
            candidates &= bitmaps::load(&self.rows, scope, field)?;
        }
        for without in &query.without {
            candidates -= self.left_out(scope, without)?;
        }
        Ok(candidates)
    }

    fn left_out(&self, scope: ScopeId, without: &Without) -> Result<RoaringBitmap> {
        match without {
            Without::Task(task) => bitmaps::load(&self.rows, scope, Field::Task(task)),
            Without::Group(group) => bitmaps::load(&self.rows, scope, Field::Group(group)),
            Without::Record(kind, id) => {
                let mut out = match kind {
                    RecordKind::Trajectory => bitmaps::load(&self.rows, scope, Field::Evidence(Id::from_u64(*id)))?,
                    RecordKind::Strategy => RoaringBitmap::new(),
                };
                out.extend(document(*id).ok());
                Ok(out)
            }
        }
    }

    fn nearest(&self, scope: ScopeId, candidates: &RoaringBitmap, query: &Query) -> Result<Vec<Scored>> {
        let near = query.near.as_slice();
        let search = Search { near, candidates, limit: query.limit, floor: query.floor };
        let fetch = |missing: &RoaringBitmap, scan: &mut ExactScan| self.fetch(scope, missing, scan);
        self.store.vectors.nearest(scope, &search, &fetch, !self.rows.is_writing())
    }

    /// Reads the embeddings of `missing` from the catalog; each of them must be there.
    fn fetch(&self, scope: ScopeId, missing: &RoaringBitmap, scan: &mut ExactScan) -> Result<()> {
        let all = bitmaps::load(&self.rows, scope, Field::Embedded)?.len();
        if missing.len() * WALK_SHARE >= all {
            self.rows.scan(Table::Embeddings, &Key::scope(scope), &mut |key, opened| {
                let id = Key::u64_at(key, 4).and_then(|id| document(id).ok());
                match id.filter(|id| missing.contains(*id)) {
                    Some(id) => scan.add(id, opened.payload),
                    None => Ok(()),
                }
            })?;
            return scan.require(missing);
        }
        for id in missing {
            let key = Key::record(scope, u64::from(id));
            self.rows.get(Table::Embeddings, &key, |opened| scan.add(id, opened.payload))?;
        }
        scan.require(missing)
    }

    fn hit<R: Record>(&self, scored: Scored) -> Result<Hit<R>> {
        let id = Id::from_u64(u64::from(scored.document));
        match self.get(id)? {
            Some(record) => Ok(Hit { id, score: scored.score, record }),
            None => {
                let what = format!("{} {id} is in an index and has no row", R::KIND.as_str());
                Err(value::corrupt(Table::Bitmaps, &[], what))
            }
        }
    }
}

impl Without {
    fn names(&self, id: Id<Trajectory>) -> bool {
        matches!(self, Self::Record(RecordKind::Trajectory, out) if *out == id.as_u64())
    }

    fn expect_not(&self, trajectory: &Trajectory) -> Result<()> {
        let is_out = match self {
            Self::Task(task) => trajectory.task == *task,
            Self::Group(group) => trajectory.rollout.as_ref().is_some_and(|rollout| rollout.group == *group),
            Self::Record(..) => false,
        };
        if is_out { Err(lost_row()) } else { Ok(()) }
    }
}

fn lost_row() -> crate::Error {
    value::corrupt(Table::Bitmaps, &[], "a row is missing: a record came up that it leaves out")
}
