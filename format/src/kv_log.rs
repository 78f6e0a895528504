//! A KV log in memory, and the one way to read any KV log.

mod order;

use crate::segment::are_distinct;
use crate::{
    ElementType, FormatError, HeadTokens, KvGeometry, KvLogView, ModelFingerprint, Part, ProbeQueries, Result,
};
use half::f16;
use std::ops::ControlFlow;

/// Keys and values of one layer, little-endian.
///
/// Token-major, `[n_tokens, n_kv_heads, head_dim]`. Where the heads keep tokens of their own, head after head:
/// `[n_tokens_of(head), head_dim]` of the first, then of the second, and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvLayer {
    /// Keys before RoPE.
    pub keys: Vec<u8>,
    /// Values.
    pub values: Vec<u8>,
}

/// Keys and values of selected tokens at every layer, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct KvLog {
    fingerprint: ModelFingerprint,
    element: ElementType,
    token_ids: Vec<u32>,
    positions: Vec<u32>,
    heads: Option<HeadTokens>,
    importance: Option<Vec<f32>>,
    probes: Option<ProbeQueries>,
    is_approximate: bool,
    layers: Vec<KvLayer>,
}

/// Neighbouring rows of the keys or values of one layer.
#[derive(Clone, Copy, Debug)]
pub struct KvRun<'a> {
    /// Number of its first row, in the order of [`KvLayer`].
    pub first_row: usize,
    /// `[n_rows, n_kv_heads, head_dim]`, or `[n_rows, head_dim]` where the heads keep tokens of their own.
    pub numbers: RunNumbers<'a>,
}

/// The numbers of a run, as they are at hand.
#[derive(Clone, Copy, Debug)]
pub enum RunNumbers<'a> {
    /// f32.
    Single(&'a [f32]),
    /// f16, little-endian.
    Half(&'a [[u8; 2]]),
}

/// What every KV log answers, whether it lies in memory or in a segment.
///
/// Reading goes layer by layer so that a decoder can start before the whole log is decoded; another thread may read while the
/// decoder computes.
pub trait KvRead: Sync {
    /// The model that made the log.
    fn fingerprint(&self) -> &ModelFingerprint;
    /// Type of the stored numbers.
    fn element(&self) -> ElementType;
    /// Vocabulary ids of the kept tokens, in order.
    fn token_ids(&self) -> &[u32];
    /// RoPE position each token had when it was captured. Distinct; going up, unless the log is ordered by
    /// [`importance`](Self::importance).
    fn positions(&self) -> &[u32];
    /// Which tokens each KV head keeps; `None` when every head keeps all.
    fn heads(&self) -> Option<&HeadTokens>;
    /// How important each token is, going down; `None` when the tokens are not ordered by it.
    fn importance(&self) -> Option<&[f32]>;
    /// Whether the numbers are not those that were captured: they went through an encoding that loses some of them.
    fn is_approximate(&self) -> bool;
    /// Writes the keys of `layer` as f32, in the order of [`KvLayer`], into `out` of exactly
    /// [`layer_numbers`](Self::layer_numbers).
    ///
    /// # Errors
    /// [`FormatError`] when `layer` or `out.len()` is wrong or the bytes are corrupt.
    fn read_keys(&self, layer: u32, out: &mut [f32]) -> Result<()>;
    /// Writes the values of `layer`; the same shape and errors as [`read_keys`](Self::read_keys).
    ///
    /// # Errors
    /// As [`read_keys`](Self::read_keys).
    fn read_values(&self, layer: u32, out: &mut [f32]) -> Result<()>;
    /// Gives `each` the keys or values of `layer` in runs of rows, one after the other, each as soon as it is decoded and
    /// while it is in the processor's caches, until `each` breaks off.
    ///
    /// # Errors
    /// [`FormatError`] when there is no such layer or the bytes are corrupt; `each` may then have got some runs.
    fn each_run(&self, layer: u32, part: Part, each: &mut dyn FnMut(KvRun<'_>) -> ControlFlow<()>) -> Result<()> {
        let mut numbers = vec![0.0; self.layer_numbers(layer)?];
        match part {
            Part::Keys => self.read_keys(layer, &mut numbers)?,
            Part::Values => self.read_values(layer, &mut numbers)?,
        }
        let _ = each(KvRun { first_row: 0, numbers: RunNumbers::Single(&numbers) });
        Ok(())
    }
    /// Layers, KV heads and head width.
    fn geometry(&self) -> KvGeometry {
        self.fingerprint().geometry
    }
    /// Kept tokens.
    fn n_tokens(&self) -> usize {
        self.token_ids().len()
    }
    /// Demands exactly these token ids, in this order.
    ///
    /// # Errors
    /// [`FormatError::TokenMismatch`] naming the first one that differs.
    fn expect_tokens(&self, expected: &[u32]) -> Result<()> {
        let found = self.token_ids();
        let n = found.len().max(expected.len());
        match (0..n).find(|&index| found.get(index) != expected.get(index)) {
            None => Ok(()),
            Some(index) => Err(FormatError::TokenMismatch {
                index,
                found: found.get(index).copied(),
                expected: expected.get(index).copied(),
            }),
        }
    }
    /// Numbers in the keys (or in the values) of `layer`.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such layer.
    fn layer_numbers(&self, layer: u32) -> Result<usize> {
        layer_numbers(self.geometry(), self.n_tokens(), self.heads(), layer)
    }
}

fn layer_numbers(geometry: KvGeometry, n_tokens: usize, heads: Option<&HeadTokens>, layer: u32) -> Result<usize> {
    if layer >= geometry.n_layers {
        return Err(FormatError::invalid("layer", format!("{layer} of {}", geometry.n_layers)));
    }
    let rows = heads.map_or(n_tokens as u64 * u64::from(geometry.n_kv_heads), |heads| heads.n_rows_of(layer));
    let numbers = rows.checked_mul(u64::from(geometry.head_dim)).and_then(|n| usize::try_from(n).ok());
    numbers.ok_or_else(|| FormatError::invalid("layer", "has too many numbers"))
}

impl KvLog {
    /// A KV log of one layer entry per layer of `fingerprint.geometry`, in which every head keeps every token.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when the lengths disagree or two tokens have one position.
    pub fn new(
        fingerprint: ModelFingerprint,
        element: ElementType,
        token_ids: Vec<u32>,
        positions: Vec<u32>,
        layers: Vec<KvLayer>,
    ) -> Result<Self> {
        let (heads, importance, probes) = (None, None, None);
        let is_approximate = false;
        Self { fingerprint, element, token_ids, positions, heads, importance, probes, is_approximate, layers }.checked()
    }

    /// A KV log in which each head keeps tokens of its own; `token_ids` and `positions` are those of the union.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when the lengths disagree or two tokens have one position.
    pub fn ragged(
        fingerprint: ModelFingerprint,
        element: ElementType,
        token_ids: Vec<u32>,
        positions: Vec<u32>,
        heads: HeadTokens,
        layers: Vec<KvLayer>,
    ) -> Result<Self> {
        if !heads.fits(fingerprint.geometry) || heads.n_tokens() as usize != token_ids.len() {
            return Err(FormatError::invalid("heads", "one set per layer and head is needed, of the log's tokens"));
        }
        Self {
            fingerprint,
            element,
            token_ids,
            positions,
            heads: Some(heads),
            importance: None,
            probes: None,
            is_approximate: false,
            layers,
        }
        .checked()
    }

    /// The log that a view was read into.
    pub(crate) fn of_view(view: &KvLogView<'_>, layers: Vec<KvLayer>) -> Result<Self> {
        Self {
            fingerprint: *view.fingerprint(),
            element: view.element(),
            token_ids: view.token_ids().into(),
            positions: view.positions().into(),
            heads: view.heads().cloned(),
            importance: view.importance().map(Into::into),
            probes: view.probes()?,
            is_approximate: view.is_approximate(),
            layers,
        }
        .checked()
    }

    fn checked(self) -> Result<Self> {
        if self.positions.len() != self.token_ids.len() {
            return Err(FormatError::invalid("positions", "one per token is needed"));
        }
        if !are_distinct(&self.positions) {
            return Err(FormatError::invalid("positions", "two tokens have one"));
        }
        let n_layers = self.fingerprint.geometry.n_layers;
        if self.layers.len() != n_layers as usize {
            return Err(FormatError::invalid("layers", format!("{} of {n_layers}", self.layers.len())));
        }
        for (number, layer) in (0..).zip(&self.layers) {
            let n_bytes = self.layer_numbers(number)?.saturating_mul(self.element.n_bytes());
            if layer.keys.len() != n_bytes || layer.values.len() != n_bytes {
                return Err(FormatError::invalid(
                    "layers",
                    format!("keys and values of layer {number} are {n_bytes} bytes"),
                ));
            }
        }
        let KvGeometry { n_layers, n_kv_heads, .. } = self.fingerprint.geometry;
        let all_rows = self.token_ids.len() as u64 * u64::from(n_layers) * u64::from(n_kv_heads);
        let keep_all = self.heads.as_ref().is_some_and(|heads| heads.n_rows() == all_rows);
        Ok(if keep_all { self.without_sets() } else { self })
    }

    /// The same log with its tokens ordered by `importance`, highest first, so that a smaller budget is a
    /// [prefix](KvLogView::prefix). Scores are rounded to f16, as they are stored.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is not one finite score per token.
    pub fn with_importance(self, importance: &[f32]) -> Result<Self> {
        let scores: Vec<f32> = importance.iter().map(|score| f16::from_f32(*score).to_f32()).collect();
        if scores.len() != self.token_ids.len() || scores.iter().any(|score| !score.is_finite()) {
            return Err(FormatError::invalid("importance", "one finite score per token is needed, at most 65504"));
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| importance[b].total_cmp(&importance[a]));
        let importance = Some(order.iter().map(|&token| scores[token]).collect());
        Ok(Self { importance, ..self.reordered(&order) })
    }

    /// The same log, whose tokens already stand in the order of these scores.
    #[cfg(feature = "safetensors")]
    pub(crate) fn ordered_by(self, importance: Vec<f32>) -> Result<Self> {
        let is_stored = |score: &f32| score.is_finite() && f16::from_f32(*score).to_f32() == *score;
        if importance.len() != self.token_ids.len()
            || !importance.iter().all(is_stored)
            || !importance.is_sorted_by(|a, b| a >= b)
        {
            return Err(FormatError::invalid("importance", "one f16 per token is needed, going down"));
        }
        Ok(Self { importance: Some(importance), ..self })
    }

    /// The same log, known to have lost some of its numbers: it was captured from rows that were rounded.
    pub fn approximate(self) -> Self {
        Self { is_approximate: true, ..self }
    }

    /// Keeps queries of the model beside its keys.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when they are not of as many layers, or a number does not fit the log's element type.
    pub fn with_probes(self, probes: ProbeQueries) -> Result<Self> {
        let KvGeometry { n_layers, head_dim, .. } = self.fingerprint.geometry;
        if !probes.fits(n_layers, head_dim) {
            return Err(FormatError::invalid("probe queries", "are not of as many layers, or of another width"));
        }
        let probes = Some(probes.rounded(self.element)?);
        Ok(Self { probes, ..self })
    }

    /// The stored layers, first to last.
    pub fn layers(&self) -> &[KvLayer] {
        &self.layers
    }

    /// Queries kept to score the keys again, if there are any.
    pub fn probes(&self) -> Option<&ProbeQueries> {
        self.probes.as_ref()
    }

    fn layer(&self, layer: u32) -> Result<&KvLayer> {
        self.layers
            .get(layer as usize)
            .ok_or_else(|| FormatError::invalid("layer", format!("{layer} of {}", self.layers.len())))
    }
}

impl KvRead for KvLog {
    fn fingerprint(&self) -> &ModelFingerprint {
        &self.fingerprint
    }

    fn element(&self) -> ElementType {
        self.element
    }

    fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    fn positions(&self) -> &[u32] {
        &self.positions
    }

    fn heads(&self) -> Option<&HeadTokens> {
        self.heads.as_ref()
    }

    fn importance(&self) -> Option<&[f32]> {
        self.importance.as_deref()
    }

    fn is_approximate(&self) -> bool {
        self.is_approximate
    }

    fn each_run(&self, layer: u32, part: Part, each: &mut dyn FnMut(KvRun<'_>) -> ControlFlow<()>) -> Result<()> {
        let columns = self.layer(layer)?;
        let bytes = if part == Part::Keys { &columns.keys } else { &columns.values };
        if self.element == ElementType::F16 {
            let _ = each(KvRun { first_row: 0, numbers: RunNumbers::Half(bytes.as_chunks().0) });
            return Ok(());
        }
        let mut numbers = vec![0.0; self.layer_numbers(layer)?];
        self.element.decode_f32(bytes, &mut numbers)?;
        let _ = each(KvRun { first_row: 0, numbers: RunNumbers::Single(&numbers) });
        Ok(())
    }

    fn read_keys(&self, layer: u32, out: &mut [f32]) -> Result<()> {
        self.element.decode_f32(&self.layer(layer)?.keys, out)
    }

    fn read_values(&self, layer: u32, out: &mut [f32]) -> Result<()> {
        self.element.decode_f32(&self.layer(layer)?.values, out)
    }
}
