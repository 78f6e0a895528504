//! Load or recompute: whether a KV log is attached, its tokens are computed instead, or neither, and why.
//!
//! Reading a log costs bytes, computing its tokens costs multiplications, and which is less depends on machine, disk and model;
//! file tiers of KV caches have been slower than computing anew. So both are measured, once, on a log of the store at hand.
//!
//! Logs that are all to be attached are read while the text after them is computed. What is wrong with one shows only then; so
//! the session goes back, and each log is admitted by itself.

use super::{AttachPolicy, Attachment, NewToken, Prompt, Response, Session, SessionOptions};
use crate::error::{Error, Result};
use crate::generate::generator::Generator;
use crate::generate::kv_cache::KvNumbers;
use crate::generate::sampling::Sampling;
use lagdb_format::KvRead;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

/// Tokens that are computed to see how long it takes.
const PROBE_TOKENS: usize = 64;

/// What a number of a log costs to attach, and a token to compute, on this machine with this model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Admission {
    /// Seconds for each key or value number that is loaded and attached.
    pub attach_s_per_number: f64,
    /// Seconds for each token that is computed.
    pub prefill_s_per_token: f64,
}

/// What became of a log.
#[derive(Debug)]
pub enum Admitted {
    /// Its keys and values are rows of the session.
    Attached(Attachment),
    /// Its tokens were computed as the next rows.
    Recomputed {
        /// These.
        tokens: Range<usize>,
        /// Why it was not attached; `None` when computing was measured to be faster.
        why: Option<Error>,
    },
    /// Neither; the session is as it was.
    Refused {
        /// What stood against it.
        why: Error,
    },
}

impl Admitted {
    /// The word for reports: `attached`, `recomputed` or `refused`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Attached(_) => "attached",
            Self::Recomputed { .. } => "recomputed",
            Self::Refused { .. } => "refused",
        }
    }
}

impl Admission {
    /// Nothing was measured: what can be attached is attached.
    pub const ATTACH: Self = Self { attach_s_per_number: 0.0, prefill_s_per_token: 0.0 };

    /// Loads a log that is typical of the store and attaches it, then computes some of its tokens, in sessions that hold keys and
    /// values as `kv_numbers` (`None` is [what fits the weights](Generator::default_kv_numbers)); wall time.
    ///
    /// # Errors
    /// What loading, attaching or computing says; [`Error::Invalid`] when the log is empty.
    pub fn measure<L: KvRead>(
        generator: &Generator,
        kv_numbers: Option<KvNumbers>,
        load: impl FnOnce() -> Result<L>,
    ) -> Result<Self> {
        let options = || SessionOptions { capture: false, kv_numbers, ..SessionOptions::default() };
        let mut session = generator.session(options())?;
        let start = Instant::now();
        let log = load()?;
        session.attach(&log)?;
        let attach = start.elapsed();
        let ids: Vec<u32> = log.token_ids().iter().copied().take(PROBE_TOKENS).collect();
        if ids.is_empty() {
            return Err(Error::invalid("KV log", "it has no tokens to measure with"));
        }
        let mut session = generator.session(options())?;
        session.feed(&ids[..1])?; // whatever is done only once
        let start = Instant::now();
        session.feed(&ids)?;
        let prefill = start.elapsed();
        let per = |time: Duration, n: usize| time.as_secs_f64() / n.max(1) as f64;
        Ok(Self { attach_s_per_number: per(attach, n_numbers(&log)?), prefill_s_per_token: per(prefill, ids.len()) })
    }

    /// Whether attaching `log` takes no longer than computing its tokens.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the log's sizes are absurd.
    pub fn prefers_attaching(&self, log: &dyn KvRead) -> Result<bool> {
        let attach = n_numbers(log)? as f64 * self.attach_s_per_number;
        Ok(attach <= log.n_tokens() as f64 * self.prefill_s_per_token)
    }
}

/// Numbers of keys and values at all layers.
fn n_numbers(log: &dyn KvRead) -> Result<usize> {
    let of_layer = |layer| log.layer_numbers(layer).map(|n| 2 * n).map_err(|error| Error::from_format(error, "KV log"));
    (0..log.geometry().n_layers).map(of_layer).sum()
}

impl Session {
    /// Attaches `log` where that is measured to be faster and possible, else computes its tokens where they are of this
    /// model's vocabulary. A log of other weights and the same tokenizer is computed, and so is one whose numbers are damaged.
    pub fn admit(&mut self, log: &dyn KvRead, admission: &Admission) -> Admitted {
        let refused = |why| Admitted::Refused { why };
        let why = match admission.prefers_attaching(log) {
            Err(why) => return refused(why),
            Ok(false) => None,
            Ok(true) => match self.attach(log) {
                Ok(attachment) => return Admitted::Attached(attachment),
                Err(why) => Some(why),
            },
        };
        let is_readable = log.fingerprint().tokenizer == self.generator.fingerprint().tokenizer;
        match why {
            Some(why @ (Error::ContextLimit { .. } | Error::Cancelled)) => refused(why),
            Some(why) if !is_readable => refused(why),
            None if !is_readable => refused(Error::invalid("KV log", "its tokens are of another tokenizer")),
            why => match self.compute_tokens_of(log) {
                Ok(tokens) => Admitted::Recomputed { tokens, why },
                Err(error @ Error::Cancelled) => refused(error),
                Err(error) => refused(why.unwrap_or(error)),
            },
        }
    }

    /// [Admits](Self::admit) each of `logs`, the first of which stands first, and [generates](Self::generate) after them; where all
    /// are to be attached, while they are [still read](Self::generate_attaching). The response's times are those from this call
    /// on.
    ///
    /// A log that turns out damaged on the way costs what was computed by then, and only itself: nothing was said yet, and each
    /// log is admitted by itself.
    ///
    /// # Errors
    /// As [`generate`](Self::generate). The session stays as it was, without the logs.
    pub fn generate_admitting<'p>(
        &mut self,
        logs: &[&dyn KvRead],
        admission: &Admission,
        prompt: impl Into<Prompt<'p>>,
        sampling: &Sampling,
        mut on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<(Vec<Admitted>, Response)> {
        let start = Instant::now();
        sampling.check()?;
        let prompt = self.prompt_ids(prompt.into())?;
        let prompt = Prompt::Tokens(&prompt);
        if logs.iter().all(|log| admission.prefers_attaching(*log).unwrap_or(false)) {
            let mut has_said = false;
            let attached = self.generate_attaching(logs, &AttachPolicy::default(), prompt, sampling, |token| {
                has_said = true;
                on_token(token)
            });
            match attached {
                Ok((attached, response)) => {
                    return Ok((attached.into_iter().map(Admitted::Attached).collect(), response));
                }
                Err(error) if has_said || matches!(error, Error::Cancelled) => return Err(error),
                Err(_) => {} // of a log or of the prompt: both say it again, each for itself
            }
        }
        self.or_as_it_was(|session| {
            let mut admitted = Vec::new();
            for log in logs {
                match session.admit(*log, admission) {
                    Admitted::Refused { why: Error::Cancelled } => return Err(Error::Cancelled),
                    taken => admitted.push(taken),
                }
            }
            let before = start.elapsed();
            Ok((admitted, session.respond(prompt, sampling, on_token)?.since(before)))
        })
    }

    /// Its tokens in the order of their text, as the next rows.
    fn compute_tokens_of(&mut self, log: &dyn KvRead) -> Result<Range<usize>> {
        let mut tokens: Vec<(u32, u32)> =
            log.positions().iter().copied().zip(log.token_ids().iter().copied()).collect();
        tokens.sort_unstable();
        let ids: Vec<u32> = tokens.into_iter().map(|(_, id)| id).collect();
        self.or_as_it_was(|session| {
            let first = session.ids.len();
            session.push(&ids)?;
            session.compute(|_| Ok(()))?;
            Ok(first..session.ids.len())
        })
    }
}
