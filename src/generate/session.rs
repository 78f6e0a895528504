//! A session: one sequence of rows, some attached from KV logs, some computed here.
//!
//! A row is one token's keys and values at every layer; rows are numbered from 0. A computed row never changes, and neither does
//! an attached one after the call that attached it. The position of a row is one more than the highest before it, so attached
//! logs close up without gaps as in [LAG](https://arxiv.org/abs/2505.14398), unless a policy lets them share positions. Logs do
//! not see each other; every token computed after them sees them all (within the sliding window, where the model has one).
//!
//! Invariant: `ids` names every row of the cache in order, and beyond them at most the tokens that are still to be
//! computed, such as the last one generated. They are computed when something needs them.

mod admission;
mod attach;
mod capture;
mod generation;
mod hidden;
mod raw_keys;
mod recall;
mod stops;

pub use admission::{Admission, Admitted};
pub use attach::{AttachPolicy, Attachment, LogOrder, LogPositions, PagedLogs, Recompute};
pub use capture::{CaptureBudget, CapturePolicy, Choice, Importance, Selection};
pub use generation::{Cancellation, FinishReason, NewToken, Prompt, Response};
pub use recall::{Moment, RecallPolicy, Recalled};

use super::generator::Generator;
use super::kv_cache::{KvCache, KvNumbers};
use super::pages::PagesRead;
use crate::error::{Error, Result};
use candle_core::Tensor;
use raw_keys::RawKeys;
use std::ops::Range;

/// The most scores, `n_heads * n_new * n_rows`, that one chunk of prefill computes: 128 MiB as f32.
const MAX_SCORES: usize = 1 << 25;

/// The most tokens that [`SessionOptions::chunk`] may ask for.
const MAX_CHUNK: usize = 1 << 13;

/// What comes first in a session, and what it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// What stands before the attached logs.
    pub layout: Layout,
    /// Keep keys before RoPE, as f32, so that own tokens can be captured: half of the memory of an f32 cache again, as much
    /// again as an f16 one has, and twice as much as one of int8.
    pub capture: bool,
    /// RoPE position of row 0, which is the beginning-of-text token where the layout puts one there.
    pub first_position: u32,
    /// The most rows; `None` is all that the model has positions for.
    pub context_limit: Option<usize>,
    /// Tokens computed at once in prefill, 1 to 8192; fewer where their scores would take much memory.
    pub chunk: usize,
    /// How keys and values are held; `None` is [what fits the weights](Generator::default_kv_numbers).
    pub kv_numbers: Option<KvNumbers>,
}

/// Where attached logs stand relative to the beginning of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `[beginning of text | logs | prompt]`: the tokens that the tokenizer puts before a text, if any, are computed first,
    /// since models attend much to the first row whatever it is
    /// ([attention sinks](https://arxiv.org/abs/2309.17453)); prompts get none of their own.
    #[default]
    SinkFirst,
    /// `[logs | prompt]`: the order of LAG. The first prompt brings its own beginning-of-text token.
    LogsFirst,
    /// `[preamble | logs | prompt]`: these tokens are computed first, such as a beginning-of-text token and a system
    /// prompt; prompts get no beginning-of-text token of their own.
    PreambleFirst(Vec<u32>),
}

/// One running sequence.
#[derive(Debug)]
pub struct Session {
    generator: Generator,
    cache: KvCache,
    ids: Vec<u32>,
    attached: Vec<Range<usize>>,
    raw_keys: Option<RawKeys>,
    /// Hidden state of the last row if that was computed, `[1, hidden_size]`.
    hidden: Option<Tensor>,
    /// The rows of each response; what was attached on its way stands between them.
    responses: Vec<Vec<Range<usize>>>,
    begun: bool,
    first_position: u32,
    chunk: usize,
    cancellation: Cancellation,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            layout: Layout::SinkFirst,
            capture: true,
            first_position: 0,
            context_limit: None,
            chunk: 256,
            kv_numbers: None,
        }
    }
}

impl Session {
    pub(super) fn new(generator: Generator, options: SessionOptions) -> Result<Self> {
        let config = generator.config();
        let positions = config.max_positions.saturating_sub(options.first_position as usize);
        let limit = options.context_limit.map_or(positions, |limit| limit.min(positions));
        let numbers = options.kv_numbers.unwrap_or_else(|| generator.default_kv_numbers());
        let mut session = Self {
            cache: KvCache::new(config.geometry(), numbers, limit, generator.rooms().clone()),
            ids: Vec::new(),
            attached: Vec::new(),
            raw_keys: options.capture.then(RawKeys::default),
            hidden: None,
            responses: Vec::new(),
            begun: false,
            first_position: options.first_position,
            chunk: options.chunk.clamp(1, MAX_CHUNK),
            cancellation: Cancellation::default(),
            generator,
        };
        match options.layout {
            Layout::SinkFirst => session.push(&session.generator.beginning_ids()?)?,
            Layout::LogsFirst => {}
            Layout::PreambleFirst(preamble) => {
                session.begun = true;
                session.push(&preamble)?;
            }
        }
        Ok(session)
    }

    /// Computes `ids` after what is there and returns the logits after the last of them, `[vocab_size]`.
    ///
    /// # Errors
    /// [`Error::ContextLimit`] before anything is computed; [`Error::Invalid`] when an id is not in the vocabulary,
    /// or when there is no token to predict from; [`Error::NotFinite`] when the model computes no numbers, and
    /// [`Error::Tensor`] when a key or value is none that the KV cache holds. The session stays as it was.
    pub fn feed(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        self.or_as_it_was(|session| {
            session.push(ids)?;
            session.logits()
        })
    }

    /// As [`feed`](Self::feed), with the logits after each of `ids`, `[ids.len(), vocab_size]`.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn feed_for_logits(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        self.or_as_it_was(|session| {
            session.compute(|_| Ok(()))?;
            session.push(ids)?;
            let vocab_size = session.generator.config().vocab_size;
            let mut logits = Vec::with_capacity(ids.len() * vocab_size);
            let generator = session.generator.clone();
            session.compute(|hidden| {
                logits.extend(generator.decoder().logits(hidden)?.flatten_all()?.to_vec1::<f32>()?);
                Ok(())
            })?;
            check_finite(&logits, vocab_size, session.ids.len() - ids.len())?;
            Ok(logits)
        })
    }

    /// A session of its own with the same rows; neither sees what the other does from here on.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the KV cache cannot be copied.
    pub fn fork(&self) -> Result<Self> {
        Ok(Self {
            generator: self.generator.clone(),
            cache: self.cache.fork()?,
            ids: self.ids.clone(),
            attached: self.attached.clone(),
            raw_keys: self.raw_keys.clone(),
            hidden: self.hidden.clone(),
            responses: self.responses.clone(),
            cancellation: Cancellation::default(),
            ..*self
        })
    }

    /// The token of each row, attached ones included.
    pub fn token_ids(&self) -> &[u32] {
        &self.ids
    }

    /// Rows so far.
    pub fn n_tokens(&self) -> usize {
        self.ids.len()
    }

    /// Rows attached from KV logs.
    pub fn n_attached(&self) -> usize {
        self.attached.iter().map(Range::len).sum()
    }

    /// Tokens of KV logs that were attached by their pages: they are no rows.
    pub fn n_paged(&self) -> usize {
        self.cache.pages().n_tokens()
    }

    /// How many pages were read so far, of how many; a fork goes on counting from what was read before.
    pub fn pages_read(&self) -> PagesRead {
        self.cache.pages().read
    }

    /// The most rows.
    pub fn context_limit(&self) -> usize {
        self.cache.limit()
    }

    /// The generator it belongs to.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// What `call` returns; when that is an error, the session is again as it was before.
    pub(crate) fn or_as_it_was<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (n_ids, n_rows, n_logs, begun) = (self.ids.len(), self.cache.n_rows(), self.attached.len(), self.begun);
        let (hidden, n_responses, n_pages) = (self.hidden.clone(), self.responses.len(), self.cache.pages().len());
        let done = call(self);
        if done.is_err() {
            self.ids.truncate(n_ids);
            self.attached.truncate(n_logs);
            self.cache.truncate(n_rows);
            self.cache.pages_mut().truncate(n_pages);
            self.raw_keys.iter_mut().for_each(|keys| keys.truncate(n_rows));
            self.responses.truncate(n_responses);
            (self.hidden, self.begun) = (hidden, begun);
        }
        done
    }

    /// Appends tokens that are computed later.
    fn push(&mut self, ids: &[u32]) -> Result<()> {
        self.check_room(ids.len())?;
        self.check_vocabulary(ids)?;
        self.begun |= !ids.is_empty();
        self.ids.extend_from_slice(ids);
        Ok(())
    }

    fn check_room(&self, n_new: usize) -> Result<()> {
        // Pages take a position of those that the model has, and no row.
        let (n_tokens, limit) = (self.ids.len() + self.cache.pages().len() + n_new, self.cache.limit());
        if n_tokens > limit { Err(Error::ContextLimit { n_tokens, limit }) } else { Ok(()) }
    }

    fn check_vocabulary(&self, ids: &[u32]) -> Result<()> {
        let vocab_size = self.generator.config().vocab_size;
        match ids.iter().find(|&&id| id as usize >= vocab_size) {
            None => Ok(()),
            Some(id) => Err(Error::invalid("token id", format!("{id} is not below {vocab_size}"))),
        }
    }

    /// Computes the tokens that have no row yet, chunk by chunk; `each` gets the hidden states of every chunk.
    fn compute(&mut self, mut each: impl FnMut(&Tensor) -> Result<()>) -> Result<()> {
        // At once: growing chunk by chunk copies all rows each time, and leaves rooms that are too small for the next session.
        self.cache.reserve(self.ids.len() - self.cache.n_rows())?;
        while self.cache.n_rows() < self.ids.len() {
            if self.cancellation.obeyed() {
                return Err(Error::Cancelled);
            }
            let start = self.cache.n_rows();
            let chunk = start..self.ids.len().min(start + self.chunk_size());
            let positions: Vec<u32> = (self.next_position()..).take(chunk.len()).collect();
            let forward = self.generator.decoder().forward(&self.ids[chunk.clone()], &positions, &mut self.cache)?;
            if let Some(raw_keys) = &mut self.raw_keys {
                raw_keys.push(chunk.clone(), forward.raw_keys);
            }
            self.hidden = Some(forward.hidden.narrow(0, chunk.len() - 1, 1)?);
            each(&forward.hidden)?;
        }
        Ok(())
    }

    /// Logits after the last row.
    fn logits(&mut self) -> Result<Vec<f32>> {
        self.compute(|_| Ok(()))?;
        let Some(hidden) = &self.hidden else {
            return Err(Error::invalid("prompt", "it is empty and no own token comes last"));
        };
        let logits: Vec<f32> = self.generator.decoder().logits(hidden)?.flatten_all()?.to_vec1()?;
        check_finite(&logits, logits.len(), self.ids.len() - 1)?;
        Ok(logits)
    }

    fn chunk_size(&self) -> usize {
        let scores_per_token = self.generator.config().n_heads * (self.cache.n_rows() + self.chunk);
        self.chunk.min(MAX_SCORES / scores_per_token).max(1)
    }

    /// The position of the next row. Attached rows may share some, so there are never more positions than rows and sources of
    /// pages.
    fn next_position(&self) -> u32 {
        let last = self.cache.positions().iter().copied().max().max(self.cache.pages().last_position());
        last.map_or(self.first_position, |last| last + 1)
    }
}

/// Logits of the rows from `first` on, `[n_rows, vocab_size]`, must be finite: the largest of others says nothing.
fn check_finite(logits: &[f32], vocab_size: usize, first: usize) -> Result<()> {
    match logits.iter().position(|logit| !logit.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite { what: "logits", row: first + at / vocab_size }),
    }
}
