//! What the model lived through: every question once, without a memory, remembered with its answer, its verdict, its KV log
//! and the lessons drawn from it, in one transaction.
//!
//! Recalled is only what was right by the published answers: no judge of the model's own stands between, so this is what a
//! memory is worth whose verdicts are true.
//!
//! A split is only which of all this may be recalled, told by a label, and what was answered here is the arm without a
//! memory in every split. Lessons are not merged: a lesson of two questions could be on both sides.

use super::asking::{Asking, answer_in, asked};
use super::speaker::Speaker;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::questions::question::Question;
use lagdb::agent::{
    Agent, Capture, Consolidation, Decoding, Disagreement, Distiller, English, Learner, Living, Policy, TaskKey,
    Verifier,
};
use lagdb::format::ElementType;
use lagdb::{Error, Scope};
use std::sync::Arc;

/// Tokens of an answer, at most.
const ANSWER_TOKENS: usize = 32;

/// Tokens of lessons, at most.
const LESSON_TOKENS: usize = 320;

/// Which parts of a memory are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// KV logs of the answers.
    pub(super) logs: bool,
    /// Lessons.
    pub(super) lessons: bool,
}

/// What a question got as an answer without a memory.
#[derive(Clone, Debug)]
pub(super) struct Alone {
    /// The answer; none where the question did not fit the model, and was not remembered.
    pub(super) answer: Option<String>,
    /// Tokens before it.
    pub(super) prompt_tokens: usize,
}

/// Lives all questions that were not lived in `scope` before; what was answered, by question.
///
/// # Errors
/// When the model or the database fails; on Ctrl-C, [`Failure::Interrupted`].
pub(super) fn live(
    scope: &Scope,
    speaker: &Speaker,
    questions: &[(Question, Vec<String>)],
    parts: Parts,
    output: Output,
) -> Result<Vec<Alone>, Failure> {
    let bar = output.progress(questions.len() as u64, "remembering");
    let mut answers = Vec::with_capacity(questions.len());
    for (number, (question, labels)) in questions.iter().enumerate() {
        if interrupt::requested() {
            let what = format!("{} questions were answered and stay in the database, if --db names one", answers.len());
            return Err(Failure::Interrupted(what));
        }
        let learner = learner(scope, speaker, question, parts)?;
        let key = TaskKey { stream: "qa".to_owned(), number: number as u64 };
        let mut asking = Asking::new(question, labels);
        let answer = match learner.live(&mut asking, Some(&key)) {
            Ok(Living::Now(learned)) => {
                let attempt = learned.attempts.into_iter().next().map(|judged| judged.attempt);
                attempt.and_then(|attempt| attempt.steps.into_iter().next()).map(|step| step.action)
            }
            Ok(Living::Earlier(ids)) => {
                let trajectory = ids.first().map(|id| scope.snapshot()?.get(*id)).transpose()?.flatten();
                trajectory.and_then(|trajectory| trajectory.steps.into_iter().next()).map(|step| step.action)
            }
            Err(Error::ContextLimit { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let answer = answer.map(|reply| answer_in(&reply).to_owned());
        answers.push(Alone { answer, prompt_tokens: speaker.n_prompt_tokens(&asking.prompt())? });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(answers)
}

/// An agent that answers `question`; a KV log of its answer begins where the question is put.
pub(super) fn agent(scope: &Scope, speaker: &Speaker, question: &Question, logs: bool) -> Result<Agent, Failure> {
    let lead_in_tokens = if logs { speaker.n_tokens(&asked(&question.text))? } else { 0 };
    let policy = Policy {
        decoding: Decoding { stop: speaker.stops()?, ..Decoding::greedy(ANSWER_TOKENS) },
        max_steps: 1,
        capture: logs.then_some(Capture { lead_in_tokens, element: ElementType::F16 }),
        guard: None,
        ..Policy::default()
    };
    Ok(Agent::new(speaker.clone(), scope.clone(), policy))
}

fn learner(scope: &Scope, speaker: &Speaker, question: &Question, parts: Parts) -> Result<Learner, Failure> {
    let agent = agent(scope, speaker, question, parts.logs)?;
    let mut distiller = Distiller::new(Arc::new(speaker.clone()), Arc::new(English));
    distiller.decoding = Decoding::greedy(LESSON_TOKENS);
    let mut learner = Learner::new(agent, Arc::new(Verifier), distiller);
    if !parts.lessons {
        learner.distiller = None;
    }
    learner.recall.limit = 0;
    learner.consolidation = Consolidation {
        // More alike than the same: nothing is merged.
        same: 2.0,
        opposed: 2.0,
        disagreement: Disagreement::Keep,
        max_per_domain: u64::MAX,
        ..Consolidation::default()
    };
    Ok(learner)
}
