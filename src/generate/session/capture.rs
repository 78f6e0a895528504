//! Capturing a KV log: keys before RoPE, values, token ids and positions of rows that were computed here.
//!
//! Attached rows cannot be captured again: they already are a log, and what this session adds to them is nothing. Tokens that
//! were attached by their pages are no rows, so that no selection can name them.

mod importance;
mod policy;

use super::Session;
use crate::error::{Error, Result};
use crate::generate::heads::HeadShape;
use crate::generate::kv_cache::KvNumbers;
use importance::Scores;
use lagdb_format::{ElementType, FormatError, HeadTokens, KvLayer, KvLog};
pub use policy::{CaptureBudget, CapturePolicy, Choice, Importance};
use std::ops::Range;

/// Which rows of a session become a KV log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every token of the last response, its end-of-text token included: LAG's choice.
    LastResponse,
    /// The same and this many tokens before it.
    LastResponseWithPrompt(usize),
    /// Every token of every response.
    EveryResponse,
    /// These rows, such as [`Response::tokens`](super::Response::tokens).
    Tokens(Range<usize>),
}

impl Session {
    /// The selected rows as a KV log whose numbers are stored as `element`.
    ///
    /// f16 is the type to store: widened again it changed logits by 0.001 to 0.005 and no choice of token. f32 gives
    /// back what was computed, exactly, where the session holds f32; from one that holds f16 or int8, whose values have lost what
    /// such rows lose, it is marked as approximate. Keys are always those that were computed.
    /// Every number is finite: a KV cache has no others.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the selection is empty, beyond the session, or touches attached rows; when the session
    /// was made without capture; or when a number does not fit `element`.
    pub fn capture(&mut self, selection: Selection, element: ElementType) -> Result<KvLog> {
        self.capture_with(&CapturePolicy::all(selection), element)
    }

    /// What `policy` keeps of its span, as a KV log whose numbers are stored as `element`.
    ///
    /// # Errors
    /// As [`capture`](Self::capture); [`Error::Invalid`] also when the budget is less than a token.
    pub fn capture_with(&mut self, policy: &CapturePolicy, element: ElementType) -> Result<KvLog> {
        let rows = self.selected(&policy.span)?;
        self.or_as_it_was(|session| session.compute(|_| Ok(())))?;
        let n_kept = self.n_kept(policy.budget, rows.len(), element)?;
        if n_kept == rows.len() {
            return self.log_of(&rows, element);
        }
        let scores = self.importance(policy.importance, &rows)?;
        let config = self.generator.config();
        match policy.choice {
            Choice::Together => {
                let scores = scores.shared_by(config.layers.len() * config.n_kv_heads);
                let kept = scores.of_heads().next().map(|scores| best(scores, n_kept)).unwrap_or_default();
                let rows: Vec<usize> = rows.iter().zip(kept).filter_map(|(row, kept)| kept.then_some(*row)).collect();
                self.log_of(&rows, element)
            }
            Choice::PerLayer => self.ragged_log_of(&rows, scores.shared_by(config.n_kv_heads), n_kept, element),
            Choice::PerHead => self.ragged_log_of(&rows, scores, n_kept, element),
        }
    }

    fn n_kept(&self, budget: CaptureBudget, n_rows: usize, element: ElementType) -> Result<usize> {
        let token_bytes = self.generator.config().geometry().row_width() * element.n_bytes();
        let n = match budget {
            CaptureBudget::Everything => n_rows,
            CaptureBudget::Tokens(n) => n,
            CaptureBudget::Bytes(n) => n / (2 * token_bytes * self.generator.config().layers.len()),
        };
        if n == 0 { Err(Error::invalid("budget", "it is less than one token")) } else { Ok(n.min(n_rows)) }
    }

    /// The rows of a selection, going up.
    fn selected(&self, selection: &Selection) -> Result<Vec<usize>> {
        let problem = |detail: String| Err(Error::invalid("selection", detail));
        let ranges = match (selection, self.responses.last()) {
            (Selection::Tokens(rows), _) => vec![rows.clone()],
            (_, None) => return problem("nothing was generated yet".to_owned()),
            (Selection::LastResponse, Some(last)) => last.clone(),
            (Selection::LastResponseWithPrompt(n), Some(last)) => {
                let mut ranges = last.clone();
                ranges.first_mut().into_iter().for_each(|rows| rows.start = rows.start.saturating_sub(*n));
                ranges
            }
            (Selection::EveryResponse, Some(_)) => self.responses.concat(),
        };
        let ranges: Vec<_> = ranges.into_iter().filter(|rows| !rows.is_empty()).collect();
        if ranges.is_empty() {
            return problem("no token is in it".to_owned());
        }
        for rows in &ranges {
            if rows.end > self.ids.len() {
                return problem(format!("tokens {rows:?} of {}", self.ids.len()));
            }
            if let Some(log) = self.attached.iter().find(|log| log.start < rows.end && rows.start < log.end) {
                return problem(format!("tokens {rows:?} touch the attached tokens {log:?}"));
            }
        }
        Ok(ranges.into_iter().flatten().collect())
    }

    /// A log of these rows, of which every head keeps all.
    fn log_of(&self, rows: &[usize], element: ElementType) -> Result<KvLog> {
        let encode = |numbers: Vec<f32>| element.encode_f32(&numbers).map_err(invalid);
        let layer = |layer| {
            Ok(KvLayer { keys: encode(self.keys_of(layer, rows)?)?, values: encode(self.values_of(layer, rows)?)? })
        };
        let layers = (0..self.generator.config().layers.len()).map(layer).collect::<Result<_>>()?;
        let (ids, positions) = self.names_of(rows);
        self.labelled(KvLog::new(*self.generator.fingerprint(), element, ids, positions, layers))
    }

    /// A log of which each head keeps the `n_kept` rows that matter most to it.
    fn ragged_log_of(&self, rows: &[usize], scores: Scores, n_kept: usize, element: ElementType) -> Result<KvLog> {
        let config = self.generator.config();
        let kept: Vec<Vec<bool>> = scores.of_heads().map(|scores| best(scores, n_kept)).collect();
        let tokens: Vec<usize> = (0..rows.len()).filter(|&row| kept.iter().any(|kept| kept[row])).collect();
        let rows: Vec<usize> = tokens.iter().map(|&token| rows[token]).collect();
        let keeps = |layer: usize, head: usize, i: usize| kept[layer * config.n_kv_heads + head][tokens[i]];
        let heads = HeadTokens::new(config.geometry(), rows.len() as u32, |layer, head, token| {
            keeps(layer as usize, head as usize, token as usize)
        });
        let (d, row) = (config.head_dim, config.n_kv_heads * config.head_dim);
        let of_heads = |layer: usize, numbers: Vec<f32>| {
            let places = (0..config.n_kv_heads).flat_map(|head| (0..rows.len()).map(move |i| (head, i)));
            let kept = places.filter(|&(head, i)| keeps(layer, head, i));
            let numbers: Vec<f32> =
                kept.flat_map(|(head, i)| &numbers[i * row + head * d..i * row + (head + 1) * d]).copied().collect();
            element.encode_f32(&numbers).map_err(invalid)
        };
        let layer = |layer| {
            let keys = of_heads(layer, self.keys_of(layer, &rows)?)?;
            Ok(KvLayer { keys, values: of_heads(layer, self.values_of(layer, &rows)?)? })
        };
        let layers = (0..config.layers.len()).map(layer).collect::<Result<_>>()?;
        let (ids, positions) = self.names_of(&rows);
        self.labelled(KvLog::ragged(*self.generator.fingerprint(), element, ids, positions, heads, layers))
    }

    fn names_of(&self, rows: &[usize]) -> (Vec<u32>, Vec<u32>) {
        rows.iter().map(|&row| (self.ids[row], self.cache.positions()[row])).unzip()
    }

    fn labelled(&self, log: lagdb_format::Result<KvLog>) -> Result<KvLog> {
        let log = log.map_err(invalid)?;
        Ok(if self.cache.numbers() == KvNumbers::F32 { log } else { log.approximate() })
    }

    /// The keys before RoPE of rows at one layer, `[n_rows, n_kv_heads * head_dim]`.
    fn keys_of(&self, layer: usize, rows: &[usize]) -> Result<Vec<f32>> {
        let Some(raw_keys) = &self.raw_keys else {
            return Err(Error::invalid("selection", "the session was made without capture"));
        };
        let mut keys = Vec::new();
        for rows in rows.chunk_by(|a, b| a + 1 == *b) {
            keys.extend(raw_keys.read(layer, &(rows[0]..rows[0] + rows.len()))?);
        }
        Ok(keys)
    }

    /// The values of rows at one layer, `[n_rows, n_kv_heads * head_dim]`.
    pub(super) fn values_of(&self, layer: usize, rows: &[usize]) -> Result<Vec<f32>> {
        let config = self.generator.config();
        let mut values = Vec::new();
        for rows in rows.chunk_by(|a, b| a + 1 == *b) {
            let shape = HeadShape { n_tokens: rows.len(), n_heads: config.n_kv_heads, head_dim: config.head_dim };
            values.extend(shape.to_token_major(&self.cache.values(layer, rows[0]..rows[0] + rows.len())?));
        }
        Ok(values)
    }
}

/// Which of these scores are among the `n` highest; of equal ones the later.
fn best(scores: &[f32], n: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(b.cmp(&a)));
    let mut best = vec![false; scores.len()];
    order.iter().take(n).for_each(|&i| best[i] = true);
    best
}

fn invalid(error: FormatError) -> Error {
    Error::from_format(error, "KV log")
}
