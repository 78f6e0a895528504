//! An item becomes a strategy: with evidence, with who distilled it, and with the actions that it speaks about.
//!
//! All attempts that were looked at are evidence: who deletes one of them finds what was learned from it. The steps that an
//! item cites are those of one attempt; of the others all steps are.

use super::Distilled;
use crate::agent::Task;
use crate::agent::dialect::{Item, Learning};
use crate::record::limits;
use crate::{Id, Polarity, Step, Strategy, StrategyKind, Trajectory};
use std::ops::RangeInclusive;

/// A lesson before what it comes from has ids.
pub(in crate::agent) struct Draft {
    /// The lesson, without evidence.
    pub(in crate::agent) lesson: Strategy,
    /// Attempts, by their numbers, and the steps of each.
    from: Vec<(usize, RangeInclusive<u32>)>,
}

impl Draft {
    /// With the attempts that have these ids as evidence.
    pub(in crate::agent) fn signed(&self, ids: &[Id<Trajectory>]) -> Strategy {
        let known = self.from.iter().filter_map(|(number, steps)| Some((*ids.get(*number)?, steps.clone())));
        known.fold(self.lesson.clone(), |lesson, (id, steps)| lesson.evidence(id, steps, Polarity::Support))
    }
}

impl Distilled {
    /// The items as lessons about `task`, which come from the attempts of these `numbers`.
    pub(in crate::agent) fn drafts(&self, task: &Task, attempts: &[&[Step]], numbers: &[usize]) -> Vec<Draft> {
        self.items.iter().map(|item| self.draft(item, task, attempts, numbers)).collect()
    }

    fn draft(&self, item: &Item, task: &Task, attempts: &[&[Step]], numbers: &[usize]) -> Draft {
        let mut lesson = Strategy::new(item.title.clone(), item.description.clone(), item.content.clone());
        lesson.kind = item.kind.unwrap_or(match self.kind {
            Learning::Success => StrategyKind::Procedure,
            Learning::Failure => StrategyKind::Guardrail,
            Learning::Contrast => StrategyKind::Contrast,
        });
        for label in task.labels.iter().chain(&item.labels) {
            if lesson.labels.len() < limits::N_LABELS && !lesson.labels.contains(label) {
                lesson.labels.push(label.clone());
            }
        }
        lesson.domain.clone_from(&task.domain);
        lesson.action_signatures.clone_from(&item.action_signatures);
        lesson.error_signatures.clone_from(&item.error_signatures);
        lesson.provenance.distiller.clone_from(&self.distiller);
        let mut from = Vec::new();
        for (at, number) in numbers.iter().enumerate() {
            let steps = attempts.get(*number).copied().unwrap_or_default();
            // Without a number of its own, a citation is of the only attempt there is.
            let is_cited = item.attempt.map_or(numbers.len() == 1, |cited| cited as usize == at);
            let cited = item.steps.as_ref().filter(|_| is_cited);
            if is_cited && lesson.kind == StrategyKind::Guardrail {
                sign(&mut lesson, steps, cited, item);
            }
            from.push((*number, within(cited, steps.len())));
        }
        Draft { lesson, from }
    }
}

/// A guardrail that names no action speaks about those of the steps it cites that met an error, and about these errors. One
/// that cites none speaks about the only error there was; of several nobody knows which it means.
fn sign(lesson: &mut Strategy, steps: &[Step], cited: Option<&RangeInclusive<u32>>, item: &Item) {
    let is_cited = |at: usize| cited.is_none_or(|range| range.contains(&(at as u32)));
    let met = steps.iter().enumerate().filter(|(at, step)| is_cited(*at) && step.error_signature.is_some());
    let met: Vec<&Step> = met.map(|(_, step)| step).collect();
    if cited.is_none() && met.len() > 1 {
        return;
    }
    for step in met {
        if item.action_signatures.is_empty() {
            add(&mut lesson.action_signatures, step.action_signature.as_ref());
        }
        if item.error_signatures.is_empty() {
            add(&mut lesson.error_signatures, step.error_signature.as_ref());
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
