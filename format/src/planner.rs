//! Chooses an encoding for the keys and for the values of every layer: the smallest whose measured error a budget allows.
//!
//! Nothing is assumed about encodings. Samples are encoded with each candidate ([`measure`]), and [`plan`] chooses among
//! what came out. A sample may be kinder than the rest of a log: the writer holds every page to a budget of error, and
//! gives one that misses it the next encoding that comes nearer ([`Plan::ladder`]). A budget of bytes is the least error
//! whose plan fits; bytes that are left go to keys first, because
//! an error of keys changes which tokens are attended to, one of values only what they say
//! (<https://github.com/ggml-org/llama.cpp/pull/7412> measures it).

use crate::encoding::Encoder;
use crate::segment::{ALIGNMENT, PAGE_ENTRY_BYTES, TARGET_PAGE_BYTES};
use crate::{Encoding, FormatError, KvLog, KvRead, PageError, PageShape, Part, Result};
use std::ops::Range;

/// Tokens of a sample: those that share a range in the keys of int8.
const SAMPLE_TOKENS: usize = 128;

/// Bytes of a page beside its numbers: its entry in the directory, and half of the alignment.
const PAGE_BYTES: usize = PAGE_ENTRY_BYTES + ALIGNMENT / 2;

/// What a KV log may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Largest relative L2 error of the keys and of the values of any layer; 0 is lossless.
    RelativeL2(f32),
    /// Bytes of all pages of a log, with their entries in its directory, for each of its tokens: what samples promise, which
    /// the log itself may miss by a little.
    BytesPerToken(f64),
}

/// What one encoding made of the samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// How they were encoded.
    pub encoding: Encoding,
    /// Stored bytes for each token.
    pub bytes_per_token: f64,
    /// Measured error, of the sample that fared worst.
    pub error: PageError,
}

/// The keys or the values of one layer, and what each candidate made of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Layer, from 0.
    pub layer: u32,
    /// Keys or values.
    pub part: Part,
    /// One per candidate that can say the numbers.
    pub trials: Vec<Trial>,
}

/// An encoding for the keys and for the values of every layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Keys, then values, of each layer.
    ladders: Vec<[Vec<Encoding>; 2]>,
    most_error: f32,
    is_layered: bool,
}

/// A budget that no candidate keeps.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum OverBudget {
    /// Errors.
    #[error(
        "a relative error of {budget} is asked for; {least} is the least that is possible (layer {layer}, {part:?})"
    )]
    RelativeL2 {
        /// What was asked for.
        budget: f32,
        /// What is possible.
        least: f32,
        /// Where it is.
        layer: u32,
        /// Where it is.
        part: Part,
    },
    /// Bytes.
    #[error("{budget} bytes per token are asked for; {least} are the least that is possible")]
    BytesPerToken {
        /// What was asked for.
        budget: f64,
        /// What is possible.
        least: f64,
    },
}

impl Plan {
    /// The same encoding for everything.
    pub fn uniform(encoding: Encoding, n_layers: u32) -> Self {
        let ladders = (0..n_layers).map(|_| [vec![encoding], vec![encoding]]).collect();
        Self { ladders, most_error: f32::INFINITY, is_layered: false }
    }

    /// Everything in the levels of [`Encoding::LAYERED`].
    pub fn layered(n_layers: u32) -> Self {
        let [base, ..] = Encoding::LAYERED;
        Self { is_layered: true, ..Self::uniform(base, n_layers) }
    }

    /// The levels of every page; one is the first of its [`ladder`](Self::ladder).
    pub(crate) fn n_levels(&self) -> u8 {
        if self.is_layered { Encoding::LAYERED.len() as u8 } else { 1 }
    }

    /// The encoding of a column; `None` when there is no such layer.
    pub fn encoding(&self, layer: u32, part: Part) -> Option<Encoding> {
        self.ladder(layer, part).and_then(|ladder| ladder.first().copied())
    }

    /// The encoding of a column, and behind it those that pages get which it would put too far off, or whose numbers it
    /// cannot say; each comes nearer than the one before.
    pub fn ladder(&self, layer: u32, part: Part) -> Option<&[Encoding]> {
        let [keys, values] = self.ladders.get(layer as usize)?;
        Some(if part == Part::Keys { keys } else { values })
    }

    /// Largest relative L2 error of any page.
    pub fn most_error(&self) -> f32 {
        self.most_error
    }

    /// Whether it is for as many layers.
    pub(crate) fn is_for(&self, n_layers: u32) -> bool {
        self.ladders.len() == n_layers as usize
    }
}

/// Encodes two samples of every column, of its beginning and of its middle, with every candidate. A candidate that cannot
/// say the numbers, as int8 cannot say NaN, is left out for that column.
///
/// # Errors
/// [`FormatError::Invalid`] for a log without tokens and for a residual as a candidate.
pub fn measure(log: &KvLog, candidates: &[Encoding]) -> Result<Vec<Column>> {
    if log.n_tokens() == 0 || candidates.iter().any(|encoding| encoding.is_residual()) {
        return Err(FormatError::invalid("log", "tokens, and encodings that stand alone, are needed to measure"));
    }
    let mut encoder = Encoder::default();
    let mut columns = Vec::new();
    for (layer, numbers) in (0..).zip(log.layers()) {
        for (part, raw) in [(Part::Keys, &numbers.keys), (Part::Values, &numbers.values)] {
            columns.push(Column { layer, part, trials: trials(&mut encoder, log, part, raw, candidates)? });
        }
    }
    Ok(columns)
}

fn trials(encoder: &mut Encoder, log: &KvLog, part: Part, raw: &[u8], candidates: &[Encoding]) -> Result<Vec<Trial>> {
    let (geometry, element, head_dim) = (log.geometry(), log.element(), log.geometry().head_dim);
    // Where heads keep tokens of their own, a page is of one head.
    let n_kv_heads = if log.heads().is_some() { 1 } else { geometry.n_kv_heads };
    let row_bytes = (n_kv_heads as usize * head_dim as usize * element.n_bytes()).max(1);
    let n_rows = raw.len() / row_bytes;
    let n_chunks = (geometry.n_kv_heads / n_kv_heads).max(1) as usize;
    let rows_per_page = (TARGET_PAGE_BYTES / row_bytes).max(1);
    let n_pages = n_chunks * (n_rows / n_chunks).div_ceil(rows_per_page);
    let mut trials = Vec::with_capacity(candidates.len());
    for &encoding in candidates {
        let (mut stored_bytes, mut sample_bytes, mut error) = (0, 0, PageError::NONE);
        let mut is_possible = true;
        for sample in samples(n_rows).filter_map(|rows| raw.get(rows.start * row_bytes..rows.end * row_bytes)) {
            let mut stored = Vec::new();
            let n_tokens = (sample.len() / row_bytes) as u32;
            let shape = PageShape { element, part, n_tokens, n_kv_heads, head_dim };
            match encoder.encode(encoding, shape, sample, &mut stored) {
                Ok(found) => {
                    error = PageError {
                        relative_l2: error.relative_l2.max(found.relative_l2),
                        max: error.max.max(found.max),
                    };
                }
                Err(FormatError::Invalid { what: "numbers", .. }) => is_possible = false,
                Err(error) => return Err(error),
            }
            (stored_bytes, sample_bytes) = (stored_bytes + stored.len(), sample_bytes + sample.len());
        }
        let row_tables = if encoding == Encoding::Plain { 4 * n_rows } else { 0 };
        let numbers = stored_bytes as f64 * raw.len() as f64 / sample_bytes.max(1) as f64;
        let column_bytes = numbers + (row_tables + n_pages * PAGE_BYTES) as f64;
        if is_possible {
            trials.push(Trial { encoding, bytes_per_token: column_bytes / log.n_tokens() as f64, error });
        }
    }
    Ok(trials)
}

/// The rows that stand for a column.
fn samples(n_rows: usize) -> impl Iterator<Item = Range<usize>> {
    let middle = (n_rows / 2).max(SAMPLE_TOKENS);
    let samples = [0..SAMPLE_TOKENS.min(n_rows), middle..(middle + SAMPLE_TOKENS).min(n_rows)];
    samples.into_iter().filter(|rows| rows.start < rows.end)
}

/// The smallest plan that keeps the budget, of the trials in `columns`.
///
/// # Errors
/// [`OverBudget`], which says the least that is possible.
pub fn plan(columns: &[Column], budget: Budget) -> std::result::Result<Plan, OverBudget> {
    let chosen = match budget {
        Budget::RelativeL2(most) => choose(columns, most)?,
        Budget::BytesPerToken(most) => choose_by_bytes(columns, most)?,
    };
    let most_error = match budget {
        Budget::RelativeL2(most) => most,
        Budget::BytesPerToken(_) => f32::INFINITY,
    };
    let n_layers = columns.iter().map(|column| column.layer as usize + 1).max().unwrap_or(0);
    let mut ladders = vec![[vec![Encoding::Plain], vec![Encoding::Plain]]; n_layers];
    for (column, trial) in columns.iter().zip(chosen) {
        if let Some(layer) = ladders.get_mut(column.layer as usize) {
            layer[usize::from(column.part == Part::Values)] = column.ladder_from(&trial);
        }
    }
    Ok(Plan { ladders, most_error, is_layered: false })
}

/// The smallest trial of each column that is at most `most` off.
fn choose(columns: &[Column], most: f32) -> std::result::Result<Vec<Trial>, OverBudget> {
    let smallest = |column: &Column| {
        let near = column.trials.iter().filter(|trial| trial.error.relative_l2 <= most);
        near.min_by(|a, b| a.bytes_per_token.total_cmp(&b.bytes_per_token)).copied()
    };
    let worst = columns.iter().filter(|column| smallest(column).is_none());
    let worst = worst.max_by(|a, b| a.least_error().total_cmp(&b.least_error()));
    if let Some(column) = worst {
        let (least, layer, part) = (column.least_error(), column.layer, column.part);
        return Err(OverBudget::RelativeL2 { budget: most, least, layer, part });
    }
    Ok(columns.iter().filter_map(smallest).collect())
}

/// The choice of the least error that fits, and what is left spent on less error still.
fn choose_by_bytes(columns: &[Column], most: f64) -> std::result::Result<Vec<Trial>, OverBudget> {
    let mut errors: Vec<f32> =
        columns.iter().flat_map(|column| &column.trials).map(|trial| trial.error.relative_l2).collect();
    errors.sort_by(f32::total_cmp);
    let bytes = |chosen: &[Trial]| chosen.iter().map(|trial| trial.bytes_per_token).sum::<f64>();
    // Allowing more error never takes more bytes, so the first choice that fits is where `false` ends.
    let first = errors.partition_point(|&error| choose(columns, error).map_or(true, |chosen| bytes(&chosen) > most));
    let chosen = errors.get(first).and_then(|&error| choose(columns, error).ok());
    let none_needed = columns.is_empty().then(Vec::new);
    let Some(mut chosen) = chosen.or(none_needed) else {
        let least = columns.iter().map(Column::least_bytes).sum();
        return Err(OverBudget::BytesPerToken { budget: most, least });
    };
    for part in [Part::Keys, Part::Values] {
        for i in (0..columns.len()).filter(|&i| columns.get(i).is_some_and(|column| column.part == part)) {
            let left = most - bytes(&chosen);
            if let (Some(column), Some(now)) = (columns.get(i), chosen.get_mut(i)) {
                *now = column.nearest(now.bytes_per_token + left).unwrap_or(*now);
            }
        }
    }
    Ok(chosen)
}

impl Column {
    /// The encoding of `first`, then those that come nearer and nearer, in fewer bytes first.
    fn ladder_from(&self, first: &Trial) -> Vec<Encoding> {
        let mut larger: Vec<_> =
            self.trials.iter().filter(|trial| trial.bytes_per_token >= first.bytes_per_token).collect();
        larger.sort_by(|a, b| a.bytes_per_token.total_cmp(&b.bytes_per_token));
        let mut ladder = vec![first.encoding];
        let mut least = first.error.relative_l2;
        for trial in larger {
            if trial.error.relative_l2 < least {
                least = trial.error.relative_l2;
                ladder.push(trial.encoding);
            }
        }
        ladder
    }

    fn least_error(&self) -> f32 {
        self.trials.iter().map(|trial| trial.error.relative_l2).fold(f32::INFINITY, f32::min)
    }

    fn least_bytes(&self) -> f64 {
        self.trials.iter().map(|trial| trial.bytes_per_token).fold(f64::INFINITY, f64::min)
    }

    /// The trial with the least error in `most` bytes, the smaller of two that are as near.
    fn nearest(&self, most: f64) -> Option<Trial> {
        let fitting = self.trials.iter().filter(|trial| trial.bytes_per_token <= most);
        let order = |a: &&Trial, b: &&Trial| {
            let by_error = a.error.relative_l2.total_cmp(&b.error.relative_l2);
            by_error.then(a.bytes_per_token.total_cmp(&b.bytes_per_token))
        };
        fitting.min_by(order).copied()
    }
}
