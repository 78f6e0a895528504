//! Several judges: what most of those say that do not abstain, and a rule for when they disagree.
//!
//! One that cannot be asked abstains; if none can, that is an error.
//!
//! A false success is distilled, recalled and copied; a false failure costs one lesson. So unless said otherwise a success
//! needs all votes, most votes for it are only an abstention, and half of them are a failure.

use super::{Caution, Judge, by_nobody};
use crate::agent::{Attempt, Environment};
use crate::{Judgment, JudgmentSource, Outcome, Result};
use std::sync::Arc;

/// The most bytes of the names of those who judged together.
const NAME_BYTES: usize = 200;

/// Several judges as one.
#[derive(Clone, Default)]
pub struct Ensemble {
    judges: Vec<Arc<dyn Judge>>,
    caution: Caution,
}

impl Ensemble {
    /// These judges, asked in this order.
    pub fn new(judges: impl IntoIterator<Item = Arc<dyn Judge>>) -> Self {
        Self { judges: judges.into_iter().collect(), caution: Caution::default() }
    }

    /// With another view of which mistake is worse.
    #[must_use]
    pub fn caution(self, caution: Caution) -> Self {
        Self { caution, ..self }
    }
}

impl Judge for Ensemble {
    fn judge(&self, environment: &mut dyn Environment, attempt: &Attempt) -> Result<Judgment> {
        let (mut judgments, mut errors) = (Vec::new(), Vec::new());
        for judge in &self.judges {
            match judge.judge(environment, attempt) {
                Ok(judgment) => judgments.push(judgment),
                Err(error) => errors.push(error),
            }
        }
        if judgments.is_empty() && !errors.is_empty() {
            return Err(errors.swap_remove(0));
        }
        judgments.extend(errors.iter().map(|error| by_nobody(format!("could not be asked: {error}"))));
        Ok(agreed(&judgments, self.caution))
    }
}

/// One judgment of several. Its score is the mean of those that have one.
fn agreed(judgments: &[Judgment], caution: Caution) -> Judgment {
    let outcome = vote(&judgments.iter().map(|judgment| judgment.outcome).collect::<Vec<_>>(), caution);
    let named: Vec<&str> = judgments.iter().map(|judgment| judgment.evaluator.as_str()).collect();
    let mut evaluator = format!("ensemble of {}: {}", judgments.len(), named.join(", "));
    while evaluator.len() > NAME_BYTES {
        evaluator.pop();
    }
    let said: Vec<String> =
        judgments.iter().map(|judgment| format!("{}: {}", judgment.evaluator, judgment.outcome.as_str())).collect();
    let scores: Vec<f64> = judgments.iter().filter_map(|judgment| judgment.score).collect();
    let judgment = Judgment::new(outcome, evaluator).source(source(judgments)).rationale(said.join("; "));
    match scores.len() {
        0 => judgment,
        n => judgment.score(scores.iter().sum::<f64>() / n as f64),
    }
}

/// The source that all share, if there is one.
fn source(judgments: &[Judgment]) -> JudgmentSource {
    let mut sources = judgments.iter().map(|judgment| judgment.source);
    let first = sources.next().unwrap_or_default();
    if sources.all(|source| source == first) { first } else { JudgmentSource::Unstated }
}

/// What the votes come to; those that are unknown do not count.
fn vote(outcomes: &[Outcome], caution: Caution) -> Outcome {
    let count = |outcome: Outcome| outcomes.iter().filter(|found| **found == outcome).count();
    let (success, partial, failure) = (count(Outcome::Success), count(Outcome::Partial), count(Outcome::Failure));
    let n = success + partial + failure;
    let (best, worst) = match caution {
        _ if n == 0 => return Outcome::Unknown,
        Caution::Even => {
            let has_most = [(success, Outcome::Success), (partial, Outcome::Partial), (failure, Outcome::Failure)];
            let winner = has_most.into_iter().find(|(votes, _)| 2 * votes > n);
            return winner.map_or(Outcome::Unknown, |(_, outcome)| outcome);
        }
        Caution::AgainstFalseSuccess => ((success, Outcome::Success), (failure, Outcome::Failure)),
        Caution::AgainstFalseFailure => ((failure, Outcome::Failure), (success, Outcome::Success)),
    };
    if best.0 == n {
        best.1
    } else if worst.0 == 0 {
        Outcome::Partial
    } else if 2 * best.0 > n {
        Outcome::Unknown
    } else {
        worst.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Failure, Partial, Success, Unknown};

    #[test]
    fn a_success_needs_all_votes_unless_said_otherwise() {
        let by_default = |outcomes: &[Outcome]| vote(outcomes, Caution::default());
        assert_eq!(by_default(&[Success, Success, Success]), Success);
        assert_eq!(by_default(&[Success, Unknown]), Success, "an abstention is no vote");
        assert_eq!(by_default(&[Success, Success, Failure]), Unknown);
        assert_eq!(by_default(&[Success, Failure]), Failure);
        assert_eq!(by_default(&[Success, Partial]), Partial);
        assert_eq!(by_default(&[Partial, Failure]), Failure);
        assert_eq!(by_default(&[Unknown, Unknown]), Unknown);
        assert_eq!(by_default(&[]), Unknown);
        assert_eq!(vote(&[Success, Success, Failure], Caution::Even), Success);
        assert_eq!(vote(&[Success, Failure], Caution::Even), Unknown);
        assert_eq!(vote(&[Failure, Failure, Success], Caution::AgainstFalseFailure), Unknown);
        assert_eq!(vote(&[Failure, Success], Caution::AgainstFalseFailure), Success);
    }
}
