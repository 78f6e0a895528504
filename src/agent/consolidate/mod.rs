//! A new lesson among those that are there: said already, contradicted, or one too many.
//!
//! | what | when | then |
//! |---|---|---|
//! | repeated | same kind, same domain, same actions, nearly the same words | the one that is there gets the new evidence |
//! | contradicted | same domain and actions, one says do and the other do not | each is evidence against the other; see [`Disagreement`] |
//! | one too many | more active ones about a domain than allowed | those of least use are put aside |
//! | refuted by credit | only if asked for: see [`Suppression`] | put aside |
//!
//! Nothing is deleted, and no lesson becomes two. A superseded one goes on to gather evidence and may win again. One that was put
//! aside ([`Status::Stale`]) comes back when it is distilled once more, and is judged beside the others again. One that a person
//! has suspended gathers evidence, and stays suspended. All of it happens in the transaction that remembers the task.

mod cap;
mod contradict;
mod suppress;

pub use suppress::Suppression;

use crate::{
    Embedding, Evidence, Filter, Id, Outcome, Polarity, Query, Result, Status, Strategy, Trajectory, Transaction,
};
use std::collections::BTreeSet;

/// How new lessons are taken in.
#[derive(Clone, Debug)]
pub struct Consolidation {
    /// Two lessons of the same kind about the same actions are one from this similarity on, -1 to 1.
    pub same: f32,
    /// Two of opposite kinds about the same actions contradict each other from this similarity on, -1 to 1.
    pub opposed: f32,
    /// What happens to lessons that contradict each other.
    pub disagreement: Disagreement,
    /// The most active lessons about a domain, and the most of those without one.
    pub max_per_domain: u64,
    /// The most pieces of evidence for a lesson, and the most against it; later ones are not noted any more.
    pub max_evidence: usize,
    /// Putting lessons aside whose tasks fail; off unless asked for.
    pub suppression: Option<Suppression>,
}

/// What happens to two lessons that contradict each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Disagreement {
    /// Both stay active, and the agent reads both: one mistaken verdict then stands for ever beside all that was right, and the
    /// more is lived the more of them there are.
    Keep,
    /// The one that was seen last supersedes the other.
    Latest,
    /// The one with more supporting tasks supersedes the other; of equals the one that was seen last.
    #[default]
    Vote,
}

impl Default for Consolidation {
    fn default() -> Self {
        Self {
            same: 0.92,
            opposed: 0.4,
            disagreement: Disagreement::default(),
            max_per_domain: 150,
            max_evidence: 64,
            suppression: None,
        }
    }
}

/// What became of the lessons of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consolidated {
    /// Lessons that were new.
    pub n_added: usize,
    /// Lessons that were known and got more evidence.
    pub n_merged: usize,
    /// Pairs of lessons found to contradict each other.
    pub n_contradictions: usize,
    /// Lessons whose place was taken by one that contradicts them.
    pub n_superseded: usize,
    /// Lessons put aside because there were too many about their domain.
    pub n_evicted: usize,
    /// Lessons put aside because their tasks fail.
    pub n_suppressed: usize,
    /// Lessons that had been put aside and came back with more evidence.
    pub n_returned: usize,
}

impl Consolidation {
    /// Takes in one lesson, whose evidence is from trajectories of this transaction.
    pub(super) fn take_in(
        &self,
        tx: &mut Transaction,
        lesson: &Strategy,
        embedding: &Embedding,
        done: &mut Consolidated,
    ) -> Result<Id<Strategy>> {
        let near = || Query::near(embedding.clone()).limit(8);
        let id = match self.twin(tx, near(), lesson)? {
            Some(twin) => {
                done.n_merged += 1;
                self.add_evidence(tx, twin, &lesson.provenance.evidence)?;
                if tx.get(twin)?.is_some_and(|twin| twin.status == Status::Stale) {
                    done.n_returned += 1;
                    tx.set_status(twin, Status::Active)?;
                }
                twin
            }
            None => {
                done.n_added += 1;
                let id = tx.put_new(lesson)?;
                tx.embed(id, embedding)?;
                id
            }
        };
        self.settle(tx, near(), id, lesson, done)?;
        Ok(id)
    }

    /// A lesson that says the same; one that is given to agents before one that is not.
    fn twin(&self, tx: &Transaction, near: Query, lesson: &Strategy) -> Result<Option<Id<Strategy>>> {
        let known = eligible() | Filter::any_of([Status::Suspended, Status::Stale].map(Filter::status));
        let query = near.filter(about(lesson) & Filter::kind(lesson.kind) & known).floor(self.same);
        let hits = tx.search::<Strategy>(&query)?;
        let same = hits.into_iter().filter(|hit| same_actions(&hit.record, lesson));
        Ok(same.min_by_key(|hit| hit.record.status != Status::Active).map(|hit| hit.id))
    }

    /// Notes evidence while there is room for it: for and against apart, so that what was often refuted can be borne out again.
    fn add_evidence(&self, tx: &mut Transaction, id: Id<Strategy>, evidence: &[Evidence]) -> Result<()> {
        let Some(lesson) = tx.get(id)? else { return Ok(()) };
        let n_present = |polarity| lesson.provenance.evidence.iter().filter(|piece| piece.polarity == polarity).count();
        let with_room = [Polarity::Support, Polarity::Contradict].map(|polarity| {
            let n_free = self.max_evidence.saturating_sub(n_present(polarity));
            evidence.iter().filter(move |piece| piece.polarity == polarity).take(n_free).copied()
        });
        tx.add_evidence(id, &with_room.into_iter().flatten().collect::<Vec<_>>())
    }
}

/// Lessons that are active, or were superseded and may win again.
fn eligible() -> Filter {
    Filter::any_of([Status::Active, Status::Superseded].map(Filter::status))
}

/// The rate of success of the trajectories about a domain, or of all; a half where nobody knows.
fn baseline(tx: &Transaction, domain: Option<&str>) -> Result<f64> {
    let all = domain.into_iter().fold(Query::newest(), |query, domain| query.filter(Filter::domain(domain)));
    let count = |outcome| tx.count::<Trajectory>(&all.clone().outcome(outcome)).map(|n| n as f64);
    let (success, partial, failure) = (count(Outcome::Success)?, count(Outcome::Partial)?, count(Outcome::Failure)?);
    let n = success + partial + failure;
    Ok(if n > 0.0 { (success + 0.5 * partial) / n } else { 0.5 })
}

/// Lessons about the same domain and, where it names any, the same action.
fn about(lesson: &Strategy) -> Filter {
    let domain = lesson.domain.iter().map(Filter::domain);
    let action = lesson.action_signatures.first().map(Filter::action_signature);
    Filter::all_of(domain.chain(action))
}

fn same_actions(a: &Strategy, b: &Strategy) -> bool {
    let sorted = |lesson: &Strategy| {
        let mut signatures = lesson.action_signatures.clone();
        signatures.sort_unstable();
        signatures
    };
    a.domain == b.domain && sorted(a) == sorted(b)
}

/// Tasks that speak for a lesson: attempts at one, remembered one after another, are one vote.
fn n_votes(tx: &Transaction, lesson: &Strategy) -> Result<usize> {
    let supporting = lesson.provenance.evidence.iter().filter(|piece| piece.polarity == Polarity::Support);
    let supporting: BTreeSet<Id<Trajectory>> = supporting.map(|piece| piece.trajectory).collect();
    let group_of = |id: Id<Trajectory>| -> Result<Option<String>> {
        Ok(tx.get(id)?.and_then(|lived| lived.rollout).map(|rollout| rollout.group))
    };
    let mut n = supporting.len();
    for (one, next) in supporting.iter().zip(supporting.iter().skip(1)) {
        let is_next = one.as_u64() + 1 == next.as_u64();
        if is_next
            && let Some(group) = group_of(*one)?
            && group_of(*next)? == Some(group)
        {
            n -= 1;
        }
    }
    Ok(n)
}

/// Trajectories whose steps speak for a lesson.
fn n_supporting(lesson: &Strategy) -> usize {
    lesson.provenance.evidence.iter().filter(|evidence| evidence.polarity == Polarity::Support).count()
}
