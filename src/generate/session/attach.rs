//! Attaching a KV log: its keys, turned to the next positions, and its values become rows of the session.
//!
//! The log is read page by page, and each page is written to its rows while it is in the processor's caches. Nothing is
//! committed before every layer was read: a log that turns out corrupt leaves the session as it was.
//!
//! Tokens become rows in the order of their positions: a log ordered by importance is put back into the order of its text.

use super::Session;
use crate::error::{Error, Result};
use crate::generate::heads::{HeadShape, Numbers};
use crate::generate::kv_cache::{KvNumbers, Part};
use crate::generate::rope::Angles;
use lagdb_format::{self as format, Fidelity, FormatError, KvRead, KvRun, RunNumbers};
use std::ops::{ControlFlow, Range};

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
    /// [`Error::Corrupt`] when the log's bytes are damaged; [`Error::Invalid`] when one of its numbers is none, or none that
    /// the KV cache holds, or when its heads keep tokens of their own, which this attention cannot attend to. The session
    /// stays as it was.
    pub fn attach(&mut self, log: &dyn KvRead) -> Result<Attachment> {
        self.check_log(log)?;
        self.or_as_it_was(|session| session.attach_checked(log))
    }

    fn attach_checked(&mut self, log: &dyn KvRead) -> Result<Attachment> {
        self.compute(|_| Ok(()))?;
        let tokens = self.ids.len()..self.ids.len() + log.n_tokens();
        if tokens.is_empty() {
            return Ok(Attachment { tokens, fidelity: self.fidelity(log, 0) });
        }
        let positions = self.positions(tokens.clone());
        let fidelity = self.fidelity(log, positions[0]);
        let angles = self.generator.decoder().rope().angles(&positions);
        self.cache.reserve(tokens.len())?;
        let order = text_order(log.positions());
        for layer in 0..self.generator.config().layers.len() {
            self.attach_layer(log, layer, &angles, order.as_deref())?;
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

    fn attach_layer(&mut self, log: &dyn KvRead, layer: usize, angles: &Angles, order: Option<&[usize]>) -> Result<()> {
        let angles = self.generator.config().layers[layer].rope.then_some(angles);
        for part in [format::Part::Keys, format::Part::Values] {
            let mut written = Ok(());
            let mut write = |run: KvRun<'_>| {
                written = self.write_run(layer, part, run, angles);
                if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            match order {
                None => log.each_run(layer as u32, part, &mut write).map_err(corrupt)?,
                Some(order) => {
                    let numbers = in_order(log, layer as u32, part, order).map_err(corrupt)?;
                    let _ = write(KvRun { first_row: 0, numbers: RunNumbers::Single(&numbers) });
                }
            }
            written?;
        }
        Ok(())
    }

    fn write_run(&mut self, layer: usize, part: format::Part, run: KvRun<'_>, angles: Option<&Angles>) -> Result<()> {
        let config = self.generator.config();
        let (n_heads, head_dim) = (config.n_kv_heads, config.head_dim);
        let (numbers, n_numbers) = match run.numbers {
            RunNumbers::Single(numbers) => (Numbers::Single(numbers), numbers.len()),
            RunNumbers::Half(numbers) => (Numbers::Half(numbers), numbers.len()),
        };
        let shape = HeadShape { n_tokens: n_numbers / (n_heads * head_dim), n_heads, head_dim };
        let part = match part {
            format::Part::Keys => Part::Keys(numbers, angles),
            format::Part::Values => Part::Values(numbers),
        };
        self.cache.write(layer, run.first_row, shape, part).map_err(|error| Error::invalid("KV log", error))
    }

    /// What comes of the log in a session that holds rows as this one does.
    fn fidelity(&self, log: &dyn KvRead, first_position: u32) -> Fidelity {
        match self.cache.numbers() {
            KvNumbers::F32 => Fidelity::of(log, first_position),
            KvNumbers::F16 => Fidelity::Approximate,
        }
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

/// The keys or values of a layer, the token `order[i]` as the row `i`.
fn in_order(log: &dyn KvRead, layer: u32, part: format::Part, order: &[usize]) -> format::Result<Vec<f32>> {
    let mut read = vec![0.0; log.layer_numbers(layer)?];
    match part {
        format::Part::Keys => log.read_keys(layer, &mut read)?,
        format::Part::Values => log.read_values(layer, &mut read)?,
    }
    let row = read.len() / order.len();
    Ok(order.iter().flat_map(|&token| &read[token * row..(token + 1) * row]).copied().collect())
}

/// A log does not know which file it lies in.
fn corrupt(error: FormatError) -> Error {
    Error::from_format(error, "KV log")
}
