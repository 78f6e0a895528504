//! What became of the tasks in which something was used, and of those from which it was withheld.
//!
//! `Counters` are whole numbers, so that counting one by one, taking back and counting anew give the very same row.
//! [`StrategyStats`] is what can be believed after them. A task counts once for each strategy, however often it was
//! offered in it; a task whose outcome nobody knows counts as neither success nor failure; a partial success is half of
//! each.
//!
//! The uplift compares only tasks in which either could have happened (propensity between 0 and 1), each weighted by the
//! inverse of the probability of what did (Hájek's estimator, 1971); an arm is worth `(Σw)² / Σw²` tasks (Kish, 1965).
//! Its interval joins those of the two rates (Zou and Donner, 2008, <https://doi.org/10.1002/sim.3095>).

use super::beta::Beta;
use super::exposure::{Delivery, Exposure, Offered};
use super::judgment::Outcome;
use std::collections::BTreeMap;

/// How much of the belief lies outside an interval, below and above together.
const OUTSIDE: f64 = 0.1;
/// Units of a weight.
const WEIGHT_ONE: f64 = 65_536.0;
/// A propensity nearer to 0 or 1 counts as this near: one task must not outweigh a thousand.
const LEAST_PROPENSITY: f64 = 1.0 / 1024.0;

/// Tasks of one kind, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Solved.
    pub success: u64,
    /// Solved in part.
    pub partial: u64,
    /// Not solved.
    pub failure: u64,
    /// Nobody knows.
    pub unknown: u64,
}

/// Tasks in which either could have happened, weighted; in units of 1/65,536.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arm {
    /// Σw over tasks with a known outcome.
    pub(crate) weight: u64,
    /// Σw², in units of 1/65,536².
    pub(crate) square: u128,
    /// Σw of successes, and half of that of partial ones, doubled.
    pub(crate) twice_credit: u64,
}

/// All that is counted of one strategy or KV log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) injected: Tally,
    pub(crate) withheld: Tally,
    /// Tasks in which it was found and not used.
    pub(crate) n_unused: u64,
    pub(crate) injected_arm: Arm,
    pub(crate) withheld_arm: Arm,
}

/// An estimate with the interval that the truth lies in with a probability of 90 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The expected value.
    pub mean: f64,
    /// One in twenty lies below.
    pub lower: f64,
    /// One in twenty lies above.
    pub upper: f64,
}

/// What can be believed of a strategy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StrategyStats {
    /// Tasks in which it was injected.
    pub injected: Tally,
    /// Tasks from which it was withheld.
    pub withheld: Tally,
    /// Tasks for which it was found and not used.
    pub n_unused: u64,
    /// Rate of success where it was injected: a Beta posterior over the uniform prior.
    pub success: Estimate,
    /// Rate of success where it was withheld.
    pub success_without: Estimate,
    /// How much it raises the rate of success, -1 to 1; `None` until both arms have a task with a known outcome in which
    /// either could have happened.
    pub uplift: Option<Estimate>,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Success => &mut self.success,
            Outcome::Partial => &mut self.partial,
            Outcome::Failure => &mut self.failure,
            Outcome::Unknown => &mut self.unknown,
        }
    }

    /// All tasks.
    pub fn n(&self) -> u64 {
        self.success + self.partial + self.failure + self.unknown
    }

    /// Successes and failures; a partial success is half of each.
    pub(crate) fn known(&self) -> (f64, f64) {
        let half = self.partial as f64 / 2.0;
        (self.success as f64 + half, self.failure as f64 + half)
    }

    fn posterior(&self) -> Beta {
        let (n_success, n_failure) = self.known();
        Beta::after(n_success, n_failure)
    }
}

impl Arm {
    /// What is believed of the rate of success in this arm.
    fn posterior(&self) -> Option<Beta> {
        if self.weight == 0 {
            return None;
        }
        let weight = self.weight as f64;
        let n = weight * weight / self.square as f64;
        let rate = self.twice_credit as f64 / (2.0 * weight);
        Some(Beta::after(n * rate, n * (1.0 - rate)))
    }
}

impl Counters {
    /// Counts one task, or takes it back.
    pub(crate) fn count(&mut self, exposure: &Exposure, outcome: Outcome, change: Change) {
        let (tally, arm) = match exposure.delivery {
            Delivery::Injected => (&mut self.injected, &mut self.injected_arm),
            Delivery::Withheld => (&mut self.withheld, &mut self.withheld_arm),
            Delivery::Unused => return change.by(&mut self.n_unused, 1),
        };
        change.by(tally.count(outcome), 1);
        let twice = match outcome {
            Outcome::Success => 2,
            Outcome::Partial => 1,
            Outcome::Failure => 0,
            Outcome::Unknown => return,
        };
        let Some(weight) = weight(exposure) else { return };
        change.by(&mut arm.weight, weight);
        change.by(&mut arm.twice_credit, twice * weight);
        let square = u128::from(weight) * u128::from(weight);
        arm.square = match change {
            Change::Add => arm.square.saturating_add(square),
            Change::TakeBack => arm.square.saturating_sub(square),
        };
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What can be believed.
    pub(crate) fn stats(&self) -> StrategyStats {
        let uplift = self.injected_arm.posterior().zip(self.withheld_arm.posterior());
        StrategyStats {
            injected: self.injected,
            withheld: self.withheld,
            n_unused: self.n_unused,
            success: estimate(&self.injected.posterior()),
            success_without: estimate(&self.withheld.posterior()),
            uplift: uplift.map(|(with, without)| difference(estimate(&with), estimate(&without))),
        }
    }

    /// The rate of success that it has at least, with a probability of 95 %: what it is ranked by.
    pub(crate) fn success_lower(&self) -> f64 {
        self.injected.posterior().quantile(OUTSIDE / 2.0)
    }
}

/// Whether a task is counted or taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    TakeBack,
}

impl Change {
    fn by(self, count: &mut u64, n: u64) {
        *count = match self {
            Self::Add => count.saturating_add(n),
            Self::TakeBack => count.saturating_sub(n),
        };
    }
}

/// The inverse of the probability of what happened; `None` where nothing else could have.
fn weight(exposure: &Exposure) -> Option<u64> {
    let injected = f64::from(exposure.propensity);
    if injected <= 0.0 || injected >= 1.0 {
        return None;
    }
    let happened = if exposure.delivery == Delivery::Injected { injected } else { 1.0 - injected };
    Some((WEIGHT_ONE / happened.max(LEAST_PROPENSITY)).round() as u64)
}

/// What a trajectory says about each thing it was offered: the delivery that decides, which is an injection before a
/// withholding before no use; the earliest where there are several.
pub(crate) fn decisive(exposures: &[Exposure]) -> BTreeMap<Offered, Exposure> {
    let mut decisive = BTreeMap::<Offered, Exposure>::new();
    for exposure in exposures {
        let kept = decisive.entry(exposure.offered).or_insert(*exposure);
        if exposure.delivery < kept.delivery {
            *kept = *exposure;
        }
    }
    decisive
}

fn estimate(beta: &Beta) -> Estimate {
    Estimate { mean: beta.mean(), lower: beta.quantile(OUTSIDE / 2.0), upper: beta.quantile(1.0 - OUTSIDE / 2.0) }
}

fn difference(with: Estimate, without: Estimate) -> Estimate {
    let mean = with.mean - without.mean;
    Estimate {
        mean,
        lower: mean - (with.mean - with.lower).hypot(without.upper - without.mean),
        upper: mean + (with.upper - with.mean).hypot(without.mean - without.lower),
    }
}
