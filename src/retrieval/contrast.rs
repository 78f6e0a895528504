//! The best success beside the nearest failure: two trajectories that set out alike and ended differently.

use super::{Hit, Query};
use crate::record::{Outcome, Trajectory};
use crate::{Result, Snapshot};

/// A success and a failure that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    /// The best success for the query.
    pub success: Hit<Trajectory>,
    /// Of the failures that the query's filters let through, the one nearest to that success.
    pub failure: Hit<Trajectory>,
    /// The first step, counted from 0, at which they did not do the same; `None` when one did all that the other did.
    pub diverges_at: Option<u32>,
}

impl Snapshot {
    /// The best success for `query` beside the failure nearest to it; nothing when there is no such pair. The limit of
    /// the query does not matter.
    ///
    /// # Errors
    /// As [`search`](Self::search); [`Error::Invalid`](crate::Error::Invalid) for a query that is near to nothing.
    pub fn contrast(&self, query: &Query) -> Result<Option<Contrast>> {
        let Some(near) = &query.near else {
            return Err(crate::Error::invalid("query", "a contrast needs an embedding to be near to"));
        };
        let successes = query.clone().outcome(Outcome::Success).limit(1);
        let Some(success) = self.search::<Trajectory>(&successes)?.pop() else { return Ok(None) };
        let Some(embedding) = self.embedding_in(success.id, near.space())? else { return Ok(None) };
        let failures = Query { near: Some(embedding), ..query.clone() }.outcome(Outcome::Failure).limit(1);
        let Some(failure) = self.search::<Trajectory>(&failures)?.pop() else { return Ok(None) };
        let diverges_at = diverges_at(&success.record, &failure.record);
        Ok(Some(Contrast { success, failure, diverges_at }))
    }
}

fn diverges_at(a: &Trajectory, b: &Trajectory) -> Option<u32> {
    let differ = |(x, y): (&crate::Step, &crate::Step)| match (&x.action_signature, &y.action_signature) {
        (Some(x), Some(y)) => x != y,
        _ => x.action != y.action,
    };
    let at = a.steps.iter().zip(&b.steps).position(differ);
    at.and_then(|at| u32::try_from(at).ok())
}
