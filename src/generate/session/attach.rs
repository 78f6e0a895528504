//! Attaching a KV log: its keys, turned to the next positions, and its values become rows of the session.
//!
//! The log is read layer by layer, so a log in a segment is decoded while the layers before it are already written.
//! Nothing is committed before every layer was read: a log that turns out corrupt leaves the session as it was.

use super::Session;
use crate::error::{Error, Result};
use crate::generate::heads::HeadShape;
use crate::generate::kv_cache::LogPart;
use crate::generate::rope::Angles;
use lagdb_format::{FormatError, KvRead};
use std::ops::Range;

/// An attached KV log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its rows in the session.
    pub tokens: Range<usize>,
}

impl Session {
    /// Makes `log` the next rows of the session.
    ///
    /// # Errors
    /// [`Error::ModelMismatch`] naming the field in which the log's model differs; [`Error::ContextLimit`];
    /// [`Error::Corrupt`] when the log's bytes are damaged. The session stays as it was.
    pub fn attach(&mut self, log: &dyn KvRead) -> Result<Attachment> {
        self.check_log(log)?;
        self.compute(|_| Ok(()))?;
        let tokens = self.ids.len()..self.ids.len() + log.n_tokens();
        if tokens.is_empty() {
            return Ok(Attachment { tokens });
        }
        let positions = self.positions(tokens.clone());
        let angles = self.generator.decoder().rope().angles(&positions);
        self.cache.reserve(tokens.len())?;
        let mut numbers = vec![0.0; tokens.len() * log.geometry().row_width()];
        for layer in 0..self.generator.config().layers.len() {
            self.attach_layer(log, layer, &angles, &mut numbers)?;
        }
        self.cache.commit(&positions);
        self.ids.extend_from_slice(log.token_ids());
        self.attached.push(tokens.clone());
        self.hidden = None;
        Ok(Attachment { tokens })
    }

    fn check_log(&self, log: &dyn KvRead) -> Result<()> {
        let (own, found) = (self.generator.fingerprint(), log.fingerprint());
        if let Some(field) = own.mismatch(found) {
            let (found, expected) = (found.id().to_string(), own.id().to_string());
            return Err(Error::ModelMismatch { field, found, expected });
        }
        self.check_room(log.n_tokens())?;
        self.check_vocabulary(log.token_ids())
    }

    /// `numbers` is where keys and then values are read to.
    fn attach_layer(&mut self, log: &dyn KvRead, layer: usize, angles: &Angles, numbers: &mut [f32]) -> Result<()> {
        let config = self.generator.config();
        let shape = HeadShape { n_tokens: log.n_tokens(), n_heads: config.n_kv_heads, head_dim: config.head_dim };
        log.read_keys(layer as u32, numbers).map_err(corrupt)?;
        let angles = config.layers[layer].rope.then_some(angles);
        self.cache.write_log(layer, shape, LogPart::Keys(numbers, angles))?;
        log.read_values(layer as u32, numbers).map_err(corrupt)?;
        self.cache.write_log(layer, shape, LogPart::Values(numbers))?;
        Ok(())
    }
}

/// A log does not know which file it lies in.
fn corrupt(error: FormatError) -> Error {
    Error::from_format(error, "KV log")
}
