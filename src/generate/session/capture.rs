//! Capturing a KV log: keys before RoPE, values, token ids and positions of rows that were computed here.
//!
//! Attached rows cannot be captured again: they already are a log, and what this session adds to them is nothing.

use super::Session;
use crate::error::{Error, Result};
use crate::generate::heads::HeadShape;
use crate::generate::kv_cache::KvNumbers;
use lagdb_format::{ElementType, FormatError, KvLayer, KvLog};
use std::ops::Range;

/// Which rows of a session become a KV log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every token of the last response, its end-of-text token included: LAG's choice.
    LastResponse,
    /// The same and this many tokens before it.
    LastResponseWithPrompt(usize),
    /// These rows, such as [`Response::tokens`](super::Response::tokens).
    Tokens(Range<usize>),
}

impl Session {
    /// The selected rows as a KV log whose numbers are stored as `element`.
    ///
    /// f16 is the type to store: widened again it changed logits by 0.001 to 0.005 and no choice of token. f32 gives
    /// back what was computed, exactly, where the session holds f32; from one that holds f16 it is marked as approximate.
    /// Every number is finite: a KV cache has no others.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the selection is empty, beyond the session, or touches attached rows; when the session
    /// was made without capture; or when a number does not fit `element`.
    pub fn capture(&mut self, selection: Selection, element: ElementType) -> Result<KvLog> {
        let rows = self.selected(selection)?;
        self.or_as_it_was(|session| session.compute(|_| Ok(())))?;
        let n_layers = self.generator.config().layers.len();
        let layers = (0..n_layers).map(|layer| self.capture_layer(layer, &rows, element)).collect::<Result<_>>()?;
        let positions = self.positions(rows.clone());
        let ids = self.ids[rows].to_vec();
        let log = KvLog::new(*self.generator.fingerprint(), element, ids, positions, layers).map_err(invalid)?;
        Ok(if self.cache.numbers() == KvNumbers::F32 { log } else { log.approximate() })
    }

    fn selected(&self, selection: Selection) -> Result<Range<usize>> {
        let problem = |detail: String| Err(Error::invalid("selection", detail));
        let rows = match (selection, &self.last_response) {
            (Selection::Tokens(rows), _) => rows,
            (_, None) => return problem("nothing was generated yet".to_owned()),
            (Selection::LastResponse, Some(last)) => last.clone(),
            (Selection::LastResponseWithPrompt(n), Some(last)) => last.start.saturating_sub(n)..last.end,
        };
        if rows.is_empty() || rows.end > self.ids.len() {
            return problem(format!("tokens {rows:?} of {}", self.ids.len()));
        }
        if let Some(log) = self.attached.iter().find(|log| log.start < rows.end && rows.start < log.end) {
            return problem(format!("tokens {rows:?} touch the attached tokens {log:?}"));
        }
        Ok(rows)
    }

    fn capture_layer(&self, layer: usize, rows: &Range<usize>, element: ElementType) -> Result<KvLayer> {
        let Some(raw_keys) = &self.raw_keys else {
            return Err(Error::invalid("selection", "the session was made without capture"));
        };
        let config = self.generator.config();
        let shape = HeadShape { n_tokens: rows.len(), n_heads: config.n_kv_heads, head_dim: config.head_dim };
        let values = shape.to_token_major(&self.cache.values(layer, rows.clone())?);
        Ok(KvLayer {
            keys: element.encode_f32(&raw_keys.read(layer, rows)?).map_err(invalid)?,
            values: element.encode_f32(&values).map_err(invalid)?,
        })
    }
}

fn invalid(error: FormatError) -> Error {
    Error::from_format(error, "KV log")
}
