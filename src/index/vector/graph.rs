//! A navigable graph over codes: layers that thin out upwards, and the walk that finds what is near on one of them.
//!
//! Malkov and Yashunin, *Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small
//! World graphs*, 2016, <https://arxiv.org/abs/1603.09320>. One array of links per layer, `[n, width]`, four bytes a
//! link. A **node** is the number of a row of the codes; inside a layer a node has a **place**, and links are places.
//! The lowest layer has all nodes, each at the place of its number.

use super::code::{Codes, Precision, QueryCode, Scores};
use super::simd::prefetch;

/// Stands after the last link of a place.
pub(super) const NONE: u32 = u32::MAX;

/// Links of a place in the lowest layer.
pub(super) const BASE_WIDTH: usize = 32;
/// Links of a place in the layers above.
pub(super) const UPPER_WIDTH: usize = 16;

/// Layers, the lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Graph {
    pub(super) layers: Vec<Layer>,
}

/// Some nodes and their links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// By place, ascending; empty in the lowest layer, where a node is its place.
    pub(super) nodes: Vec<u32>,
    /// Links of a place at most.
    pub(super) width: usize,
    /// Places, `[n, width]`.
    pub(super) links: Vec<u32>,
}

/// Marks a place in the pool whose links were followed. Places are below.
const DONE: u32 = 1 << 31;
/// More places than any layer has.
pub(super) const MOST_PLACES: usize = DONE as usize;
/// Links of so many of the next in sight are fetched before it is certain that they are followed.
const LIKELY: usize = 3;

/// What a walk reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reached {
    pub(super) place: u32,
    pub(super) score: f32,
}

/// What a walk needs beside the graph; kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// By place, the number of the walk that came by last. One byte: it is looked up at random.
    seen: Vec<u8>,
    walk: u8,
    /// Places that are to be compared.
    fresh: Vec<u32>,
    /// Places that were met after those, while their rows are on the way.
    coming: Vec<u32>,
    nodes: Vec<u32>,
    scores: Scores,
    /// What is in sight, best first: places, some of them [`DONE`], and their scores.
    places: Vec<u32>,
    cosines: Vec<f32>,
    /// Codes that were compared with, since it was set to 0.
    pub(super) n_scored: usize,
}

/// Where a walk goes.
#[derive(Clone, Copy)]
pub(super) struct Aim<'a> {
    pub(super) codes: &'a Codes,
    pub(super) query: &'a QueryCode,
    pub(super) precision: Precision,
    /// How many of the nearest are kept in sight.
    pub(super) breadth: usize,
}

impl Scratch {
    /// What the walk left in sight, best first.
    pub(super) fn pool(&self) -> impl ExactSizeIterator<Item = Reached> {
        let reached = |(place, score): (&u32, &f32)| Reached { place: place & !DONE, score: *score };
        self.places.iter().zip(&self.cosines).map(reached)
    }

    fn begin(&mut self, n_places: usize) {
        self.places.clear();
        self.cosines.clear();
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 || self.seen.len() < n_places {
            self.seen.clear();
            self.seen.resize(n_places, 0);
            self.walk = 1;
        }
    }

    /// Sets what is coming to those of `places` that this walk comes by for the first time.
    fn meet(&mut self, places: &[u32]) {
        self.coming.resize(places.len(), 0);
        let mut n = 0;
        // No branch on whether a place is new: it is a matter of chance.
        for place in places.iter().take_while(|place| **place != NONE) {
            let Some(seen) = self.seen.get_mut(*place as usize) else { continue };
            if let Some(coming) = self.coming.get_mut(n) {
                *coming = *place;
            }
            n += usize::from(*seen != self.walk);
            *seen = self.walk;
        }
        self.coming.truncate(n);
    }

    /// The rank of the best whose links were not followed yet, from `at` on; from now on they were.
    fn follow(&mut self, mut at: usize) -> Option<(usize, u32)> {
        loop {
            let place = self.places.get_mut(at)?;
            if *place & DONE == 0 {
                let followed = *place;
                *place |= DONE;
                return Some((at, followed));
            }
            at += 1;
        }
    }

    /// Puts what is fresh in the pool; the best rank that was taken. From rank `at` on links are to be followed.
    fn take_fresh(&mut self, layer: &Layer, aim: Aim<'_>, at: usize) -> usize {
        let nodes = layer.nodes_of(&self.fresh, &mut self.nodes);
        aim.codes.score_coming(aim.query, nodes, aim.precision, &mut self.scores);
        self.n_scored += self.fresh.len();
        let mut best = usize::MAX;
        for (place, score) in self.fresh.iter().zip(&self.scores.cosines) {
            if self.cosines.len() >= aim.breadth {
                if self.cosines.last().is_some_and(|worst| score <= worst) {
                    continue;
                }
                self.cosines.pop();
                self.places.pop();
            }
            let rank = self.cosines.partition_point(|above| above >= score);
            if rank < at.saturating_add(LIKELY) {
                prefetch(layer.row(*place));
            }
            self.cosines.insert(rank, *score);
            self.places.insert(rank, *place);
            best = best.min(rank);
        }
        best
    }

    /// Scores what is in the pool anew, with all of its codes.
    pub(super) fn refine(&mut self, layer: &Layer, codes: &Codes, query: &QueryCode) {
        self.nodes.clear();
        self.nodes.extend(self.places.iter().map(|place| layer.node(place & !DONE)));
        codes.score(query, &self.nodes, Precision::Full, &mut self.scores);
        let mut pool: Vec<(f32, u32)> = self.scores.cosines.iter().copied().zip(self.places.iter().copied()).collect();
        pool.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.cosines.clear();
        self.places.clear();
        self.cosines.extend(pool.iter().map(|(score, _)| score));
        self.places.extend(pool.iter().map(|(_, place)| place));
    }

    /// Bytes held.
    pub(super) fn n_bytes(&self) -> usize {
        self.seen.capacity()
    }
}

impl Layer {
    pub(super) fn len(&self) -> usize {
        self.links.len() / self.width.max(1)
    }

    pub(super) fn node(&self, place: u32) -> u32 {
        self.nodes.get(place as usize).copied().unwrap_or(place)
    }

    /// The place of a node that this layer has.
    pub(super) fn place(&self, node: u32) -> Option<u32> {
        if self.nodes.is_empty() {
            return ((node as usize) < self.len()).then_some(node);
        }
        self.nodes.binary_search(&node).ok().map(|place| place as u32)
    }

    fn row(&self, place: u32) -> &[u32] {
        let start = place as usize * self.width;
        self.links.get(start..start + self.width).unwrap_or_default()
    }

    /// The nodes at `places`, in `nodes` unless they are the same.
    fn nodes_of<'a>(&self, places: &'a [u32], nodes: &'a mut Vec<u32>) -> &'a [u32] {
        if self.nodes.is_empty() {
            return places;
        }
        nodes.clear();
        nodes.extend(places.iter().map(|place| self.node(*place)));
        nodes
    }

    /// Leaves in the pool the nearest that can be reached from `seeds` over ever nearer ones.
    ///
    /// Comparing is one step behind: while the rows of what a step met are on their way from memory, what the step before
    /// met is compared.
    pub(super) fn walk(&self, aim: Aim<'_>, seeds: &[u32], scratch: &mut Scratch) {
        scratch.begin(self.len());
        scratch.meet(seeds);
        aim.codes.prefetch(self.nodes_of(&scratch.coming, &mut scratch.nodes), aim.precision);
        std::mem::swap(&mut scratch.fresh, &mut scratch.coming);
        scratch.take_fresh(self, aim, 0);
        scratch.fresh.clear();
        let mut at = 0;
        loop {
            match scratch.follow(at) {
                Some((rank, place)) => {
                    at = rank + 1;
                    scratch.meet(self.row(place));
                    aim.codes.prefetch(self.nodes_of(&scratch.coming, &mut scratch.nodes), aim.precision);
                }
                None if scratch.fresh.is_empty() => return,
                None => scratch.coming.clear(),
            }
            at = at.min(scratch.take_fresh(self, aim, at));
            std::mem::swap(&mut scratch.fresh, &mut scratch.coming);
        }
    }
}

impl Graph {
    /// The node from which a walk in the lowest layer begins: the nearest found on the way down.
    pub(super) fn entry(&self, aim: Aim<'_>, scratch: &mut Scratch) -> u32 {
        descend(self.layers.get(1..).unwrap_or_default(), aim, scratch)
    }

    /// Bytes held.
    pub(super) fn n_bytes(&self) -> usize {
        self.layers.iter().map(|layer| (layer.nodes.capacity() + layer.links.capacity()) * 4).sum()
    }
}

/// The nearest node that is found walking down through `layers`, node 0 when there is none.
pub(super) fn descend(layers: &[Layer], aim: Aim<'_>, scratch: &mut Scratch) -> u32 {
    let aim = Aim { breadth: 1, ..aim };
    let mut node = layers.last().map_or(0, |top| top.node(0));
    for layer in layers.iter().rev() {
        let seed = layer.place(node).unwrap_or(0);
        layer.walk(aim, &[seed], scratch);
        node = scratch.pool().next().map_or(node, |nearest| layer.node(nearest.place));
    }
    node
}
