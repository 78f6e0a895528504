//! Asking the store again while generating: every so many tokens, with the model's own hidden state.
//!
//! What is found stands behind the tokens so far and before the last one chosen, which has no row yet: that token and all after
//! it see it. A response is then several ranges of rows, with logs between them.

use super::generation::Ending;
use super::stops::Speech;
use super::{AttachPolicy, Attachment, FinishReason, NewToken, Prompt, Response, Session};
use crate::error::{Error, Result};
use crate::generate::sampling::Sampling;
use crate::generate::tensor;
use lagdb_format::KvRead;
use std::ops::ControlFlow;

/// When the store is asked, and how what it gives is attached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecallPolicy {
    /// After so many new tokens each time.
    pub every: usize,
    /// How logs become attention sources.
    pub attach: AttachPolicy,
}

/// What there is to ask with.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The response so far.
    pub token_ids: &'a [u32],
    /// Its text without special tokens; empty when the model has no tokenizer.
    pub text: &'a str,
    /// The last row's hidden state after the last norm, `[hidden_size]`: what the last token was chosen from.
    pub hidden: &'a [f32],
}

/// What was generated, with what was attached on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Recalled {
    /// The text of all tokens without special ones, up to a stop string; empty when the model has no tokenizer.
    pub text: String,
    /// All tokens.
    pub token_ids: Vec<u32>,
    /// The tokens between one asking and the next. The last says what ended them all.
    pub strides: Vec<Response>,
    /// What was attached, and after how many tokens.
    pub attached: Vec<(usize, Attachment)>,
    /// How many logs were left out since they would have left no room for another token, the worst first, and after how many
    /// tokens.
    pub left_out: Vec<(usize, usize)>,
}

impl Session {
    /// The hidden state of the last row after the last norm, `[hidden_size]`; `None` when that row was attached or there is
    /// none.
    ///
    /// # Errors
    /// [`Error::Tensor`] when it cannot be read.
    pub fn hidden_state(&self) -> Result<Option<Vec<f32>>> {
        Ok(self.hidden.as_ref().map(|hidden| tensor::read(hidden, <[f32]>::to_vec)).transpose()?)
    }

    /// As [`generate`](Self::generate), and every so many tokens `recall` may give logs, the best first, that the tokens to
    /// come attend to.
    ///
    /// # Errors
    /// As [`generate`](Self::generate) and [`attach_all`](Self::attach_all), and what `recall` says; tokens that were chosen
    /// before stay. [`Error::Invalid`] when `every` is 0. Logs for which there is no room are left out, and it is said; a
    /// cancellation once a token is chosen ends the response.
    pub fn generate_recalling<'p, L: KvRead>(
        &mut self,
        prompt: impl Into<Prompt<'p>>,
        sampling: &Sampling,
        policy: &RecallPolicy,
        mut recall: impl FnMut(Moment<'_>) -> Result<Vec<L>>,
        mut on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<Recalled> {
        if policy.every == 0 {
            return Err(Error::invalid("recall policy", "the store is asked every 1 or more tokens"));
        }
        sampling.check()?;
        let generator = self.generator.clone();
        // One speech, so that a character or a stop may begin before the store is asked and end after.
        let mut speech = Speech::new(&generator, sampling)?;
        let n_before = self.responses.len();
        let mut recalled = Recalled {
            text: String::new(),
            token_ids: Vec::new(),
            strides: Vec::new(),
            attached: Vec::new(),
            left_out: Vec::new(),
        };
        let mut prompt = prompt.into();
        loop {
            let left = sampling.max_new_tokens - recalled.token_ids.len();
            let stride = Sampling {
                max_new_tokens: left.min(policy.every),
                seed: sampling.seed.wrapping_add(recalled.strides.len() as u64),
                ..sampling.clone()
            };
            let ending = if left <= policy.every { Ending::Here } else { Ending::Later };
            let responded =
                self.or_as_it_was(|session| session.respond_in(&mut speech, prompt, &stride, ending, &mut on_token));
            let mut response = match (responded, recalled.strides.last_mut()) {
                (Err(Error::Cancelled), Some(last)) => {
                    last.finish = FinishReason::Cancelled;
                    break;
                }
                (responded, _) => responded?,
            };
            prompt = Prompt::Tokens(&[]);
            recalled.token_ids.extend(&response.token_ids);
            if response.finish == FinishReason::MaxTokens && ending == Ending::Later && self.check_room(1).is_err() {
                response.finish = FinishReason::ContextLimit;
            }
            let is_over = response.finish != FinishReason::MaxTokens || ending == Ending::Here;
            recalled.text = match response.stop {
                Some(_) => speech.said().to_owned(),
                None if generator.has_tokenizer() => generator.decode(&recalled.token_ids, false)?,
                None => String::new(),
            };
            recalled.strides.push(response);
            if is_over {
                break;
            }
            let hidden = self.hidden_state()?.unwrap_or_default();
            let logs = recall(Moment { token_ids: &recalled.token_ids, text: &recalled.text, hidden: &hidden })?;
            let mut logs: Vec<&dyn KvRead> = logs.iter().map(|log| log as &dyn KvRead).collect();
            let n_left_out = logs.len() - self.n_that_fit(&logs);
            if n_left_out > 0 {
                logs.truncate(logs.len() - n_left_out);
                recalled.left_out.push((recalled.token_ids.len(), n_left_out));
            }
            match (self.attach_before_last(&logs, &policy.attach), recalled.strides.last_mut()) {
                (Err(Error::Cancelled), Some(last)) => {
                    last.finish = FinishReason::Cancelled;
                    break;
                }
                (attached, _) => {
                    let n_tokens = recalled.token_ids.len();
                    recalled.attached.extend(attached?.into_iter().map(|log| (n_tokens, log)));
                }
            }
        }
        // However often it was asked on the way, it is one response.
        let rows = self.responses.split_off(n_before).concat();
        self.responses.push(rows);
        Ok(recalled)
    }

    /// How many of `logs`, the first of them, leave room for another token.
    fn n_that_fit(&self, logs: &[&dyn KvRead]) -> usize {
        let mut n_tokens = 1;
        let fits = |log: &&&dyn KvRead| {
            n_tokens += log.n_tokens();
            self.check_room(n_tokens).is_ok()
        };
        logs.iter().take_while(fits).count()
    }

    /// Attaches before the last token chosen, whose row moves behind the logs.
    fn attach_before_last(&mut self, logs: &[&dyn KvRead], policy: &AttachPolicy) -> Result<Vec<Attachment>> {
        let n_rows = self.cache.n_rows();
        let pending = self.ids.split_off(n_rows);
        let attached = self.attach_all(logs, policy);
        let now = self.ids.len();
        self.ids.extend(&pending);
        if now > n_rows
            && let Some(last) = self.responses.last_mut()
        {
            last.iter_mut().for_each(|rows| rows.end = rows.end.min(n_rows));
            last.retain(|rows| !rows.is_empty());
            last.push(now..self.ids.len());
        }
        attached
    }
}
