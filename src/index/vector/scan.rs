//! Vectors side by side that are compared one by one: the reference, and the way for few candidates and fresh rows.

use super::best::{Best, Scored};
use super::code::{Codes, Precision, QueryCode, Scores};
use crate::catalog::{Table, value};
use crate::{Error, Result};
use roaring::RoaringBitmap;

/// How many rows are compared at once.
const BATCH: usize = 256;

/// Codes of documents, ascending.
#[derive(Clone, Debug)]
pub(crate) struct ExactScan {
    pub(super) members: RoaringBitmap,
    pub(super) documents: Vec<u32>,
    pub(super) codes: Codes,
}

impl ExactScan {
    pub(super) fn new(dim: usize) -> Self {
        Self { members: RoaringBitmap::new(), documents: Vec::new(), codes: Codes::new(dim) }
    }

    /// Documents and their codes that were read. `None` when the documents do not ascend.
    pub(super) fn from_parts(documents: Vec<u32>, codes: Codes) -> Option<Self> {
        let members = RoaringBitmap::from_sorted_iter(documents.iter().copied()).ok()?;
        (members.len() == documents.len() as u64).then_some(Self { members, documents, codes })
    }

    /// Adds the vector of `document`, little-endian as it is stored. Documents come in ascending order.
    pub(crate) fn add(&mut self, document: u32, stored: &[u8]) -> Result<()> {
        if stored.len() != self.codes.dim() * 4 {
            let detail = format!("{} bytes for {} numbers", stored.len(), self.codes.dim());
            return Err(Error::invalid("embedding", detail));
        }
        if self.members.try_push(document).is_ok() {
            self.documents.push(document);
            self.codes.push(&numbers(stored));
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

    /// The union of the two, of which only those in `among` if it is given. The same dimension.
    pub(super) fn merged(&self, other: &Self, among: Option<&RoaringBitmap>) -> Self {
        let mut members = &self.members | &other.members;
        if let Some(among) = among {
            members &= among;
        }
        let n = members.len() as usize;
        let mut merged = Self::new(self.codes.dim());
        (merged.codes, merged.documents) = (Codes::with_capacity(self.codes.dim(), n), Vec::with_capacity(n));
        for document in &members {
            let (from, node) = match self.node(document) {
                Some(node) => (self, node),
                None => (other, other.node(document).unwrap_or_default()),
            };
            merged.documents.push(document);
            merged.codes.push_row(&from.codes, node);
        }
        merged.members = members;
        merged
    }

    /// Adds the vectors of `other`, which has the same dimension.
    pub(super) fn absorb(&mut self, other: &Self) {
        if self.members.max() < other.members.min() {
            for (node, document) in (0u32..).zip(&other.documents) {
                self.documents.push(*document);
                self.codes.push_row(&other.codes, node);
            }
            self.members |= &other.members;
        } else if !other.documents.is_empty() {
            *self = self.merged(other, None);
        }
    }

    /// The node of a document.
    pub(super) fn node(&self, document: u32) -> Option<u32> {
        // Most likely none is missing before it.
        let guess = document.checked_sub(*self.documents.first()?)?;
        if self.documents.get(guess as usize) == Some(&document) {
            return Some(guess);
        }
        self.documents.binary_search(&document).ok().map(|node| node as u32)
    }

    /// Offers those of `among` that it has; how many there are.
    ///
    /// Half of a code is compared first. Where that proves that others are better, the other half is not read.
    pub(super) fn offer(&self, query: &QueryCode, among: &RoaringBitmap, shortlist: &mut Shortlist) -> usize {
        let (margin, coarse_margin) = (self.codes.bound(query), self.codes.coarse_bound(query));
        let (mut scores, mut nodes) = (Scores::default(), Vec::with_capacity(BATCH));
        let mut compare = |nodes: &mut Vec<u32>| {
            self.codes.score(query, nodes, Precision::Coarse, &mut scores);
            let mut coarse = scores.cosines.iter();
            nodes.retain(|_| coarse.next().is_some_and(|score| shortlist.may_take(score + coarse_margin)));
            self.codes.score(query, nodes, Precision::Full, &mut scores);
            for (node, score) in nodes.iter().zip(&scores.cosines) {
                if let Some(document) = self.documents.get(*node as usize) {
                    shortlist.offer(*document, *score, margin);
                }
            }
            nodes.clear();
        };
        let mut n = 0;
        let mut add = |node: u32, nodes: &mut Vec<u32>| {
            nodes.push(node);
            n += 1;
            if nodes.len() == BATCH {
                compare(nodes);
            }
        };
        if among.is_superset(&self.members) {
            (0..self.documents.len() as u32).for_each(|node| add(node, &mut nodes));
        } else {
            let mut from = 0;
            for document in among {
                from += gallop(self.documents.get(from..).unwrap_or_default(), document);
                match self.documents.get(from) {
                    Some(here) if *here == document => add(from as u32, &mut nodes),
                    Some(_) => {}
                    None => break,
                }
            }
        }
        compare(&mut nodes);
        n
    }

    /// Bytes held.
    pub(super) fn n_bytes(&self) -> usize {
        self.codes.n_bytes() + self.documents.capacity() * 4 + self.members.serialized_size()
    }
}

/// How many of `ascending` are below `number`, most likely few.
fn gallop(ascending: &[u32], number: u32) -> usize {
    let mut end = 1;
    while ascending.get(end - 1).is_some_and(|x| *x < number) {
        end *= 2;
    }
    let start = end / 2;
    let rest = ascending.get(start..end.min(ascending.len())).unwrap_or_default();
    start + rest.partition_point(|x| *x < number)
}

/// The numbers of a stored vector.
pub(super) fn numbers(stored: &[u8]) -> Vec<f32> {
    let mut vector = Vec::new();
    numbers_into(stored, &mut vector);
    vector
}

/// The same, in place of what is in `vector`.
pub(super) fn numbers_into(stored: &[u8], vector: &mut Vec<f32>) {
    vector.clear();
    vector.extend(stored.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
}

/// What may be among the best: whatever is not certain to be worse than as many others as are wanted.
pub(super) struct Shortlist {
    /// The best of the least scores that there can be.
    least: Best,
    floor: f32,
    /// With the highest score that there can be.
    kept: Vec<Scored>,
}

impl Shortlist {
    pub(super) fn new(limit: usize, floor: f32) -> Self {
        Self { least: Best::new(limit), floor, kept: Vec::new() }
    }

    /// A document whose score is within `margin` of `score`.
    pub(super) fn offer(&mut self, document: u32, score: f32, margin: f32) {
        let highest = score + margin;
        if self.may_take(highest) {
            self.least.offer(Scored { document, score: score - margin });
            self.kept.push(Scored { document, score: highest });
        }
    }

    /// Whether what has this score at most may be among the best.
    fn may_take(&self, highest: f32) -> bool {
        highest >= self.least.threshold() && highest >= self.floor
    }

    /// The documents with the highest scores that they can have, highest first.
    pub(super) fn into_sorted(mut self) -> Vec<Scored> {
        let threshold = self.least.threshold();
        self.kept.retain(|scored| scored.score >= threshold);
        self.kept.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.document.cmp(&b.document)));
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn galloping_counts_what_is_below() {
        let ascending: Vec<u32> = (0..100).map(|x| x * 3).collect();
        for number in 0..310 {
            assert_eq!(gallop(&ascending, number), ascending.iter().filter(|x| **x < number).count(), "{number}");
        }
        assert_eq!(gallop(&[], 7), 0);
    }
}
