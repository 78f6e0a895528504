//! Generating text: prefill the prompt, then choose token after token.
//!
//! The last token chosen has no row yet when generation ends; it is computed when the session goes on or when it is
//! captured. So a session can be fed more, for instance what a tool found, and generate again.
//!
//! A response ends at an end-of-text token, at a stop string, when it is long enough, or when it is cancelled: by the caller who
//! sees a token, or by anyone with a [`Cancellation`], also while the prompt is still read.

use super::Session;
use super::stops::{Said, Speech};
use crate::error::{Error, Result};
use crate::generate::sampling::{Sampler, Sampling};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// The text that it completes; empty for special tokens, within a character, and while what is there could become one of
    /// [`Sampling::stop`].
    pub text: &'a str,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended the text; the end-of-text token is the last of the response.
    EndOfText,
    /// One of [`Sampling::stop_ids`] was chosen; it is the last of the response.
    StopToken,
    /// One of [`Sampling::stop`] was written; its tokens are the last of the response, its text is not in it.
    StopText,
    /// [`Sampling::max_new_tokens`] were generated.
    MaxTokens,
    /// The session has no room for another token.
    ContextLimit,
    /// The caller broke off, or someone with a [`Cancellation`].
    Cancelled,
}

/// Stops what a session computes, from any thread: the next chunk of a prompt and the next token are not computed.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Stops what is being computed, or what is computed next.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was said since the last time that it was obeyed.
    pub(super) fn obeyed(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// What was generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Its text without special tokens and up to a stop string; empty when the model has no tokenizer.
    pub text: String,
    /// Its tokens.
    pub token_ids: Vec<u32>,
    /// Its rows in the session.
    pub tokens: Range<usize>,
    /// Why it ended.
    pub finish: FinishReason,
    /// The one of [`Sampling::stop`] that ended it.
    pub stop: Option<String>,
    /// Tokens computed before the first new one.
    pub prefill_tokens: usize,
    /// Tokens of attached KV logs that it could see, as rows and in pages.
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

/// Whether a response is over once its tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is.
    Here,
    /// Another part follows, in which what was held back can become a stop.
    Later,
}

impl Response {
    /// The same of a call that began so much earlier.
    pub(super) fn since(mut self, before: Duration) -> Self {
        self.time_to_first_token += before;
        self.time += before;
        self
    }
}

impl Session {
    /// Computes `prompt` and generates after it; `on_token` sees every token as it is chosen and may break off.
    ///
    /// # Errors
    /// [`Error::ContextLimit`] before anything is computed when prompt and one new token do not fit; [`Error::Invalid`] when
    /// there is no token to continue from, or `sampling` holds a number that says nothing; [`Error::Model`] when text is
    /// given to a model without a tokenizer, or stop strings are; [`Error::NotFinite`] and [`Error::Tensor`] when the model
    /// computes no numbers; [`Error::Cancelled`] when that was asked for before the first token. The session stays as it was.
    pub fn generate<'p>(
        &mut self,
        prompt: impl Into<Prompt<'p>>,
        sampling: &Sampling,
        on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<Response> {
        let prompt = prompt.into();
        self.or_as_it_was(|session| session.respond(prompt, sampling, on_token))
    }

    /// What stops this session while it computes. A fork has another one.
    pub fn cancellation(&self) -> Cancellation {
        self.cancellation.clone()
    }

    pub(super) fn respond(
        &mut self,
        prompt: Prompt<'_>,
        sampling: &Sampling,
        on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<Response> {
        sampling.check()?;
        let generator = self.generator.clone();
        self.respond_in(&mut Speech::new(&generator, sampling)?, prompt, sampling, Ending::Here, on_token)
    }

    /// A response, or a part of one, in a speech that may have begun before.
    pub(super) fn respond_in(
        &mut self,
        speech: &mut Speech<'_>,
        prompt: Prompt<'_>,
        sampling: &Sampling,
        ending: Ending,
        mut on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<Response> {
        let start = Instant::now();
        let prompt = self.prompt_ids(prompt)?;
        self.check_room(prompt.len() + 1)?;
        self.push(&prompt)?;
        let prefill_tokens = self.ids.len() - self.cache.n_rows();
        let first = self.ids.len();
        let (mut time_to_first_token, n_said) = (None, speech.said().len());
        let chosen = self.choose_tokens(speech, sampling, ending, |token| {
            time_to_first_token.get_or_insert_with(|| start.elapsed());
            on_token(token)
        });
        // Who broke off at the last token stopped this response and not what comes after it: another part is not after it.
        let was_cancelled = self.cancellation.obeyed();
        let (mut finish, stop) = chosen?;
        if was_cancelled && finish == FinishReason::MaxTokens && ending == Ending::Later {
            finish = FinishReason::Cancelled;
        }
        let tokens = first..self.ids.len();
        self.responses.push(vec![tokens.clone()]);
        let token_ids = self.ids[tokens.clone()].to_vec();
        let text = match (&stop, self.generator.has_tokenizer()) {
            (_, false) => String::new(),
            (Some(_), true) => speech.said().get(n_said..).unwrap_or_default().to_owned(),
            (None, true) => self.generator.decode(&token_ids, false)?,
        };
        Ok(Response {
            text,
            token_ids,
            tokens,
            finish,
            stop,
            prefill_tokens,
            attached_tokens: self.n_attached() + self.n_paged(),
            time_to_first_token: time_to_first_token.unwrap_or_default(),
            time: start.elapsed(),
        })
    }

    pub(super) fn prompt_ids(&self, prompt: Prompt<'_>) -> Result<Vec<u32>> {
        match prompt {
            Prompt::Tokens(ids) => Ok(ids.to_vec()),
            Prompt::Text(text) => self.generator.encode(text, !self.begun),
        }
    }

    /// Chooses tokens until something ends them; also returns the stop, if that did.
    fn choose_tokens(
        &mut self,
        speech: &mut Speech<'_>,
        sampling: &Sampling,
        ending: Ending,
        mut on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<(FinishReason, Option<String>)> {
        let generator = self.generator.clone();
        let mut sampler = Sampler::new(sampling);
        let own = self.attached.last().map_or(0, |log| log.end);
        for n_left in (0..sampling.max_new_tokens).rev() {
            if self.check_room(1).is_err() {
                return Ok((FinishReason::ContextLimit, None));
            }
            let logits = match self.logits() {
                // What was chosen is not taken back: only a prompt that was not read whole is.
                Err(Error::Cancelled) if n_left + 1 < sampling.max_new_tokens => {
                    return Ok((FinishReason::Cancelled, None));
                }
                logits => logits?,
            };
            let id = sampler.next(logits, &self.ids[own..])?;
            self.push(&[id])?;
            let finish = if generator.config().eos_ids.contains(&id) {
                Some(FinishReason::EndOfText)
            } else if sampling.stop_ids.contains(&id) {
                Some(FinishReason::StopToken)
            } else {
                (n_left == 0).then_some(FinishReason::MaxTokens)
            };
            let (mut text, finish, stop) = match speech.push(id)? {
                Said::GoesOn(text) => (text, finish, None),
                Said::Stopped(text, stop) => (text, Some(FinishReason::StopText), Some(stop)),
            };
            let goes_on = finish == Some(FinishReason::MaxTokens) && ending == Ending::Later;
            if stop.is_none() && (finish.is_some() && !goes_on || self.check_room(1).is_err()) {
                text.push_str(&speech.rest());
            }
            let flow = on_token(NewToken { id, text: &text });
            if flow.is_break() && (finish.is_none() || goes_on) {
                return Ok((FinishReason::Cancelled, None));
            }
            if let Some(finish) = finish {
                return Ok((finish, stop));
            }
        }
        Ok((FinishReason::MaxTokens, None))
    }
}
