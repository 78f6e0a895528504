//! Generating text: prefill the prompt, then choose token after token.
//!
//! The last token chosen has no row yet when generation ends; it is computed when the session goes on or when it is
//! captured. So a session can be fed more, for instance what a tool found, and generate again.

use super::Session;
use crate::error::Result;
use crate::generate::sampling::{Sampler, Sampling};
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

/// What to generate from.
#[derive(Clone, Copy, Debug)]
pub enum Prompt<'a> {
    /// Text; the first of a session also gets what the tokenizer puts around a text.
    Text(&'a str),
    /// Token ids as they are; none at all continues after the last token.
    Tokens(&'a [u32]),
}

/// A token as it is chosen.
#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    /// Its id.
    pub id: u32,
    /// The text that it completes; empty for special tokens and within a character.
    pub text: &'a str,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended the text; the end-of-text token is the last of the response.
    EndOfText,
    /// One of [`Sampling::stop_ids`] was chosen; it is the last of the response.
    StopToken,
    /// [`Sampling::max_new_tokens`] were generated.
    MaxTokens,
    /// The session has no room for another token.
    ContextLimit,
    /// The caller broke off.
    Cancelled,
}

/// What was generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Its text without special tokens; empty when the model has no tokenizer.
    pub text: String,
    /// Its tokens.
    pub token_ids: Vec<u32>,
    /// Its rows in the session.
    pub tokens: Range<usize>,
    /// Why it ended.
    pub finish: FinishReason,
    /// Tokens computed before the first new one.
    pub prefill_tokens: usize,
    /// Rows of attached KV logs that it could see.
    pub attached_tokens: usize,
    /// Time from the call to the first new token.
    pub time_to_first_token: Duration,
    /// Time from the call to the end.
    pub time: Duration,
}

impl<'a> From<&'a str> for Prompt<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u32]> for Prompt<'a> {
    fn from(ids: &'a [u32]) -> Self {
        Self::Tokens(ids)
    }
}

impl<'a> From<&'a Vec<u32>> for Prompt<'a> {
    fn from(ids: &'a Vec<u32>) -> Self {
        Self::Tokens(ids)
    }
}

impl Session {
    /// Computes `prompt` and generates after it; `on_token` sees every token as it is chosen and may break off.
    ///
    /// # Errors
    /// [`Error::ContextLimit`](crate::Error::ContextLimit) before anything is computed when prompt and one new token
    /// do not fit; [`Error::Invalid`](crate::Error::Invalid) when there is no token to continue from, or `sampling` holds
    /// a number that says nothing; [`Error::Model`](crate::Error::Model) when text is given to a model without a
    /// tokenizer; [`Error::NotFinite`](crate::Error::NotFinite) when the model computes no numbers. The session stays as it
    /// was.
    pub fn generate<'p>(
        &mut self,
        prompt: impl Into<Prompt<'p>>,
        sampling: &Sampling,
        on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<Response> {
        let prompt = prompt.into();
        self.or_as_it_was(|session| session.generate_or_fail(prompt, sampling, on_token))
    }

    fn generate_or_fail(
        &mut self,
        prompt: Prompt<'_>,
        sampling: &Sampling,
        mut on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<Response> {
        let start = Instant::now();
        sampling.check()?;
        let prompt = self.prompt_ids(prompt)?;
        self.check_room(prompt.len() + 1)?;
        self.push(&prompt)?;
        let prefill_tokens = self.ids.len() - self.cache.n_rows();
        let first = self.ids.len();
        let mut time_to_first_token = None;
        let finish = self.choose_tokens(sampling, |token| {
            time_to_first_token.get_or_insert_with(|| start.elapsed());
            on_token(token)
        })?;
        let tokens = first..self.ids.len();
        self.responses.push(vec![tokens.clone()]);
        let token_ids = self.ids[tokens.clone()].to_vec();
        Ok(Response {
            text: if self.generator.has_tokenizer() {
                self.generator.decode(&token_ids, false)?
            } else {
                String::new()
            },
            token_ids,
            tokens,
            finish,
            prefill_tokens,
            attached_tokens: self.n_attached(),
            time_to_first_token: time_to_first_token.unwrap_or_default(),
            time: start.elapsed(),
        })
    }

    fn prompt_ids(&self, prompt: Prompt<'_>) -> Result<Vec<u32>> {
        match prompt {
            Prompt::Tokens(ids) => Ok(ids.to_vec()),
            Prompt::Text(text) => self.generator.encode(text, !self.begun),
        }
    }

    fn choose_tokens(
        &mut self,
        sampling: &Sampling,
        mut on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<FinishReason> {
        let generator = self.generator.clone();
        let mut stream = generator.has_tokenizer().then(|| generator.tokenizer()).transpose()?.map(|t| t.stream());
        let mut sampler = Sampler::new(sampling);
        let own = self.attached.last().map_or(0, |log| log.end);
        for _ in 0..sampling.max_new_tokens {
            if self.check_room(1).is_err() {
                return Ok(FinishReason::ContextLimit);
            }
            let logits = self.logits()?;
            let id = sampler.next(logits, &self.ids[own..])?;
            self.push(&[id])?;
            let text = stream.as_mut().map(|stream| stream.push(id)).transpose()?.unwrap_or_default();
            let flow = on_token(NewToken { id, text: &text });
            if generator.config().eos_ids.contains(&id) {
                return Ok(FinishReason::EndOfText);
            }
            if sampling.stop_ids.contains(&id) {
                return Ok(FinishReason::StopToken);
            }
            if flow.is_break() {
                return Ok(FinishReason::Cancelled);
            }
        }
        Ok(FinishReason::MaxTokens)
    }
}
