//! Not more active lessons about a domain than an agent can tell apart: the least useful are suspended.
//!
//! Use is the expected rate of success of the tasks in which a lesson was given (a half where it never was), then how much
//! more evidence speaks for it than against it, then age: of equals the oldest goes.

use super::{Consolidated, Consolidation, n_supporting};
use crate::{Filter, Id, Query, Result, Status, Strategy, Transaction};

impl Consolidation {
    /// Suspends what is too much about `domain`.
    pub(in crate::agent) fn cap(
        &self,
        tx: &mut Transaction,
        domain: Option<&str>,
        done: &mut Consolidated,
    ) -> Result<()> {
        let Some(domain) = domain else { return Ok(()) };
        let query = Query::newest().filter(Filter::domain(domain));
        let counted = tx.explain::<Strategy>(&query.clone().limit(0))?;
        let n_active = counted.filters.last().map_or(counted.n_records, |kept| kept.n_left);
        let n_over = n_active.saturating_sub(self.max_per_domain) as usize;
        if n_over == 0 {
            return Ok(());
        }
        let mut ranked = Vec::new();
        for hit in tx.search::<Strategy>(&query.limit(n_active as usize))? {
            ranked.push((utility(tx, hit.id, &hit.record)?, hit.id));
        }
        ranked.sort_by(|((rate, net), id), ((other_rate, other_net), other)| {
            rate.total_cmp(other_rate).then(net.cmp(other_net)).then(id.cmp(other))
        });
        for (_, id) in ranked.into_iter().take(n_over) {
            tx.set_status(id, Status::Suspended)?;
            done.n_evicted += 1;
        }
        Ok(())
    }
}

/// Expected rate of success, and evidence for it less evidence against it.
fn utility(tx: &Transaction, id: Id<Strategy>, lesson: &Strategy) -> Result<(f64, i64)> {
    let rate = tx.strategy_stats(id)?.map_or(0.5, |stats| stats.success.mean);
    let (n_for, n_all) = (n_supporting(lesson) as i64, lesson.provenance.evidence.len() as i64);
    Ok((rate, 2 * n_for - n_all))
}
