//! How often a task is tried: memory-aware test-time scaling (MaTTS).
//!
//! *Parallel* attempts know nothing of each other; *sequential* ones continue one conversation, with what was tried in sight.
//! Each is judged before the next begins, so that attempts are not spent on what is solved, and where little has been solved
//! before more are allowed. With a judge that knows the truth ([`Verifier`](super::Verifier)) this is an oracle: whoever is told
//! when to stop solves more tasks than an agent that must find out, and figures must say so.
//!
//! A model that breaks down in a later attempt ends the attempts, not the task: what was lived is kept.
//!
//! ReasoningBank, §3.3, <https://arxiv.org/abs/2509.25140>.

use super::judge::judged;
use super::solve::Trial;
use super::{Agent, Attempt, Ending, Environment, Judge, Recollection, Task};
use crate::{Error, Judgment, Outcome, Query, Result, Trajectory};
use std::collections::BTreeMap;

/// How often a task is tried, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// What attempts know of each other.
    pub way: Way,
    /// The most attempts, at least 1.
    pub k: usize,
    /// How many of them are made.
    pub allot: Allot,
}

/// What attempts at a task know of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Way {
    /// Nothing; each has dice of its own, so replies must be chosen at random ([`Decoding::random`](super::Decoding::random)):
    /// greedy attempts would all be the first.
    #[default]
    Parallel,
    /// Those before; each is a refinement.
    Sequential,
}

/// How many attempts are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Allot {
    /// All of them.
    All,
    /// As many as it takes until one is judged a success.
    #[default]
    UntilSuccess,
    /// Until one is judged a success, and fewer where tasks like this one are usually solved: as many as would solve it with
    /// a probability of 95 %, going by the outcomes of the nearest trajectories.
    ByDifficulty,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { way: Way::default(), k: 1, allot: Allot::default() }
    }
}

/// Trajectories that say how hard a task is.
const N_NEIGHBOURS: usize = 8;
/// How likely the attempts of [`Allot::ByDifficulty`] solve the task.
const SOLVED: f64 = 0.95;

/// An attempt and how it was judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The attempt.
    pub attempt: Attempt,
    /// What was said of it.
    pub judgment: Judgment,
}

impl Agent {
    /// Tries the task of `environment` as often as `scaling` says, with what was recalled, and has each attempt judged.
    ///
    /// # Errors
    /// As [`solve`](Self::solve), of the first attempt; [`Error::Invalid`] for parallel attempts of a
    /// greedy policy. An attempt whose judge cannot be asked is one that nobody judged.
    pub fn attempts(
        &self,
        environment: &mut dyn Environment,
        recollection: &Recollection,
        scaling: Scaling,
        judge: &dyn Judge,
    ) -> Result<Vec<Judged>> {
        if scaling.k > 1 && scaling.way == Way::Parallel && self.policy.decoding.temperature <= 0.0 {
            return Err(Error::invalid("scaling", "parallel attempts at temperature 0 are one attempt several times"));
        }
        let k = self.n_allotted(environment.task(), scaling)?;
        let mut trial = Trial::open(self, recollection)?;
        let mut attempts: Vec<Judged> = Vec::new();
        for number in 0..k {
            let before = attempts.last().map(|one| &one.judgment);
            let opened = match scaling.way {
                Way::Parallel if number > 0 => Trial::open(self, recollection).map(|opened| trial = opened),
                Way::Parallel | Way::Sequential => Ok(()),
            };
            let attempt = match opened {
                Ok(()) => trial.attempt(environment, number, before, &mut |_| {})?,
                Err(error) => Attempt::failed(&error),
            };
            let judgment = judged(judge, environment, &attempt);
            let is_success = judgment.outcome == Outcome::Success;
            let is_over = matches!(attempt.ending, Ending::ModelFailed(_));
            attempts.push(Judged { attempt, judgment });
            if is_over || (is_success && scaling.allot != Allot::All) {
                break;
            }
        }
        Ok(attempts)
    }

    /// How many attempts a task gets at most.
    fn n_allotted(&self, task: &Task, scaling: Scaling) -> Result<usize> {
        let k = scaling.k.max(1);
        if scaling.allot != Allot::ByDifficulty || k == 1 {
            return Ok(k);
        }
        let snapshot = self.scope.snapshot()?;
        let query = Query::near(self.embedder.embed(&task.query)?).exclude_task(&task.name).limit(N_NEIGHBOURS);
        let (mut solved, mut n) = (0.0, 0.0);
        for hit in snapshot.search::<Trajectory>(&query)? {
            let success = match snapshot.outcome(hit.id)? {
                Outcome::Success => 1.0,
                Outcome::Partial => 0.5,
                Outcome::Failure => 0.0,
                Outcome::Unknown => continue,
            };
            (solved, n) = (solved + success, n + 1.0);
        }
        Ok(n_needed((solved + 1.0) / (n + 2.0)).min(k))
    }
}

/// The fewest attempts of which one succeeds with probability [`SOLVED`], if each does with probability `rate`.
fn n_needed(rate: f64) -> usize {
    let needed = (1.0 - SOLVED).ln() / (1.0 - rate).ln();
    needed.ceil().max(1.0) as usize
}

/// Which attempt counts as the answer (best of n): of those judged best the one with the highest score; of equals the one
/// whose actions most others share; of equals the first. One that broke down counts last.
pub(super) fn best(judged: &[Judged]) -> usize {
    let actions = |one: &Judged| -> Vec<String> { one.attempt.steps.iter().map(|step| step.action.clone()).collect() };
    let mut shared = BTreeMap::<Vec<String>, usize>::new();
    judged.iter().for_each(|one| *shared.entry(actions(one)).or_default() += 1);
    let rank = |one: &Judged| match (one.judgment.outcome, &one.attempt.ending) {
        (Outcome::Success, _) => 4,
        (Outcome::Partial, _) => 3,
        (Outcome::Unknown, Ending::Done | Ending::StepLimit) => 2,
        (Outcome::Failure, _) => 1,
        (Outcome::Unknown, Ending::EnvironmentFailed(_) | Ending::ModelFailed(_)) => 0,
    };
    let better = |a: &(usize, &Judged), b: &(usize, &Judged)| {
        let score = |one: &Judged| one.judgment.score.unwrap_or(0.0);
        let votes = |one: &Judged| shared.get(&actions(one)).copied().unwrap_or(0);
        rank(a.1)
            .cmp(&rank(b.1))
            .then(score(a.1).total_cmp(&score(b.1)))
            .then(votes(a.1).cmp(&votes(b.1)))
            .then(b.0.cmp(&a.0))
    };
    judged.iter().enumerate().max_by(better).map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarer_the_success_the_more_attempts() {
        assert_eq!([0.99, 0.9, 0.5, 0.1].map(n_needed), [1, 2, 5, 29]);
    }
}
