//! The nearest vectors among candidates: an exact scan, kept in memory per scope.
//!
//! What is kept is a cache and nothing else. An embedding never changes under its id and ids are never reused, so a
//! vector that was read once is right for every snapshot; which of them count is said by the candidates, a bitmap of
//! the snapshot that asks. Candidates that are not in memory yet are fetched from that snapshot first: so an answer
//! never lacks a record, whatever the cache holds.
//!
//! **The seam.** A graph (architecture: HNSW, flattened) will stand behind [`VectorIndex::nearest`] beside
//! [`ExactScan`]: it may propose too many ids, for they are intersected with the candidates; ids that it does not know
//! yet are scanned exactly, as they are here. The exact scan stays as the reference and for few candidates.
//!
//! Scores are cosines of unit vectors, -1 to 1. Ties go to the lower id.

use crate::catalog::{ScopeId, Table, value};
use crate::record::embedding::dot;
use crate::{Error, Result};
use roaring::RoaringBitmap;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// What is asked of the index.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    /// The unit vector to be near to, `[dim]`.
    pub(crate) near: &'a [f32],
    /// Which records count.
    pub(crate) candidates: &'a RoaringBitmap,
    /// How many are wanted at most.
    pub(crate) limit: usize,
    /// The least score.
    pub(crate) floor: f32,
}

/// A record and its cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scored {
    pub(crate) document: u32,
    pub(crate) score: f32,
}

/// Where vectors that are not in memory come from: adds each of the ids to the scan.
pub(crate) type Fetch<'a> = dyn Fn(&RoaringBitmap, &mut ExactScan) -> Result<()> + 'a;

/// By scope and dimension: a transaction may settle on a dimension and then never happen.
type Scans = BTreeMap<(ScopeId, usize), Arc<RwLock<ExactScan>>>;

/// The vectors of all scopes.
#[derive(Debug, Default)]
pub(crate) struct VectorIndex {
    scopes: Mutex<Scans>,
}

impl VectorIndex {
    /// The best of the candidates, best first.
    ///
    /// `remember`: whether fetched vectors may be kept. Not those of a transaction, which may never happen.
    pub(crate) fn nearest(
        &self,
        scope: ScopeId,
        search: &Search<'_>,
        fetch: &Fetch<'_>,
        remember: bool,
    ) -> Result<Vec<Scored>> {
        let dim = search.near.len();
        let scan = self.scope(scope, dim);
        let missing = search.candidates - &scan.read().unwrap_or_else(PoisonError::into_inner).members;
        let mut fetched = ExactScan::new(dim);
        if !missing.is_empty() {
            fetch(&missing, &mut fetched)?;
        }
        let mut best = Best::new(search.limit);
        if remember {
            if !missing.is_empty() {
                scan.write().unwrap_or_else(PoisonError::into_inner).absorb(&fetched);
            }
            scan.read().unwrap_or_else(PoisonError::into_inner).search(search, search.candidates, &mut best);
        } else {
            // Others may have absorbed some of the missing ones by now; each is offered once.
            fetched.search(search, &missing, &mut best);
            let known = search.candidates - &missing;
            scan.read().unwrap_or_else(PoisonError::into_inner).search(search, &known, &mut best);
        }
        Ok(best.into_sorted())
    }

    /// Forgets everything; it is read again when it is needed.
    pub(crate) fn clear(&self) {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn scope(&self, scope: ScopeId, dim: usize) -> Arc<RwLock<ExactScan>> {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.entry((scope, dim)).or_insert_with(|| Arc::new(RwLock::new(ExactScan::new(dim)))).clone()
    }
}

/// Vectors side by side, `[n, dim]`, and whose they are.
#[derive(Debug)]
pub(crate) struct ExactScan {
    dim: usize,
    members: RoaringBitmap,
    documents: Vec<u32>,
    numbers: Vec<f32>,
}

impl ExactScan {
    fn new(dim: usize) -> Self {
        Self { dim, members: RoaringBitmap::new(), documents: Vec::new(), numbers: Vec::new() }
    }

    /// Adds the vector of `document`, little-endian as it is stored.
    pub(crate) fn add(&mut self, document: u32, stored: &[u8]) -> Result<()> {
        if stored.len() != self.dim * 4 {
            let detail = format!("{} bytes for {} numbers", stored.len(), self.dim);
            return Err(Error::invalid("embedding", detail));
        }
        if self.members.insert(document) {
            self.documents.push(document);
            self.numbers.extend(stored.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        }
        Ok(())
    }

    /// Fails when one of `wanted` was not added: the catalog says it has an embedding, and there is none.
    pub(crate) fn require(&self, wanted: &RoaringBitmap) -> Result<()> {
        match (wanted - &self.members).min() {
            None => Ok(()),
            Some(id) => Err(value::corrupt(Table::Embeddings, &[], format!("the row of record {id} is missing"))),
        }
    }

    /// Adds the vectors of `other`, which has the same dimension.
    fn absorb(&mut self, other: &Self) {
        debug_assert_eq!(self.dim, other.dim, "scans are kept by dimension");
        for (document, vector) in other.documents.iter().zip(other.numbers.chunks_exact(self.dim)) {
            if self.members.insert(*document) {
                self.documents.push(*document);
                self.numbers.extend_from_slice(vector);
            }
        }
    }

    /// Offers those of `among` that it has.
    fn search(&self, search: &Search<'_>, among: &RoaringBitmap, best: &mut Best) {
        for (document, vector) in self.documents.iter().zip(self.numbers.chunks_exact(self.dim)) {
            if among.contains(*document) {
                let score = dot(search.near, vector);
                if score >= search.floor {
                    best.offer(Scored { document: *document, score });
                }
            }
        }
    }
}

/// The best few of what was offered.
struct Best {
    limit: usize,
    /// The worst of them on top.
    heap: BinaryHeap<Worst>,
}

struct Worst(Scored);

impl Worst {
    /// Better first: higher score, then lower id.
    fn rank(&self, other: &Self) -> Ordering {
        other.0.score.total_cmp(&self.0.score).then(self.0.document.cmp(&other.0.document))
    }
}

impl PartialEq for Worst {
    fn eq(&self, other: &Self) -> bool {
        self.rank(other).is_eq()
    }
}

impl Eq for Worst {}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Worst {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank(other)
    }
}

impl Best {
    fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    fn offer(&mut self, scored: Scored) {
        if self.heap.len() < self.limit {
            self.heap.push(Worst(scored));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && Worst(scored) < *worst
        {
            *worst = Worst(scored);
        }
    }

    fn into_sorted(self) -> Vec<Scored> {
        self.heap.into_sorted_vec().into_iter().map(|worst| worst.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add_all(missing: &RoaringBitmap, scan: &mut ExactScan) -> Result<()> {
        let stored = |id: u32| [1.0, id as f32].iter().flat_map(|x: &f32| x.to_le_bytes()).collect::<Vec<u8>>();
        missing.iter().try_for_each(|id| scan.add(id, &stored(id)))
    }

    /// A transaction fetched vectors, a snapshot on another thread absorbed the same ones meanwhile, and the transaction
    /// offered them twice: of a limit of two hits, one was a repetition.
    #[test]
    fn what_another_thread_absorbs_meanwhile_is_offered_once() {
        let index = VectorIndex::default();
        let candidates: RoaringBitmap = (1..=3).collect();
        let search = Search { near: &[0.0, 1.0], candidates: &candidates, limit: 2, floor: -1.0 };
        let fetch = |missing: &RoaringBitmap, scan: &mut ExactScan| {
            index.nearest(ScopeId(1), &search, &add_all, true)?;
            add_all(missing, scan)
        };
        let found = index.nearest(ScopeId(1), &search, &fetch, false).unwrap();
        assert_eq!(found.iter().map(|scored| scored.document).collect::<Vec<_>>(), [3, 2]);
    }
}
