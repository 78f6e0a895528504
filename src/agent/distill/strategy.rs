//! An item becomes a strategy: with evidence, with who distilled it, and with the actions that it speaks about.

use super::Distilled;
use crate::agent::Task;
use crate::agent::dialect::{Item, Learning};
use crate::record::limits;
use crate::{Id, Polarity, Step, Strategy, StrategyKind, Trajectory};
use std::ops::RangeInclusive;

impl Distilled {
    /// The items as strategies, distilled from these trajectories.
    pub(in crate::agent) fn strategies(&self, task: &Task, from: &[(Id<Trajectory>, &[Step])]) -> Vec<Strategy> {
        self.items.iter().map(|item| self.strategy(item, task, from)).collect()
    }

    fn strategy(&self, item: &Item, task: &Task, from: &[(Id<Trajectory>, &[Step])]) -> Strategy {
        let mut strategy = Strategy::new(item.title.clone(), item.description.clone(), item.content.clone());
        strategy.kind = item.kind.unwrap_or(match self.kind {
            Learning::Success => StrategyKind::Procedure,
            Learning::Failure => StrategyKind::Guardrail,
            Learning::Contrast => StrategyKind::Contrast,
        });
        for label in task.labels.iter().chain(&item.labels) {
            if !strategy.labels.contains(label) {
                strategy.labels.push(label.clone());
            }
        }
        strategy.domain.clone_from(&task.domain);
        strategy.action_signatures.clone_from(&item.action_signatures);
        strategy.error_signatures.clone_from(&item.error_signatures);
        strategy.provenance.distiller.clone_from(&self.distiller);
        for (id, steps) in from {
            let range = within(item.steps.as_ref(), steps.len());
            if strategy.kind == StrategyKind::Guardrail {
                sign(&mut strategy, steps, &range, item);
            }
            strategy = strategy.evidence(*id, range, Polarity::Support);
        }
        strategy
    }
}

/// A guardrail that names no action speaks about those of its steps that met an error, and about these errors.
fn sign(strategy: &mut Strategy, steps: &[Step], range: &RangeInclusive<u32>, item: &Item) {
    let cited = steps.iter().enumerate().filter(|(at, _)| range.contains(&(*at as u32))).map(|(_, step)| step);
    for step in cited.filter(|step| step.error_signature.is_some()) {
        if item.action_signatures.is_empty() {
            add(&mut strategy.action_signatures, step.action_signature.as_ref());
        }
        if item.error_signatures.is_empty() {
            add(&mut strategy.error_signatures, step.error_signature.as_ref());
        }
    }
}

fn add(signatures: &mut Vec<String>, signature: Option<&String>) {
    let has_room = signatures.len() < limits::N_SIGNATURES;
    if let Some(signature) = signature.filter(|signature| has_room && !signatures.contains(signature)) {
        signatures.push(signature.clone());
    }
}

/// The cited steps, or all of them; of a trajectory without steps the first that it would have.
fn within(cited: Option<&RangeInclusive<u32>>, n_steps: usize) -> RangeInclusive<u32> {
    let last = u32::try_from(n_steps.saturating_sub(1)).unwrap_or(u32::MAX);
    match cited {
        Some(range) => *range.start().min(&last)..=*range.end().min(&last),
        None => 0..=last,
    }
}
