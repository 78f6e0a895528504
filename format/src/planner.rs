//! Chooses an encoding for the keys and for the values of every layer: the smallest whose measured error a budget allows.
//!
//! Nothing is assumed about encodings. Sample pages are encoded with each candidate ([`measure`]), and [`plan`] chooses
//! among what came out. A budget of bytes is the least error whose plan fits; bytes that are left go to keys first, because
//! an error of keys changes which tokens are attended to, one of values only what they say
//! (<https://github.com/ggml-org/llama.cpp/pull/7412> measures it).

use crate::encoding::Encoder;
use crate::{Encoding, FormatError, KvLog, KvRead, PageError, PageShape, Part, Result};

/// Tokens of a sample.
const SAMPLE_TOKENS: usize = 256;

/// What a KV log may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Largest relative L2 error of the keys and of the values of any layer; 0 is lossless.
    RelativeL2(f32),
    /// Bytes of all pages of a log for each of its tokens.
    BytesPerToken(f64),
}

/// What one encoding made of sample pages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// How they were encoded.
    pub encoding: Encoding,
    /// Stored bytes for each token.
    pub bytes_per_token: f64,
    /// Measured error.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Keys, then values, of each layer.
    encodings: Vec<[Encoding; 2]>,
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
        Self { encodings: vec![[encoding; 2]; n_layers as usize] }
    }

    /// The encoding of a column; `None` when there is no such layer.
    pub fn encoding(&self, layer: u32, part: Part) -> Option<Encoding> {
        self.levels(layer, part).and_then(|levels| levels.first().copied())
    }

    /// The one level of a column.
    pub(crate) fn levels(&self, layer: u32, part: Part) -> Option<&[Encoding]> {
        let [keys, values] = self.encodings.get(layer as usize)?;
        Some(std::slice::from_ref(if part == Part::Keys { keys } else { values }))
    }

    /// Whether it is for as many layers.
    pub(crate) fn is_for(&self, n_layers: u32) -> bool {
        self.encodings.len() == n_layers as usize
    }
}

/// Encodes the first tokens of every column with every candidate. A candidate that cannot say the numbers, as int8 cannot
/// say NaN, is left out for that column.
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
    let row_bytes = n_kv_heads as usize * head_dim as usize * element.n_bytes();
    let n_tokens = (raw.len() / row_bytes.max(1)).min(SAMPLE_TOKENS);
    let sample = raw.get(..n_tokens * row_bytes).unwrap_or(raw);
    let shape = PageShape { element, part, n_tokens: n_tokens as u32, n_kv_heads, head_dim };
    let mut trials = Vec::with_capacity(candidates.len());
    for &encoding in candidates {
        if sample.is_empty() {
            trials.push(Trial { encoding, bytes_per_token: 0.0, error: PageError::NONE });
            continue;
        }
        let mut stored = Vec::new();
        match encoder.encode(encoding, shape, sample, &mut stored) {
            Ok(error) => {
                let column_bytes = stored.len() as f64 * raw.len() as f64 / sample.len() as f64;
                trials.push(Trial { encoding, bytes_per_token: column_bytes / log.n_tokens() as f64, error });
            }
            Err(FormatError::Invalid { what: "numbers", .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(trials)
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
    let n_layers = columns.iter().map(|column| column.layer as usize + 1).max().unwrap_or(0);
    let mut encodings = vec![[Encoding::Plain; 2]; n_layers];
    for (column, trial) in columns.iter().zip(chosen) {
        if let Some(layer) = encodings.get_mut(column.layer as usize) {
            layer[usize::from(column.part == Part::Values)] = trial.encoding;
        }
    }
    Ok(Plan { encodings })
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
