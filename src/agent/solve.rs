//! Solving one task: attach what was recalled, then answer and look things up until the environment is satisfied.

use super::{Agent, Environment, Recollection};
use crate::generate::{Selection, SessionOptions, StopAt};
use crate::{Result, Step};
use lagdb_format::KvLog;
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
    /// From the start, attaching included, to the first generated token.
    pub time_to_first_token: Duration,
    /// Keys and values of the last response and its lead-in.
    pub kv_log: KvLog,
}

impl Agent {
    /// Solves the task of `environment` with what was recalled.
    ///
    /// # Errors
    /// `ModelMismatch` for a KV log of another model, `ContextLimit` when all of it does not fit.
    pub fn solve(&self, environment: &mut dyn Environment, recollection: &Recollection) -> Result<Attempt> {
        let start = Instant::now();
        let mut session = self.generator.session(SessionOptions::default());
        for log in &recollection.kv_logs {
            session.attach(log)?;
        }
        let mut observation = environment.task().prompt.clone();
        let mut prompt = recollection.tokens.clone();
        let (mut steps, mut prefill_tokens, mut first_token) = (Vec::new(), 0, None);
        loop {
            prompt.extend(self.generator.encode(&observation)?);
            prefill_tokens += prompt.len();
            let response = session.generate(&prompt, &self.policy.sampling, &self.stop_at()?, |_| {
                first_token.get_or_insert_with(|| start.elapsed());
                std::ops::ControlFlow::Continue(())
            })?;
            let action = response.text;
            let answer = environment.observe(&action);
            steps.push(Step { observation: std::mem::take(&mut observation), action });
            match answer {
                Some(answer) if steps.len() < self.policy.max_steps => observation = answer,
                _ => break,
            }
            prompt.clear();
        }
        let kv_log = session.capture(Selection::LastResponse { lead_in: self.policy.lead_in_tokens }, self.policy.element)?;
        Ok(Attempt {
            steps,
            prefill_tokens,
            attached_tokens: session.attached_tokens(),
            time_to_first_token: first_token.unwrap_or_else(|| start.elapsed()),
            kv_log,
        })
    }
}
