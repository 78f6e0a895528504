//! Solving one task: attach what was recalled, then answer and look things up until the environment is satisfied.

use super::{Agent, Environment, Recollection};
use crate::generate::{NewToken, Selection, Session, SessionOptions};
use crate::{Result, Step};
use lagdb_format::{Fidelity, KvLog};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What happened in one task.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What the agent read and said, step by step.
    pub steps: Vec<Step>,
    /// Prompt tokens computed, of all steps, recalled text included.
    pub prefill_tokens: usize,
    /// Tokens attended to without computing them.
    pub attached_tokens: usize,
    /// How near each attached log comes to computing its tokens again, in the order of the recollection.
    pub fidelity: Vec<Fidelity>,
    /// From the start, attaching included, to the first generated token.
    pub time_to_first_token: Duration,
    /// Keys and values of the last response and its lead-in, if the policy captures them.
    pub kv_log: Option<KvLog>,
}

impl Agent {
    /// Solves the task of `environment` with what was recalled.
    ///
    /// # Errors
    /// [`ModelMismatch`](crate::Error::ModelMismatch) for a KV log of another model,
    /// [`ContextLimit`](crate::Error::ContextLimit) when not all of it fits.
    pub fn solve(&self, environment: &mut dyn Environment, recollection: &Recollection) -> Result<Attempt> {
        self.solve_streaming(environment, recollection, &mut |_| {})
    }

    /// As [`solve`](Self::solve); `on_text` sees the text as it is generated.
    ///
    /// # Errors
    /// As [`solve`](Self::solve).
    pub fn solve_streaming(
        &self,
        environment: &mut dyn Environment,
        recollection: &Recollection,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Attempt> {
        let start = Instant::now();
        let options = SessionOptions { capture: self.policy.capture.is_some(), ..SessionOptions::default() };
        let mut session = self.generator.session(options)?;
        let attached = recollection.kv_logs.iter().map(|log| Ok(session.attach(log)?.fidelity));
        let fidelity = attached.collect::<Result<_>>()?;
        let mut first_token = None;
        let mut on_token = |token: NewToken<'_>| {
            first_token.get_or_insert_with(|| start.elapsed());
            on_text(token.text);
            ControlFlow::Continue(())
        };
        let mut steps: Vec<Step> = Vec::new();
        let mut prefill_tokens = 0;
        let mut prompt = recollection.tokens.clone();
        let mut observation = environment.task().prompt.clone();
        loop {
            prompt.extend(self.generator.encode(&observation, steps.is_empty())?);
            let response = session.generate(&prompt, &self.policy.sampling, &mut on_token)?;
            prefill_tokens += response.prefill_tokens;
            let action = self.generator.decode(&response.token_ids, true)?;
            let answer = environment.observe(&action);
            steps.push(Step::new(observation, action));
            match answer {
                Some(answer) if steps.len() < self.policy.max_steps => observation = answer,
                _ => break,
            }
            prompt.clear();
        }
        Ok(Attempt {
            steps,
            prefill_tokens,
            attached_tokens: session.n_attached(),
            fidelity,
            kv_log: self.capture(&mut session, prompt.len())?,
            time_to_first_token: first_token.unwrap_or_else(|| start.elapsed()),
        })
    }

    /// The KV log of the last response, its lead-in cut to the prompt it followed.
    fn capture(&self, session: &mut Session, prompt_tokens: usize) -> Result<Option<KvLog>> {
        let Some(capture) = self.policy.capture else { return Ok(None) };
        let lead_in = capture.lead_in_tokens.min(prompt_tokens);
        session.capture(Selection::LastResponseWithPrompt(lead_in), capture.element).map(Some)
    }
}
