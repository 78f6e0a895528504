//! Not more active lessons about a domain than an agent can tell apart: the least useful are put aside.
//!
//! Use is the expected rate of success of the tasks in which a lesson was given, then how much more evidence speaks for it than
//! against it, then age: of equals the oldest goes. The rate is shrunk to that of the domain: a lesson that was never given
//! is expected to be as good as the others, so one that is proven stays where most tasks fail, and goes where most succeed and
//! its own do not. Lessons without a domain are capped together.

use super::{Consolidated, Consolidation, baseline, n_supporting};
use crate::{Filter, Hit, Query, Result, Status, Strategy, StrategyKind, Tally, Transaction};

/// Tasks that the rate of the domain counts for.
const PRIOR_TASKS: f64 = 2.0;
/// What is put aside beyond what is too much, as a share of what is allowed: so that not every lesson is looked at after every
/// task.
const SLACK: u64 = 16;

impl Consolidation {
    /// Puts aside what is too much about `domain`, after lessons were added.
    pub(in crate::agent) fn cap(
        &self,
        tx: &mut Transaction,
        domain: Option<&str>,
        done: &mut Consolidated,
    ) -> Result<()> {
        let query = domain.into_iter().fold(Query::newest(), |query, domain| query.filter(Filter::domain(domain)));
        if done.n_added + done.n_returned == 0 || tx.count::<Strategy>(&query)? <= self.max_per_domain {
            return Ok(());
        }
        let mut about = tx.search::<Strategy>(&query.limit(usize::MAX))?;
        // There is no filter for what has no domain.
        about.retain(|hit| hit.record.domain.as_deref() == domain);
        if about.len() as u64 <= self.max_per_domain {
            return Ok(());
        }
        let n_kept = self.max_per_domain - self.max_per_domain / SLACK;
        let n_over = about.len().saturating_sub(usize::try_from(n_kept).unwrap_or(usize::MAX));
        let usual = baseline(tx, domain)?;
        let mut ranked = Vec::new();
        for hit in about {
            ranked.push((utility(tx, &hit, usual)?, hit.id));
        }
        ranked.sort_by(|((rate, net), id), ((other_rate, other_net), other)| {
            rate.total_cmp(other_rate).then(net.cmp(other_net)).then(id.cmp(other))
        });
        for (_, id) in ranked.into_iter().take(n_over) {
            tx.set_status(id, Status::Stale)?;
            done.n_evicted += 1;
        }
        Ok(())
    }
}

/// Expected rate of success where that of the domain is `usual`, and evidence for it less evidence against it. A guardrail that
/// names an action is given where a task goes wrong already; the rate of these tasks says nothing about it.
fn utility(tx: &Transaction, hit: &Hit<Strategy>, usual: f64) -> Result<(f64, i64)> {
    let waits = hit.record.kind == StrategyKind::Guardrail && !hit.record.action_signatures.is_empty();
    let given = if waits { Tally::default() } else { tx.counters(hit.id.as_u64())?.injected };
    let (n_success, n_failure) = given.known();
    let rate = (n_success + PRIOR_TASKS * usual) / (n_success + n_failure + PRIOR_TASKS);
    let (n_for, n_all) = (n_supporting(&hit.record) as i64, hit.record.provenance.evidence.len() as i64);
    Ok((rate, 2 * n_for - n_all))
}
