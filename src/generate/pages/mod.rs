//! Attached pages: KV logs that layers attend to as they are stored, without becoming rows of the KV cache.
//!
//! A log of int8 is held as its bytes, which forks share, and nothing of it is widened. Keys in a log are before RoPE and all
//! tokens of one call stand at one position, as blocks far away do in InfLLM ([`LogPositions::One`]): so the query is turned by
//! its distance to them, once, and compared with the codes as they lie; values are mixed straight from codes too. What comes
//! out is merged with the attention over rows by what both weigh: one softmax over all, not an approximation of it.
//!
//! A [`PagePolicy`] says how loud the logs are, and which of their pages each KV head of each layer reads at each token: those
//! that key summaries show to matter.
//!
//! What it costs, measured with a log of 2,048 tokens at the geometry of Qwen3-0.6B (`cargo bench --bench pages`, a quiet machine
//! with AVX-512): attaching takes a quarter of what rows of f16 take, and half of the bytes. A step that reads all pages takes
//! 1.02 times as long as with such rows, one that reads eight of sixteen 0.9 times, one that reads one page 0.7 times. A prompt of 16
//! tokens after it takes 0.97 times as long; one of 128 longer, 1.14 times (why was not found). With 8,192 tokens (a busy machine) a
//! step takes 0.88 times as long, prompts 0.84 and 1.12 times.
//!
//! | question | file |
//! |---|---|
//! | what is held? | `source` |
//! | which pages are read? | `choice` |
//! | what does attention make of them? | `attend` |
//!
//! Xiao et al., *InfLLM*, 2024, <https://arxiv.org/abs/2402.04617>.
//!
//! [`LogPositions::One`]: super::LogPositions::One

mod attend;
mod choice;
mod source;
#[cfg(test)]
mod tests;

use super::rope::{Angles, Rope};
use super::sources::Emphasis;
use crate::error::{Error, Result};
pub(super) use attend::{Asking, Mix, attend};
pub(super) use source::PageSource;
use std::sync::Arc;

/// How attached pages are read; the default reads all of them, as loud as the text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PagePolicy {
    /// How loud all logs of the call are together.
    pub emphasis: Emphasis,
    /// The most pages that a KV head reads at a layer for one token, those of the highest bound as in
    /// [Quest](https://arxiv.org/abs/2406.10774); `None` is all of them.
    pub max_pages: Option<usize>,
    /// The share of a query's attention, 0 to 1, that may be left unread: pages are skipped whose key summaries prove that all
    /// that are skipped weigh no more together. No weight is then further than it from what it would be, nor the sum of those
    /// left out above it, but for the rounding of f32. 0 skips nothing, and what `max_pages` leaves out comes on top.
    pub negligible: f32,
}

/// How many pages were read, over all tokens, layers and KV heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagesRead {
    /// Pages of keys that a KV head compared a token's queries with, and the pages of their values.
    pub read: u64,
    /// As many as there were to be read.
    pub of: u64,
}

impl PagePolicy {
    /// Whether it asks for key summaries.
    pub(super) fn chooses(&self) -> bool {
        self.max_pages.is_some() || self.negligible > 0.0
    }

    /// # Errors
    /// [`Error::Invalid`] when a number of it is out of range, or two parts of it contradict each other.
    pub(super) fn check(&self) -> Result<()> {
        let problem = if self.max_pages == Some(0) {
            Some("a head reads at least one page; a bias of minus infinity silences them all".to_owned())
        } else if !(0.0..1.0).contains(&self.negligible) {
            Some(format!("a share that may be left unread is 0 or more and below 1: {}", self.negligible))
        } else if self.negligible > 0.0 && self.emphasis != Emphasis::default() {
            Some("what is negligible is proved of sources that are as loud as the text".to_owned())
        } else {
            self.emphasis.problem()
        };
        problem.map_or(Ok(()), |problem| Err(Error::invalid("page policy", problem)))
    }
}

/// Every source of pages of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    sources: Vec<Arc<PageSource>>,
    pub(super) read: PagesRead,
}

/// A source as the tokens of one pass see it.
#[derive(Debug)]
pub(super) struct SeenPages {
    source: Arc<PageSource>,
    /// Of how far each token is from the source.
    distances: Angles,
    /// Which tokens see it at layers without a window, and at those with one.
    tokens: [Vec<usize>; 2],
}

impl Pages {
    /// Adds one.
    pub(super) fn push(&mut self, source: PageSource) {
        self.sources.push(Arc::new(source));
    }

    /// Sources, each of which takes a position.
    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// Forgets those after the first `n`.
    pub(super) fn truncate(&mut self, n: usize) {
        self.sources.truncate(n);
    }

    /// The highest position of any.
    pub(super) fn last_position(&self) -> Option<u32> {
        self.sources.iter().map(|source| source.position).max()
    }

    /// Tokens of all logs.
    pub(super) fn n_tokens(&self) -> usize {
        self.sources.iter().map(|source| source.n_tokens()).sum()
    }

    /// What the tokens of `rows` at `positions` see of them, at layers with this window.
    pub(super) fn seen(&self, rows: &[usize], positions: &[u32], window: Option<u32>, rope: &Rope) -> Vec<SeenPages> {
        let seen = |source: &Arc<PageSource>| {
            let distances: Vec<u32> = positions.iter().map(|at| at.saturating_sub(source.position)).collect();
            let tokens = |window: Option<u32>| {
                let sees = |token: &usize| {
                    rows[*token] >= source.first_row && window.is_none_or(|window| distances[*token] < window)
                };
                (0..rows.len()).filter(sees).collect()
            };
            let tokens = [tokens(None), tokens(window)];
            SeenPages { source: source.clone(), distances: rope.angles(&distances), tokens }
        };
        self.sources.iter().map(seen).collect()
    }
}
