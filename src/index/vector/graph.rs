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

/// What a walk reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reached {
    pub(super) place: u32,
    pub(super) score: f32,
    /// Whether its links were followed.
    is_done: bool,
}

/// What a walk needs beside the graph; kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// By place, the number of the walk that came by last. One byte: it is looked up at random.
    seen: Vec<u8>,
    walk: u8,
    fresh: Vec<u32>,
    nodes: Vec<u32>,
    scores: Scores,
    /// Best first.
    pub(super) pool: Vec<Reached>,
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
    fn begin(&mut self, n_places: usize) {
        self.pool.clear();
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 || self.seen.len() < n_places {
            self.seen.clear();
            self.seen.resize(n_places, 0);
            self.walk = 1;
        }
    }

    /// Whether this walk comes by for the first time.
    fn is_new(&mut self, place: u32) -> bool {
        match self.seen.get_mut(place as usize) {
            Some(seen) if *seen != self.walk => {
                *seen = self.walk;
                true
            }
            _ => false,
        }
    }

    /// Puts what is fresh in the pool; the best rank that was taken.
    fn take_fresh(&mut self, layer: &Layer, aim: Aim<'_>) -> usize {
        let nodes = if layer.nodes.is_empty() {
            &self.fresh
        } else {
            self.nodes.clear();
            self.nodes.extend(self.fresh.iter().map(|place| layer.node(*place)));
            &self.nodes
        };
        aim.codes.score(aim.query, nodes, aim.precision, &mut self.scores);
        self.n_scored += self.fresh.len();
        let mut best = usize::MAX;
        for (place, score) in self.fresh.iter().zip(&self.scores.cosines) {
            if self.pool.len() >= aim.breadth {
                if self.pool.last().is_some_and(|worst| *score <= worst.score) {
                    continue;
                }
                self.pool.pop();
            }
            // Most of what is met is far down.
            let above = self.pool.iter().rposition(|reached| reached.score >= *score);
            let rank = above.map_or(0, |rank| rank + 1);
            self.pool.insert(rank, Reached { place: *place, score: *score, is_done: false });
            best = best.min(rank);
        }
        best
    }

    /// Scores what is in the pool anew, with all of its codes.
    pub(super) fn refine(&mut self, layer: &Layer, codes: &Codes, query: &QueryCode) {
        self.nodes.clear();
        self.nodes.extend(self.pool.iter().map(|reached| layer.node(reached.place)));
        codes.score(query, &self.nodes, Precision::Full, &mut self.scores);
        self.pool.iter_mut().zip(&self.scores.cosines).for_each(|(reached, score)| reached.score = *score);
        self.pool.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.place.cmp(&b.place)));
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

    pub(super) fn links(&self, place: u32) -> impl Iterator<Item = u32> + '_ {
        self.row(place).iter().copied().take_while(|link| *link != NONE)
    }

    /// Leaves in the pool the nearest that can be reached from `seeds` over ever nearer ones.
    pub(super) fn walk(&self, aim: Aim<'_>, seeds: &[u32], scratch: &mut Scratch) {
        scratch.begin(self.len());
        scratch.fresh.clear();
        for seed in seeds {
            if scratch.is_new(*seed) {
                scratch.fresh.push(*seed);
            }
        }
        scratch.take_fresh(self, aim);
        let mut at = 0;
        while let Some(reached) = scratch.pool.get_mut(at) {
            if reached.is_done {
                at += 1;
                continue;
            }
            reached.is_done = true;
            let place = reached.place;
            self.step(place, scratch);
            // Most likely the next.
            if let Some(next) = scratch.pool.get(at + 1..).and_then(|rest| rest.iter().find(|reached| !reached.is_done))
            {
                prefetch(self.row(next.place));
            }
            at = at.min(scratch.take_fresh(self, aim));
        }
    }

    fn step(&self, place: u32, scratch: &mut Scratch) {
        scratch.fresh.clear();
        for link in self.links(place) {
            if scratch.is_new(link) {
                scratch.fresh.push(link);
            }
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
        node = scratch.pool.first().map_or(node, |nearest| layer.node(nearest.place));
    }
    node
}
