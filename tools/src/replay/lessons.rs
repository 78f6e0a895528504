//! Lessons without a model: where a failure parts from a success at the same task, what it then did that no success did.
//!
//! A lesson is a [`StrategyKind::Contrast`] when a success at the task is known and a [`StrategyKind::Guardrail`] otherwise.
//! It cites the failed steps from the divergence to the action, and those of the success. Its signatures are the most
//! general ones that no success refutes ([`most_general`]); without that (`Rule::Plain`, the control) all there are.

use super::trial::{Act, Trial};
use lagdb::record::action::most_general;
use lagdb::{Id, Level, Polarity, Strategy, StrategyKind, Trajectory};
use std::collections::BTreeMap;

/// The levels a lesson speaks at. `ValueWhen` comes last: a call of many arguments has more of these than a lesson may
/// have signatures.
const SPOKEN: [Level; 6] = [Level::Tool, Level::Argument, Level::Value, Level::Call, Level::ToolWhen, Level::ValueWhen];

/// Which signatures a lesson gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// All of the action.
    Plain,
    /// Those that no success has.
    Contrast,
}

/// How many successful trials took an action with a signature.
#[derive(Default)]
pub(super) struct Successes(BTreeMap<String, usize>);

impl Successes {
    /// Of all successful `trials`.
    pub(super) fn of<'a>(trials: impl Iterator<Item = &'a Trial>) -> Self {
        let mut successes = Self::default();
        for trial in trials.filter(|trial| trial.succeeded()) {
            for signature in signatures(trial) {
                *successes.0.entry(signature).or_insert(0) += 1;
            }
        }
        successes
    }

    /// Whether a success has it, other than `left_out`, whose signatures these are.
    fn refute(&self, signature: &str, left_out: &[String]) -> bool {
        let own = usize::from(left_out.binary_search_by(|it| it.as_str().cmp(signature)).is_ok());
        self.0.get(signature).is_some_and(|n| *n > own)
    }

    /// What the lessons of `act` may be looked up by, if one trial had not been; `left_out` are its sorted signatures.
    pub(super) fn leave(&self, act: &Act, rule: Rule, left_out: &[String]) -> Vec<String> {
        let is_refuted = |signature: &str| rule == Rule::Contrast && self.refute(signature, left_out);
        most_general(&act.action, &act.conditions, &SPOKEN, is_refuted)
    }
}

/// All signatures of what a trial did that can change something, sorted, each once.
pub(super) fn signatures(trial: &Trial) -> Vec<String> {
    let acts = trial.acts.iter().filter(|act| act.changes);
    let of = |act: &Act| {
        SPOKEN.into_iter().flat_map(|level| act.action.signatures(level, &act.conditions)).collect::<Vec<_>>()
    };
    let mut all: Vec<String> = acts.flat_map(of).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The actions of a failure that a lesson is drawn from: those that changed something.
pub(super) fn suspects(trial: &Trial) -> impl Iterator<Item = &Act> {
    trial.acts.iter().filter(|act| trial.failed() && act.changes && !act.is_error)
}

/// The first call at which two trials do not do the same, as the index of a call; `None` where one did all that the other
/// did.
pub(super) fn divergence(a: &Trial, b: &Trial) -> Option<usize> {
    let differ = |(a, b): (&Act, &Act)| a.action != b.action;
    a.acts.iter().zip(&b.acts).position(differ)
}

/// The success to compare with: the strongest evidence, and of equals the one that goes together longest.
pub(super) fn best_success<'a>(
    failure: &Trial,
    others: impl Iterator<Item = (Id<Trajectory>, &'a Trial)>,
) -> Option<(Id<Trajectory>, &'a Trial)> {
    let siblings = others.filter(|(_, other)| other.succeeded() && other.task == failure.task);
    let worth = |other: &Trial| (other.weight(), divergence(failure, other).unwrap_or(other.acts.len()));
    siblings.max_by(|(_, a), (_, b)| {
        let ((a_weight, a_together), (b_weight, b_together)) = (worth(a), worth(b));
        a_weight.total_cmp(&b_weight).then(a_together.cmp(&b_together))
    })
}

/// The lesson of one action of a failure.
pub(super) fn lesson(
    failure: (Id<Trajectory>, &Trial),
    act: &Act,
    success: Option<(Id<Trajectory>, &Trial)>,
    signatures: Vec<String>,
) -> Strategy {
    let (id, trial) = failure;
    let parted = success.and_then(|(_, success)| divergence(trial, success));
    let first = parted.and_then(|at| trial.acts.get(at)).map_or(act.step, |at| at.step).min(act.step);
    let tool = act.action.tool();
    let mut content = format!("An attempt that failed did this: {}", act.action.call());
    let mut kind = StrategyKind::Guardrail;
    let instead = success.and_then(|(id, success)| Some((id, success.acts.get(parted?)?)));
    if let Some((_, other)) = instead {
        kind = StrategyKind::Contrast;
        content = format!("{content}. One that succeeded did not; where they part it did: {}", other.action.call());
    }
    let strategy = Strategy {
        action_signatures: signatures,
        ..Strategy::new(format!("Not {tool} like this"), "Before this action.", content)
    };
    let strategy = strategy.kind(kind).evidence(id, first..=act.step, Polarity::Support);
    let strategy = match instead {
        Some((id, other)) => strategy.evidence(id, other.step..=other.step, Polarity::Support),
        None => strategy,
    };
    Strategy {
        provenance: lagdb::Provenance { distiller: "divergence/1".to_owned(), ..strategy.provenance },
        ..strategy
    }
}
