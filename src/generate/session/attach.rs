//! Attaching KV logs: their keys, turned to the next positions, and their values become rows of the session.
//!
//! Logs are read layer by layer, and each page is written to its rows while it is in the processor's caches. A log that turns
//! out corrupt leaves the session as it was.
//!
//! Tokens become rows in the order of their positions: a log ordered by importance is put back into the order of its text. Of a
//! log whose KV heads keep tokens of their own each head has a row for all of them, and those that it does not keep weigh
//! nothing.

mod pages;
mod policy;
mod recompute;
mod streamed;

use super::Session;
use crate::error::{Error, Result};
use crate::generate::config::ModelConfig;
use crate::generate::heads::{HeadShape, Numbers};
use crate::generate::kv_cache::{KvNumbers, LayerCache, Part, Place};
use crate::generate::rope::Angles;
use crate::generate::sources::{Emphasis, Source};
use lagdb_format::{self as format, Fidelity, FormatError, HeadTokens, KvRead, KvRun, RunNumbers};
pub use pages::PagedLogs;
pub use policy::{AttachPolicy, LogOrder, LogPositions, Recompute};
use std::ops::{ControlFlow, Range};

/// An attached KV log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its rows in the session.
    pub tokens: Range<usize>,
    /// How near attending to it comes to computing its tokens again.
    pub fidelity: Fidelity,
}

/// A log, and where it goes.
struct Placed<'a> {
    log: &'a dyn KvRead,
    /// Its first row.
    first: usize,
    /// Of its rows.
    positions: Vec<u32>,
    angles: Angles,
    /// The token that each row is, where that is not its number.
    order: Option<Vec<usize>>,
}

impl Session {
    /// Makes `log` the next rows of the session.
    ///
    /// A log that was captured from the first row of a session has the beginning-of-text token of that session: attaching it is
    /// exact in a session that has none of its own ([`Layout::LogsFirst`](super::Layout::LogsFirst)).
    ///
    /// # Errors
    /// [`Error::ModelMismatch`] naming the field in which the log's model differs; [`Error::ContextLimit`];
    /// [`Error::Corrupt`] when the log's bytes are damaged; [`Error::Invalid`] when one of its numbers is none, or none that
    /// the KV cache holds. The session stays as it was.
    pub fn attach(&mut self, log: &dyn KvRead) -> Result<Attachment> {
        let mut attached = self.attach_all(&[log], &AttachPolicy::default())?;
        attached.pop().ok_or_else(|| Error::invalid("KV log", "there is none"))
    }

    /// Makes `logs`, of which the first is the best, the next rows of the session, as `policy` has it; what became of each, in
    /// their order. Logs attached by one call are one source: its temperature, scale and bias are those of all of them
    /// together.
    ///
    /// # Errors
    /// As [`attach`](Self::attach); [`Error::Invalid`] when a number of the policy is out of range. The session stays as it
    /// was, whichever log it is.
    pub fn attach_all(&mut self, logs: &[&dyn KvRead], policy: &AttachPolicy) -> Result<Vec<Attachment>> {
        self.check_logs(logs, policy, 0)?;
        self.or_as_it_was(|session| {
            let placed = session.place(logs, policy)?;
            session.fill_all(&placed)?;
            session.commit(&placed, policy)
        })
    }

    /// Checks what can be before anything is read; `n_more` tokens will follow the logs.
    fn check_logs(&self, logs: &[&dyn KvRead], policy: &AttachPolicy, n_more: usize) -> Result<()> {
        policy.check()?;
        if matches!(policy.recompute, Recompute::MostDeviating(_)) && logs.iter().any(|log| log.heads().is_some()) {
            let detail = "what deviates most is not told of logs whose heads keep tokens of their own";
            return Err(Error::invalid("attach policy", detail));
        }
        self.check_room(logs.iter().map(|log| log.n_tokens()).sum::<usize>() + n_more)?;
        logs.iter().try_for_each(|log| self.check_log(*log))
    }

    /// Where the logs go, in the order in which they will stand; there is room for them when this returns.
    fn place<'a>(&mut self, logs: &[&'a dyn KvRead], policy: &AttachPolicy) -> Result<Vec<Placed<'a>>> {
        self.compute(|_| Ok(()))?;
        self.cache.reserve(logs.iter().map(|log| log.n_tokens()).sum())?;
        let (begin, mut row) = (self.next_position(), self.ids.len());
        let mut position = begin;
        let mut place = |log: &'a dyn KvRead| {
            let n = log.n_tokens() as u32;
            let positions: Vec<u32> = match policy.positions {
                LogPositions::Consecutive => (position..position + n).collect(),
                LogPositions::Parallel => (begin..begin + n).collect(),
                LogPositions::One => vec![begin; n as usize],
            };
            let angles = self.generator.decoder().rope().angles(&positions);
            let placed = Placed { log, first: row, order: text_order(log), positions, angles };
            (row, position) = (row + n as usize, position + n);
            placed
        };
        Ok(match policy.order {
            LogOrder::BestFirst => logs.iter().map(|&log| place(log)).collect(),
            LogOrder::BestLast => logs.iter().rev().map(|&log| place(log)).collect(),
        })
    }

    fn fill_all(&mut self, placed: &[Placed<'_>]) -> Result<()> {
        let generator = self.generator.clone();
        let config = generator.config();
        (0..config.layers.len()).try_for_each(|layer| fill(placed, config, layer, self.cache.layer_mut(layer)?))
    }

    /// Makes rows that were written, or will be before they are read, rows of the session.
    fn commit(&mut self, placed: &[Placed<'_>], policy: &AttachPolicy) -> Result<Vec<Attachment>> {
        let first_row = self.ids.len();
        let mut attached: Vec<Attachment> = placed.iter().map(|placed| self.commit_one(placed)).collect();
        let rows = first_row..self.ids.len();
        if !rows.is_empty() {
            let of_logs: Vec<_> = attached.iter().map(|log| log.tokens.clone()).collect();
            let n_recomputed = self.recompute(policy.recompute, &of_logs)?;
            // After the logs' tokens were computed as the model computes them: it says how loud they are beside the text.
            self.cache.weigh_as(Source { rows, emphasis: policy.emphasis, heads: None });
            let is_plain = policy.emphasis == Emphasis::default() && n_recomputed == 0;
            if !is_plain || policy.positions != LogPositions::Consecutive {
                attached.iter_mut().for_each(|log| log.fidelity = Fidelity::Approximate);
            }
            self.hidden = None;
        }
        if policy.order == LogOrder::BestLast {
            attached.reverse();
        }
        Ok(attached)
    }

    fn commit_one(&mut self, placed: &Placed<'_>) -> Attachment {
        let Placed { log, positions, order, .. } = placed;
        let first = self.ids.len();
        let fidelity = self.fidelity(*log, positions.first().copied().unwrap_or(0));
        self.cache.commit(positions);
        match order {
            None => self.ids.extend_from_slice(log.token_ids()),
            Some(order) => self.ids.extend(order.iter().map(|&token| log.token_ids()[token])),
        }
        let tokens = first..self.ids.len();
        if let (Some(heads), Some(order)) = (log.heads(), order) {
            let keeps = |layer, head, row: u32| heads.keeps(layer, head, order[row as usize] as u32);
            let heads = HeadTokens::new(log.geometry(), order.len() as u32, keeps);
            let emphasis = Emphasis::default();
            self.cache.weigh_as(Source { rows: tokens.clone(), emphasis, heads: Some(heads) });
        }
        if !tokens.is_empty() {
            self.attached.push(tokens.clone());
        }
        Attachment { tokens, fidelity }
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
        self.check_vocabulary(log.token_ids())
    }

    /// What comes of the log in a session that holds rows as this one does.
    fn fidelity(&self, log: &dyn KvRead, first_position: u32) -> Fidelity {
        match self.cache.numbers() {
            KvNumbers::F32 => Fidelity::of(log, first_position),
            KvNumbers::F16 | KvNumbers::Int8 => Fidelity::Approximate,
        }
    }
}

/// Writes the keys and values that the logs have at one layer to their rows.
fn fill(placed: &[Placed<'_>], config: &ModelConfig, layer: usize, rows: &mut LayerCache) -> Result<()> {
    for placed in placed {
        for part in [format::Part::Keys, format::Part::Values] {
            let mut written = Ok(());
            let mut write = |run: KvRun<'_>| {
                written = placed.write(run, config, (layer, part), rows);
                if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            match &placed.order {
                None => placed.log.each_run(layer as u32, part, &mut write).map_err(corrupt)?,
                Some(order) => {
                    let numbers = in_order(placed.log, layer as u32, part, order).map_err(corrupt)?;
                    let _ = write(KvRun { first_row: 0, numbers: RunNumbers::Single(&numbers) });
                }
            }
            written?;
        }
    }
    Ok(())
}

impl Placed<'_> {
    fn write(
        &self,
        run: KvRun<'_>,
        config: &ModelConfig,
        (layer, part): (usize, format::Part),
        rows: &mut LayerCache,
    ) -> Result<()> {
        let (n_heads, head_dim) = (config.n_kv_heads, config.head_dim);
        let (numbers, n_numbers) = match run.numbers {
            RunNumbers::Single(numbers) => (Numbers::Single(numbers), numbers.len()),
            RunNumbers::Half(numbers) => (Numbers::Half(numbers), numbers.len()),
        };
        let shape = HeadShape { n_tokens: n_numbers / (n_heads * head_dim), n_heads, head_dim };
        let part = match part {
            format::Part::Keys => Part::Keys(numbers, config.layers[layer].rope.then_some(&self.angles)),
            format::Part::Values => Part::Values(numbers),
        };
        let place = Place { row: self.first + run.first_row, token: run.first_row };
        rows.write(layer, place, shape, part).map_err(|error| Error::invalid("KV log", error))
    }
}

/// Which token of the log comes first, second, … in its text; `None` when they already stand like that, all heads alike.
fn text_order(log: &dyn KvRead) -> Option<Vec<usize>> {
    let positions = log.positions();
    if positions.is_sorted() && log.heads().is_none() {
        return None;
    }
    let mut order: Vec<usize> = (0..positions.len()).collect();
    order.sort_unstable_by_key(|&token| positions[token]);
    Some(order)
}

/// The keys or values of a layer, `[n_tokens, n_kv_heads, head_dim]`, the token `order[i]` as the row `i`; zeros where a head
/// does not keep the token.
fn in_order(log: &dyn KvRead, layer: u32, part: format::Part, order: &[usize]) -> format::Result<Vec<f32>> {
    let mut read = vec![0.0; log.layer_numbers(layer)?];
    match part {
        format::Part::Keys => log.read_keys(layer, &mut read)?,
        format::Part::Values => log.read_values(layer, &mut read)?,
    }
    let row = log.geometry().row_width();
    let Some(heads) = log.heads() else {
        return Ok(order.iter().flat_map(|&token| &read[token * row..(token + 1) * row]).copied().collect());
    };
    let (head_dim, mut row_of) = (log.geometry().head_dim as usize, vec![0; order.len()]);
    order.iter().enumerate().for_each(|(row, &token)| row_of[token] = row);
    let mut out = vec![0.0; order.len() * row];
    let kept =
        (0..log.geometry().n_kv_heads).flat_map(|head| heads.tokens_of(layer, head).map(move |token| (head, token)));
    for ((head, token), numbers) in kept.zip(read.chunks_exact(head_dim)) {
        let at = row_of[token as usize] * row + head as usize * head_dim;
        out[at..at + head_dim].copy_from_slice(numbers);
    }
    Ok(out)
}

/// A log does not know which file it lies in.
fn corrupt(error: FormatError) -> Error {
    Error::from_format(error, "KV log")
}
