//! Which way a search goes: compare every candidate, or walk the graph. Said with its reasons, for `explain`.
//!
//! Comparing costs time in proportion to the candidates, walking hardly depends on them. A filter can also leave only
//! what is far from the query, so that a walk has nowhere to go: it is then done over by comparing.

use std::fmt;

/// From this share of the indexed vectors on, the walk does not look at the filter; its answers do.
const ALMOST_ALL: f64 = 0.9;
/// Who asks for more than one in so many of the candidates asks for many.
const MANY_HITS: usize = 8;

/// How a search went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which way.
    pub route: Route,
    /// Why this way.
    pub why: Why,
    /// Records that pass the filter and have an embedding.
    pub n_candidates: usize,
    /// Of these, records in the graph.
    pub n_indexed: usize,
    /// Vectors that were compared as int8.
    pub n_compared: usize,
    /// Vectors that were read from the catalog to be compared exactly.
    pub n_exact: usize,
}

/// Which way a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// Every candidate is compared.
    Scan,
    /// From one to the next nearest in the graph; what passes the filter counts.
    Walk,
    /// As a walk, over what passes the filter only.
    FilteredWalk,
}

/// Why a search goes this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// There are too few vectors for a graph, or it is still being built.
    NoGraph,
    /// Comparing so few candidates is faster than walking.
    FewCandidates,
    /// So many hits are wanted that a walk would meet most candidates.
    ManyHits,
    /// All that is indexed, or almost all, passes the filter.
    AlmostAll,
    /// The filter leaves too many to compare.
    ManyCandidates,
    /// The walk found fewer than are wanted, so that every candidate was compared after it.
    WalkFoundTooFew,
    /// The nearest that pass the filter are much farther away than the nearest of all.
    FilterIsElsewhere,
}

/// What is known before a search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) n_candidates: usize,
    /// Candidates in the graph.
    pub(super) n_indexed: usize,
    /// All that is in the graph; 0 without one.
    pub(super) n_graph: usize,
    /// Bytes of a code.
    pub(super) row_bytes: usize,
    /// Up to so many bytes of codes, candidates are compared one by one.
    pub(super) compared_bytes: usize,
    pub(super) limit: usize,
}

impl Plan {
    pub(super) fn choose(situation: Situation) -> Self {
        let Situation { n_candidates, n_indexed, n_graph, row_bytes, compared_bytes, limit } = situation;
        let (route, why) = if n_graph == 0 {
            (Route::Scan, Why::NoGraph)
        } else if n_indexed * row_bytes <= compared_bytes {
            (Route::Scan, Why::FewCandidates)
        } else if limit.saturating_mul(MANY_HITS) >= n_indexed {
            (Route::Scan, Why::ManyHits)
        } else if n_indexed as f64 >= n_graph as f64 * ALMOST_ALL {
            (Route::Walk, Why::AlmostAll)
        } else {
            (Route::FilteredWalk, Why::ManyCandidates)
        };
        Self { route, why, n_candidates, n_indexed, n_compared: 0, n_exact: 0 }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = match self.route {
            Route::Scan => "every candidate is compared",
            Route::Walk => "the graph is walked",
            Route::FilteredWalk => "the graph is walked over what passes the filter",
        };
        let why = match self.why {
            Why::NoGraph => "there is no graph",
            Why::FewCandidates => "the candidates are few",
            Why::ManyHits => "many hits are wanted",
            Why::AlmostAll => "almost all passes the filter",
            Why::ManyCandidates => "the candidates are many",
            Why::WalkFoundTooFew => "a walk found too few",
            Why::FilterIsElsewhere => "what passes the filter is far from the query",
        };
        let Self { n_candidates, n_indexed, n_compared, n_exact, .. } = self;
        write!(
            f,
            "{route}, because {why}: {n_candidates} candidates, {n_indexed} of them in the graph; {n_compared} compared \
             as int8, {n_exact} exactly"
        )
    }
}
