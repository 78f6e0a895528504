//! Searching a snapshot: bitmaps say who may answer, vectors and other signals in which order, rows give the records.
//!
//! Searching is pure: it leaves no trace. What an agent was given is noted by
//! [`Transaction::expose`](crate::Transaction::expose).

use super::explain::{Considered, Explanation, Fate, Kept, Path};
use super::rank::{self, Signals};
use super::{Filter, Query};
use crate::catalog::{ScopeId, Table, value};
use crate::index::bitmaps::{self, Field};
use crate::index::vector::Embedded;
use crate::record::{Record, RecordKind, Status};
use crate::{Id, Result, Snapshot};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// A record that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit<R> {
    /// Its id.
    pub id: Id<R>,
    /// What it was ranked by: the cosine to the query, and what the query's weights add.
    pub score: f32,
    /// What the score is made of.
    pub signals: Signals,
    /// The record.
    pub record: R,
}

impl Snapshot {
    /// The records that `query` asks for, best first; equal scores by lower id. A query near to an embedding finds only
    /// records that have one. Strategies that are not active are found only by a filter that names their status, and what
    /// is over at the [time](Self::now_ms) of the snapshot only by one that asks for it ([`Filter::expired_at`]).
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) naming what cannot be asked for;
    /// [`Error::SpaceMismatch`](crate::Error::SpaceMismatch) when the database has embeddings of another space;
    /// [`Error::Corrupt`](crate::Error::Corrupt) when a row is damaged.
    pub fn search<R: Record>(&self, query: &Query) -> Result<Vec<Hit<R>>> {
        Ok(self.explain(query)?.hits)
    }

    /// As [`search`](Self::search), and how the answer came about.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn explain<R: Record>(&self, query: &Query) -> Result<Explanation<R>> {
        query.check()?;
        let mut explanation = Explanation::default();
        let Some(scope) = self.scope else { return Ok(explanation) };
        let space = match &query.near {
            Some(near) => self.space_number(near.space())?,
            None => None,
        };
        if query.near.is_some() && space.is_none() {
            return Ok(explanation);
        }
        let filters = filters_of::<R>(query, self.now_ms());
        let among = self.among::<R>(scope, space, query, &filters, &mut explanation.filters)?;
        explanation.n_records = among.n_records;
        let pool = self.pool(scope, &among, query, &mut explanation)?;
        let mut ranked = Vec::with_capacity(pool.len());
        for (number, similarity) in pool {
            let (id, record) = self.indexed::<R>(number)?;
            let signals = Signals::of(self, query, id, &record, similarity)?;
            ranked.push(Hit { id, score: signals.score(query), signals, record });
        }
        ranked.sort_by(|a, b| rank::better(a.score, b.score));
        self.choose(query, ranked, &mut explanation)?;
        explanation.hits.iter().try_for_each(|hit| self.check_let_through(&filters, hit.id, &hit.record))?;
        Ok(explanation)
    }

    /// How many records the filters of `query` let through, and where it is near to an embedding, have one: as many as a search
    /// without limit and floor would find. No record is read.
    ///
    /// # Errors
    /// As [`search`](Self::search).
    pub fn count<R: Record>(&self, query: &Query) -> Result<u64> {
        query.check()?;
        let Some(scope) = self.scope else { return Ok(0) };
        let space = match &query.near {
            Some(near) => match self.space_number(near.space())? {
                Some(space) => Some(space),
                None => return Ok(0),
            },
            None => None,
        };
        let filters = filters_of::<R>(query, self.now_ms());
        Ok(self.among::<R>(scope, space, query, &filters, &mut Vec::new())?.candidates().len())
    }

    /// Who has an embedding where one is needed, and is let through by every filter.
    pub(super) fn among<R: Record>(
        &self,
        scope: ScopeId,
        space: Option<u32>,
        query: &Query,
        filters: &[Filter],
        kept: &mut Vec<Kept>,
    ) -> Result<Among> {
        let space = query.near.as_ref().zip(space);
        let Embedded { n_records, live } = match space {
            Some((near, space)) => {
                let embedded = self.embedded(scope, R::KIND, space)?;
                kept.push(Kept { filter: Filter::embedded_in(near.space()), n_left: embedded.live.len() });
                embedded
            }
            None => {
                let live = bitmaps::load(&self.rows, scope, Field::Live(R::KIND))?;
                Embedded { n_records: live.len(), live: Arc::new(live) }
            }
        };
        let mut left: Option<RoaringBitmap> = None;
        for filter in filters {
            let among = left.as_ref().unwrap_or(&live);
            let let_through = filter.select(among, |property| property.bitmap(self, scope, among, R::KIND))?;
            kept.push(Kept { filter: filter.clone(), n_left: let_through.len() });
            if let_through.len() < among.len() {
                left = Some(let_through);
            }
        }
        Ok(Among { kind: R::KIND, space: space.map_or(0, |(_, space)| space), n_records, live, left })
    }

    /// All records of a kind with an embedding. A transaction asks its own rows, others may have asked before.
    fn embedded(&self, scope: ScopeId, kind: RecordKind, space: u32) -> Result<Embedded> {
        let load = || {
            let live = bitmaps::load(&self.rows, scope, Field::Live(kind))?;
            let (n_records, embedded) = (live.len(), bitmaps::load(&self.rows, scope, Field::Embedded(space))?);
            Ok(Embedded { n_records, live: Arc::new(live & embedded) })
        };
        if self.rows.is_writing() {
            return load();
        }
        self.store.vectors.embedded((scope.0, kind as u32, space), self.commit, load)
    }

    /// The candidates that are looked at one by one: the most similar, or else the newest.
    fn pool<R>(
        &self,
        scope: ScopeId,
        among: &Among,
        query: &Query,
        explanation: &mut Explanation<R>,
    ) -> Result<Vec<(u32, Option<f32>)>> {
        let n = query.n_candidates();
        let Some(near) = &query.near else {
            explanation.path = Path::Newest;
            return Ok(among.candidates().iter().rev().take(n).map(|number| (number, None)).collect());
        };
        let found = self.nearest_among(scope, among, near.as_slice(), n, -1.0)?;
        explanation.path = Path::Nearest(found.plan);
        Ok(found.best.into_iter().map(|scored| (scored.document, Some(scored.score))).collect())
    }

    /// Takes what is similar enough, unlike what was taken before if asked, and within the limit.
    fn choose<R: Record>(&self, query: &Query, ranked: Vec<Hit<R>>, explanation: &mut Explanation<R>) -> Result<()> {
        let similar = |hit: &Hit<R>| hit.signals.similarity.is_none_or(|similarity| similarity >= query.floor);
        let (mut similar, too_far): (Vec<_>, Vec<_>) = ranked.into_iter().partition(similar);
        let fate = match query.diversity {
            Some(lambda) => {
                similar = self.diversified(query, similar, lambda)?;
                Fate::LikeOthers
            }
            None => Fate::BeyondLimit,
        };
        let beyond = similar.split_off(query.limit.min(similar.len()));
        let note = |fate| move |hit: &Hit<R>| Considered { id: hit.id, score: hit.score, signals: hit.signals, fate };
        explanation.considered.extend(similar.iter().map(note(Fate::Hit)));
        explanation.considered.extend(beyond.iter().map(note(fate)));
        explanation.considered.extend(too_far.iter().map(note(Fate::BelowFloor)));
        explanation.hits = similar;
        Ok(())
    }

    /// The diverse ones first, then the others.
    fn diversified<R: Record>(&self, query: &Query, hits: Vec<Hit<R>>, lambda: f32) -> Result<Vec<Hit<R>>> {
        let embedding = |hit: &Hit<R>| match &query.near {
            Some(near) => self.embedding_in(hit.id, near.space()),
            None => self.embedding(hit.id),
        };
        let embeddings = hits.iter().map(embedding).collect::<Result<Vec<_>>>()?;
        let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
        let order = rank::diverse(&scores, &embeddings, lambda, query.limit)?;
        let mut hits: Vec<Option<Hit<R>>> = hits.into_iter().map(Some).collect();
        let mut chosen: Vec<Hit<R>> = order.iter().filter_map(|at| hits.get_mut(*at).and_then(Option::take)).collect();
        chosen.extend(hits.into_iter().flatten());
        Ok(chosen)
    }

    /// A bitmap that lost a row would let in what was to be left out: the records themselves are asked once more.
    pub(super) fn check_let_through<R: Record>(&self, filters: &[Filter], id: Id<R>, record: &R) -> Result<()> {
        for filter in filters {
            if filter.holds(|property| property.holds(self, id, record))? == Some(false) {
                let what = format!("a row is missing: {} {id} came up for: {filter}", R::KIND.as_str());
                return Err(value::corrupt(Table::Bitmaps, &[], what));
            }
        }
        Ok(())
    }

    /// The record that an index names.
    pub(super) fn indexed<R: Record>(&self, number: u32) -> Result<(Id<R>, R)> {
        let id = Id::from_u64(u64::from(number));
        match self.get(id)? {
            Some(record) => Ok((id, record)),
            None => {
                let what = format!("{} {id} is in an index and has no row", R::KIND.as_str());
                Err(value::corrupt(Table::Bitmaps, &[], what))
            }
        }
    }
}

/// Who may answer.
pub(super) struct Among {
    pub(super) kind: RecordKind,
    /// Of the embedding space.
    pub(super) space: u32,
    /// Records of the kind in the scope.
    pub(super) n_records: u64,
    /// Of these, those with an embedding where one is needed.
    pub(super) live: Arc<RoaringBitmap>,
    /// Of these, those that every filter lets through, where a filter keeps any out.
    pub(super) left: Option<RoaringBitmap>,
}

impl Among {
    /// Those that may answer.
    pub(super) fn candidates(&self) -> &RoaringBitmap {
        self.left.as_ref().unwrap_or(&self.live)
    }
}

/// Every status but active.
pub(super) fn inactive() -> Filter {
    Filter::any_of(Status::ALL.into_iter().filter(|status| *status != Status::Active).map(Filter::status))
}

/// The filters of a query; unless they ask for it, also that a record is not over, and that a strategy is active.
pub(super) fn filters_of<R: Record>(query: &Query, now_ms: u64) -> Vec<Filter> {
    let mut filters = query.filters.clone();
    if R::KIND == RecordKind::Strategy && !filters.iter().any(Filter::names_status) {
        // Said by what it is not: a lost row then lets something in, which is noticed, and never hides anything.
        filters.push(!inactive());
    }
    if !query.filters.iter().any(Filter::names_expiry) {
        filters.push(!Filter::expired_at(now_ms));
    }
    filters
}
