//! Which way a search goes: compare every candidate, or walk the graph. Said with its reasons, for `explain`.
//!
//! Comparing costs time in proportion to the candidates; a walk, to how many of the nearest it keeps in sight, its
//! *breadth*. With a filter it must see as many more as the filter keeps out, for a walk does not look at the filter: its
//! answers do. A filter can also leave only what is far from the query. Then a walk sees too few candidates to be sure of
//! them: it may be tried once more, with twice as many in sight, before comparing is done after all.

use std::fmt;

/// How many candidates are compared in the time that a walk takes for one more in sight. Measured at 384 numbers with
/// AVX-512: 8 to 13 ns a candidate; 0.45 us for one more in sight of 20,000 vectors, 0.8 us of 100,000.
const COMPARED_PER_BREADTH: usize = 50;
/// No walk keeps fewer in sight.
const LEAST_BREADTH: usize = 28;
/// By how much more than on the average a filter may keep out.
const SLACK: f64 = 1.5;

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
    /// Vectors that were compared exactly, from the catalog; or with 16 bits a number, from the file of the graph.
    pub n_exact: usize,
    /// How many of the nearest of all a walk keeps in sight.
    pub breadth: usize,
    /// Down to which rank of what is in sight a candidate is surely among the nearest candidates.
    sure_rank: usize,
}

/// Which way a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Route {
    /// Every candidate is compared.
    Scan,
    /// From one to the next nearer in the graph; what passes the filter counts.
    Walk,
}

/// Why a search goes this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// There are too few vectors for a graph, or it is still being built.
    NoGraph,
    /// Comparing so few candidates is faster than walking.
    FewCandidates,
    /// The candidates are many, and not far between.
    ManyCandidates,
    /// As before, but the walk saw too few of them: what passes the filter is not near to the query.
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
    pub(super) limit: usize,
}

impl Situation {
    /// How many of the nearest of all are to be in sight for each that is wanted, so that 99 of 100 are found. Measured
    /// with clustered vectors: 2.4 of 20,000, 4 of 100,000, where 384 numbers make a vector; and some more.
    fn in_sight_per_hit(&self) -> f64 {
        (0.7 * (self.n_graph.max(1) as f64).log2() - 7.2).max(LEAST_BREADTH as f64 / 10.0)
    }

    /// How many of the nearest of all a walk keeps in sight.
    fn breadth(&self) -> usize {
        let share = self.n_indexed as f64 / self.n_graph.max(1) as f64;
        let wanted = self.limit as f64 * self.in_sight_per_hit() / share.max(f64::MIN_POSITIVE);
        let slack = if self.n_indexed < self.n_graph { SLACK } else { 1.0 };
        ((wanted * slack).ceil() as usize).max(LEAST_BREADTH)
    }
}

impl Plan {
    pub(super) fn choose(situation: Situation) -> Self {
        let Situation { n_candidates, n_indexed, n_graph, .. } = situation;
        let breadth = situation.breadth();
        let (route, why) = if n_graph == 0 {
            (Route::Scan, Why::NoGraph)
        } else if n_indexed <= breadth.saturating_mul(COMPARED_PER_BREADTH) {
            (Route::Scan, Why::FewCandidates)
        } else {
            (Route::Walk, Why::ManyCandidates)
        };
        let sure_rank = ((breadth as f64 / situation.in_sight_per_hit()) as usize).max(situation.limit.min(breadth));
        Self { route, why, n_candidates, n_indexed, n_compared: 0, n_exact: 0, breadth, sure_rank }
    }

    /// The same walk with twice as many in sight, where that costs less than half of what comparing does.
    pub(super) fn wider(&self) -> Option<Self> {
        let (breadth, sure_rank) = (self.breadth.saturating_mul(2), self.sure_rank.saturating_mul(2));
        let pays = breadth.saturating_mul(2 * COMPARED_PER_BREADTH) <= self.n_indexed;
        pays.then_some(Self { breadth, sure_rank, ..*self })
    }

    /// Whether a candidate is surely among the nearest of them, when it came so far down in what is in sight.
    pub(super) fn is_sure_of(&self, rank: usize) -> bool {
        rank <= self.sure_rank
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = match self.route {
            Route::Scan => "every candidate is compared",
            Route::Walk => "the graph is walked",
        };
        let why = match self.why {
            Why::NoGraph => "there is no graph",
            Why::FewCandidates => "the candidates are few",
            Why::ManyCandidates => "the candidates are many",
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
