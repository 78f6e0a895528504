//! Attaching a KV log: its keys, turned to the next positions, and its values become rows of the session.
//!
//! The log is read layer by layer, so a log in a segment is decoded while the layers before it are already written.
//! Nothing is committed before every layer was read: a log that turns out corrupt leaves the session as it was.
//!
//! Tokens become rows in the order of their positions: a log ordered by importance is put back into the order of its text.

use super::Session;
use crate::error::{Error, Result};
use crate::generate::heads::HeadShape;
use crate::generate::kv_cache::Part;
use crate::generate::rope::Angles;
use lagdb_format::{Fidelity, FormatError, KvRead};
use std::ops::Range;

/// An attached KV log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its rows in the session.
    pub tokens: Range<usize>,
    /// How near attending to it comes to computing its tokens again.
    pub fidelity: Fidelity,
}

impl Session {
    /// Makes `log` the next rows of the session.
    ///
    /// # Errors
    /// [`Error::ModelMismatch`] naming the field in which the log's model differs; [`Error::ContextLimit`];
    /// [`Error::Corrupt`] when the log's bytes are damaged; [`Error::Invalid`] when its heads keep tokens of their own,
    /// which this attention cannot attend to. The session stays as it was.
    pub fn attach(&mut self, log: &dyn KvRead) -> Result<Attachment> {
        self.check_log(log)?;
        self.compute(|_| Ok(()))?;
        let tokens = self.ids.len()..self.ids.len() + log.n_tokens();
        if tokens.is_empty() {
            return Ok(Attachment { tokens, fidelity: Fidelity::of(log, 0) });
        }
        let positions = self.positions(tokens.clone());
        let fidelity = Fidelity::of(log, positions[0]);
        let angles = self.generator.decoder().rope().angles(&positions);
        self.cache.reserve(tokens.len())?;
        let order = text_order(log.positions());
        let mut numbers = Numbers::new(tokens.len() * log.geometry().row_width(), order.as_deref());
        for layer in 0..self.generator.config().layers.len() {
            self.attach_layer(log, layer, &angles, &mut numbers)?;
        }
        self.cache.commit(&positions);
        match &order {
            None => self.ids.extend_from_slice(log.token_ids()),
            Some(order) => self.ids.extend(order.iter().map(|&token| log.token_ids()[token])),
        }
        self.attached.push(tokens.clone());
        self.hidden = None;
        Ok(Attachment { tokens, fidelity })
    }

    /// As [`attach`](Self::attach), of a log whose tokens must be exactly `ids`, in the order of the log.
    ///
    /// # Errors
    /// As [`attach`](Self::attach); [`Error::Invalid`] naming the first token that is another one.
    pub fn attach_expecting(&mut self, log: &dyn KvRead, ids: &[u32]) -> Result<Attachment> {
        log.expect_tokens(ids).map_err(corrupt)?;
        self.attach(log)
    }

    fn check_log(&self, log: &dyn KvRead) -> Result<()> {
        let (own, found) = (self.generator.fingerprint(), log.fingerprint());
        if let Some(field) = own.mismatch(found) {
            let (found, expected) = (found.id().to_string(), own.id().to_string());
            return Err(Error::ModelMismatch { field, found, expected });
        }
        if log.heads().is_some() {
            let detail = "its KV heads keep tokens of their own; only logs whose heads all keep the same are attached";
            return Err(Error::invalid("KV log", detail));
        }
        self.check_room(log.n_tokens())?;
        self.check_vocabulary(log.token_ids())
    }

    fn attach_layer(
        &mut self,
        log: &dyn KvRead,
        layer: usize,
        angles: &Angles,
        numbers: &mut Numbers<'_>,
    ) -> Result<()> {
        let config = self.generator.config();
        let shape = HeadShape { n_tokens: log.n_tokens(), n_heads: config.n_kv_heads, head_dim: config.head_dim };
        let angles = config.layers[layer].rope.then_some(angles);
        let keys = numbers.read(|out| log.read_keys(layer as u32, out))?;
        self.cache.write(layer, shape, Part::Keys(keys, angles))?;
        let values = numbers.read(|out| log.read_values(layer as u32, out))?;
        self.cache.write(layer, shape, Part::Values(values))?;
        Ok(())
    }
}

/// Which token of the log comes first, second, … in its text; `None` when they already stand like that.
fn text_order(positions: &[u32]) -> Option<Vec<usize>> {
    if positions.is_sorted() {
        return None;
    }
    let mut order: Vec<usize> = (0..positions.len()).collect();
    order.sort_unstable_by_key(|&token| positions[token]);
    Some(order)
}

/// Where the keys and the values of one layer after another are read to, in the order of the text.
struct Numbers<'a> {
    read: Vec<f32>,
    ordered: Vec<f32>,
    order: Option<&'a [usize]>,
}

impl<'a> Numbers<'a> {
    fn new(n_numbers: usize, order: Option<&'a [usize]>) -> Self {
        Self { read: vec![0.0; n_numbers], ordered: Vec::new(), order }
    }

    fn read(&mut self, read: impl FnOnce(&mut [f32]) -> lagdb_format::Result<()>) -> Result<&[f32]> {
        read(&mut self.read).map_err(corrupt)?;
        let Some(order) = self.order else { return Ok(&self.read) };
        let row = self.read.len() / order.len();
        self.ordered.clear();
        self.ordered.extend(order.iter().flat_map(|&token| &self.read[token * row..(token + 1) * row]));
        Ok(&self.ordered)
    }
}

/// A log does not know which file it lies in.
fn corrupt(error: FormatError) -> Error {
    Error::from_format(error, "KV log")
}
