//! One search: along the planned way to a shortlist, and from there to exact answers.

use super::best::{Best, Scored};
use super::code::{FineScratch, Precision, QueryCode, Scores};
use super::generation::Generation;
use super::graph::{Aim, Scratch};
use super::plan::{Plan, Route, Situation, Why};
use super::scan::{ExactScan, Shortlist, numbers_into};
use super::{SpaceIndex, State};
use crate::catalog::{Table, value};
use crate::record::embedding::dot;
use crate::{CommitId, Result};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// What is asked of the index.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    /// The unit vector to be near to, `[dim]`.
    pub(crate) near: &'a [f32],
    /// The commit that is read.
    pub(crate) as_of: CommitId,
    /// All records of the kind that have an embedding, for whoever keeps the index.
    pub(crate) live: &'a Arc<RoaringBitmap>,
    /// Which records count; some of those.
    pub(crate) candidates: &'a RoaringBitmap,
    /// How many are wanted at most.
    pub(crate) limit: usize,
    /// The least score.
    pub(crate) floor: f32,
}

impl Search<'_> {
    /// Whether every record with an embedding counts.
    pub(super) fn is_of_all(&self) -> bool {
        std::ptr::eq(self.candidates, &raw const **self.live)
    }
}

/// What was found, and how.
#[derive(Debug)]
pub(crate) struct Found {
    /// Best first.
    pub(crate) best: Vec<Scored>,
    pub(crate) plan: Plan,
}

/// Where vectors are stored.
pub(crate) trait Source {
    /// Adds each of `wanted` to the scan, ascending.
    fn fetch(&self, wanted: &RoaringBitmap, scan: &mut ExactScan) -> Result<()>;

    /// Shows stored vectors, one after the other, for as long as `visit` wants more; `None` for one that is not there.
    fn read(&self, documents: &[u32], visit: &mut dyn FnMut(u32, Option<&[u8]>) -> bool) -> Result<()>;
}

/// The best of what `state` has, and of `fetched` those that are `missing` in it.
pub(super) fn search(
    space: &SpaceIndex,
    state: &State,
    fetched: &ExactScan,
    missing: &RoaringBitmap,
    search: &Search<'_>,
    source: &dyn Source,
) -> Result<Found> {
    let query = QueryCode::new(search.near);
    let mut way = Way { search, query: &query, n_compared: 0 };
    let n_indexed = state.n_indexed(search);
    let mut plan = Plan::choose(Situation {
        n_candidates: search.candidates.len() as usize,
        n_indexed,
        n_graph: state.base.as_ref().map_or(0, |base| base.scan.documents.len()),
        limit: search.limit,
    });
    let mut shortlist = Shortlist::new(search.limit, search.floor);
    if let Some(base) = &state.base {
        let walked = space.with_scratch(|scratch| match plan.route {
            Route::Scan => Err(plan.why),
            Route::Walk => way.walk(base, &plan, scratch, &mut shortlist).or_else(|why| {
                // A filter keeps out a little more around the query than elsewhere.
                plan = plan.wider().ok_or(why)?;
                shortlist = Shortlist::new(search.limit, search.floor);
                way.walk(base, &plan, scratch, &mut shortlist)
            }),
        });
        if let Err(why) = walked {
            (plan.route, plan.why) = (Route::Scan, why);
            shortlist = Shortlist::new(search.limit, search.floor);
            way.n_compared += base.scan.offer(&query, search.candidates, &mut shortlist);
        }
    }
    way.n_compared += state.tail.offer(&query, search.candidates, &mut shortlist);
    if !missing.is_empty() {
        way.n_compared += fetched.offer(&query, missing, &mut shortlist);
    }
    plan.n_compared = way.n_compared;
    let shortlist = shortlist.into_sorted();
    let best = match (&state.base, plan.route) {
        (Some(base), Route::Walk) => finely(search, &shortlist, &[&base.scan, &state.tail, fetched], &mut plan.n_exact),
        _ => None,
    };
    let best = match best {
        Some(best) => best,
        None => exactly(search, &shortlist, source, &mut plan.n_exact)?,
    };
    Ok(Found { best, plan })
}

/// The best of the shortlist by their fine codes, which one of `scans` has; `None` when one of them is damaged.
fn finely(search: &Search<'_>, shortlist: &[Scored], scans: &[&ExactScan], n_exact: &mut usize) -> Option<Vec<Scored>> {
    let place = |scored: &Scored| scans.iter().find_map(|scan| Some((&scan.codes, scan.node(scored.document)?)));
    // Hardly more than are wanted are read.
    shortlist.iter().take(search.limit + 1).filter_map(place).for_each(|(codes, node)| codes.fine.prefetch(node));
    let (mut best, mut scratch) = (Best::new(search.limit), FineScratch::default());
    for scored in shortlist {
        if scored.score < best.threshold() {
            break;
        }
        let (codes, node) = place(scored)?;
        let score = codes.fine_score(search.near, node, &mut scratch)?;
        *n_exact += 1;
        if score >= search.floor {
            best.offer(Scored { document: scored.document, score });
        }
    }
    Some(best.into_sorted())
}

/// The best of the shortlist by their stored vectors; those that cannot be among them are not read.
fn exactly(search: &Search<'_>, shortlist: &[Scored], source: &dyn Source, n_exact: &mut usize) -> Result<Vec<Scored>> {
    let mut best = Best::new(search.limit);
    if search.limit == 0 {
        return Ok(Vec::new());
    }
    let documents: Vec<u32> = shortlist.iter().map(|scored| scored.document).collect();
    let mut highest = shortlist.iter().skip(1).map(|scored| scored.score);
    let (mut lost, mut vector) = (None, Vec::with_capacity(search.near.len()));
    source.read(&documents, &mut |document, stored| {
        let Some(stored) = stored.filter(|stored| stored.len() == search.near.len() * 4) else {
            lost = Some(document);
            return false;
        };
        *n_exact += 1;
        numbers_into(stored, &mut vector);
        let score = dot(search.near, &vector);
        if score >= search.floor {
            best.offer(Scored { document, score });
        }
        highest.next().is_some_and(|highest| highest >= best.threshold())
    })?;
    match lost {
        None => Ok(best.into_sorted()),
        Some(id) => Err(value::corrupt(Table::Embeddings, &[], format!("the row of record {id} is missing or short"))),
    }
}

/// What a walk comes to, or why comparing has to do instead.
type Walked<T> = std::result::Result<T, Why>;

/// A search on its way through a generation.
struct Way<'a> {
    search: &'a Search<'a>,
    query: &'a QueryCode,
    n_compared: usize,
}

impl Way<'_> {
    /// Puts on the shortlist what a walk finds.
    fn walk(&mut self, base: &Generation, plan: &Plan, scratch: &mut Scratch, shortlist: &mut Shortlist) -> Walked<()> {
        scratch.n_scored = 0;
        let codes = &base.scan.codes;
        let aim = Aim { codes, query: self.query, precision: codes.of_walks(), breadth: plan.breadth };
        let entry = base.graph.entry(aim, scratch);
        if let Some(layer) = base.graph.layers.first() {
            layer.walk(aim, &[entry], scratch);
            scratch.refine(layer, codes, self.query);
        }
        self.take(base, plan, scratch, shortlist)
    }

    /// Takes what a walk reached, and the strays, as far as they are candidates.
    fn take(&mut self, base: &Generation, plan: &Plan, scratch: &mut Scratch, shortlist: &mut Shortlist) -> Walked<()> {
        let codes = &base.scan.codes;
        let margin = codes.usual_bound(self.query);
        let (mut n, mut last_rank) = (0, 0);
        let mut offer = |rank: usize, node: u32, score: f32| match base.scan.documents.get(node as usize) {
            Some(document) if self.search.is_of_all() || self.search.candidates.contains(*document) => {
                shortlist.offer(*document, score, margin);
                n += 1;
                if n == self.search.limit {
                    last_rank = rank;
                }
            }
            _ => {}
        };
        (1..).zip(scratch.pool()).for_each(|(rank, reached)| offer(rank, reached.place, reached.score));
        let mut scores = Scores::default();
        let is_new = |node: &&u32| scratch.pool().all(|reached| reached.place != **node);
        let strays: Vec<u32> = base.strays.iter().filter(is_new).copied().collect();
        codes.score(self.query, &strays, Precision::Full, &mut scores);
        strays.iter().zip(&scores.cosines).for_each(|(node, score)| offer(scratch.pool().len(), *node, *score));
        self.n_compared += scratch.n_scored + strays.len();
        if n >= self.search.limit && plan.is_sure_of(last_rank) { Ok(()) } else { Err(Why::FilterIsElsewhere) }
    }
}
