//! One question under one arm: what is recalled for it, and what is answered then. Nothing of this is remembered.

use super::arm::{Arm, Memory};
use super::asking::{Asking, answer_in, asked};
use super::case::Case;
use super::memory::{self, Alone};
use super::speaker::Speaker;
use super::splits::Split;
use crate::failure::Failure;
use crate::questions::question::Question;
use lagdb::agent::{Agent, Environment, LanguageModel, LessonRecall, Recollection, Said};
use lagdb::{Error, Filter, LexicalEmbedder, Outcome, Query, Scope, Trajectory};

/// Trajectories recalled for a question.
pub(super) const N_RECALLED: usize = 3;

/// Who asks, and what may be recalled.
pub(super) struct Asker<'a> {
    pub(super) scope: &'a Scope,
    pub(super) speaker: &'a Speaker,
    pub(super) split: &'a Split,
}

impl Asker<'_> {
    /// The answer to `question` with what is recalled by `query`: its own text, or in the controls that of another question.
    ///
    /// # Errors
    /// When the model or the database fails. A prompt that does not fit the model is an empty answer.
    pub(super) fn ask(&self, arm: Arm, question: &Question, query: &str) -> Result<Case, Failure> {
        let agent = memory::agent(self.scope, self.speaker, question, false)?;
        let mut asking = Asking::new(question, &[]).recalled_by(query);
        let recollection = self.recollect(&agent, arm.memory, &asking)?;
        let n_recalled = recollection.said.len().max(recollection.kv_logs.len()) + recollection.lessons().len();
        let case = Case { n_recalled, ..Case::default() };
        match agent.solve(&mut asking, &recollection) {
            Ok(attempt) => {
                let answer = attempt.steps.first().map_or("", |step| answer_in(&step.action)).to_owned();
                let (prompt_tokens, attached_tokens) = (attempt.prefill_tokens, attempt.attached_tokens);
                Ok(Case { prompt_tokens: Some(prompt_tokens), attached_tokens, ..case }.answered(question, answer))
            }
            Err(Error::ContextLimit { .. }) => Ok(Case { is_too_long: true, ..case }),
            Err(error) => Err(error.into()),
        }
    }

    /// Right answers to the questions nearest to the query, the nearest last, and lessons; all of what is remembered in the
    /// split, and never of the question itself.
    fn recollect(&self, agent: &Agent, memory: Memory, asking: &Asking<'_>) -> Result<Recollection, Failure> {
        let task = asking.task();
        let mut recollection = Recollection::default();
        if memory.has_lessons() {
            let filter = Some(Filter::label(&self.split.label));
            let how = LessonRecall { withhold: 0.0, filter, ..LessonRecall::default() };
            recollection.offers = agent.recall_lessons(asking, &how)?;
        }
        if memory != Memory::Text && !memory.has_logs() {
            return Ok(recollection);
        }
        let snapshot = self.scope.snapshot()?;
        let query = Query::near(LexicalEmbedder::default().embed(&task.query)).exclude_task(&task.name);
        let query = query.outcome(Outcome::Success).filter(Filter::label(&self.split.label)).limit(N_RECALLED);
        for hit in snapshot.search::<Trajectory>(&query)?.into_iter().rev() {
            if memory == Memory::Text {
                let answer = hit.record.steps.first().map_or("", |step| answer_in(&step.action));
                recollection.said.push(Said::Text(format!("{} {answer}\n\n", asked(&hit.record.task))));
            } else if let Some(model) = self.speaker.fingerprint() {
                recollection.kv_logs.extend(snapshot.kv_log(hit.id, model)?);
            }
        }
        Ok(recollection)
    }
}

/// What a question got as an answer when it was remembered, without a memory; it need not be asked again.
pub(super) fn alone(question: &Question, alone: &Alone) -> Case {
    let case =
        Case { prompt_tokens: Some(alone.prompt_tokens), is_too_long: alone.answer.is_none(), ..Case::default() };
    case.answered(question, alone.answer.clone().unwrap_or_default())
}
