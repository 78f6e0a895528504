//! How an answer came about: what each filter kept, which way the index went, and why each candidate was dropped.

use super::Filter;
use super::rank::Signals;
use super::search::Hit;
use crate::Id;
use crate::index::vector::Plan;

/// An answer and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<R> {
    /// The answer.
    pub hits: Vec<Hit<R>>,
    /// Records of this type in the scope.
    pub n_records: u64,
    /// What was left after each filter, in the order in which they were applied.
    pub filters: Vec<Kept>,
    /// How candidates were found among those.
    pub path: Path,
    /// Each candidate that was looked at, hits first.
    pub considered: Vec<Considered<R>>,
}

/// What a filter left.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The filter; it says itself in words.
    pub filter: Filter,
    /// Records that it and those before it let through.
    pub n_left: u64,
}

/// How candidates were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Path {
    /// Nothing was looked for: there are no records, or no embeddings.
    #[default]
    Nothing,
    /// The nearest of what the filters left: by comparing all, or in a graph.
    Nearest(Plan),
    /// Without an embedding: the latest put first.
    Newest,
}

/// A candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Considered<R> {
    /// The record.
    pub id: Id<R>,
    /// What it was ranked by.
    pub score: f32,
    /// What the score is made of.
    pub signals: Signals,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in the answer.
    Hit,
    /// Less similar than the floor.
    BelowFloor,
    /// Others were better.
    BeyondLimit,
    /// Others were better or less like those before them.
    LikeOthers,
}

impl Fate {
    /// A few lower-case words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::BelowFloor => "below the floor",
            Self::BeyondLimit => "beyond the limit",
            Self::LikeOthers => "too much like the hits",
        }
    }
}

impl<R> Default for Explanation<R> {
    fn default() -> Self {
        Self { hits: Vec::new(), n_records: 0, filters: Vec::new(), path: Path::Nothing, considered: Vec::new() }
    }
}
