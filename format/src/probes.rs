//! Probe queries: a few queries of the model that made a KV log, kept to score its keys again without the model.
//!
//! Selecting tokens by how much later queries attend to them ([SnapKV](https://arxiv.org/abs/2404.14469)) needs queries;
//! with these, a smaller budget or another score can be tried long after the session is gone: [`ProbeQueries::score`].

mod score;

use crate::{ElementType, FormatError, Result};

/// Queries before RoPE, `[n_layers, n_heads, n_queries, head_dim]`, and the position each was asked at.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeQueries {
    n_heads: u32,
    positions: Vec<u32>,
    numbers: Vec<f32>,
    frequencies: Option<Vec<f64>>,
}

impl ProbeQueries {
    /// Queries of `n_heads` heads per layer (query heads, or one per KV head), one per entry of `positions`.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there are none or the numbers are no whole layers.
    pub fn new(n_heads: u32, head_dim: u32, positions: Vec<u32>, numbers: Vec<f32>) -> Result<Self> {
        let layer = (n_heads as usize).checked_mul(head_dim as usize).and_then(|n| n.checked_mul(positions.len()));
        if layer.is_none_or(|layer| layer == 0 || numbers.is_empty() || !numbers.len().is_multiple_of(layer)) {
            let detail = format!("{} numbers for {n_heads} heads of {head_dim}", numbers.len());
            return Err(FormatError::invalid("probe queries", detail));
        }
        Ok(Self { n_heads, positions, numbers, frequencies: None })
    }

    /// The same with RoPE's angle per position of each pair `(i, i + head_dim / 2)`, `[head_dim / 2]`, in radians: without
    /// it the queries [score](Self::score) nothing unless the model is at hand.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when one is not finite, or they are not as many as pairs.
    pub fn with_frequencies(self, frequencies: Vec<f64>) -> Result<Self> {
        let n_vectors = self.n_heads as usize * self.positions.len();
        // Of a whole number of layers, each of `n_vectors` queries of two numbers a pair.
        let is_whole = self.numbers.len().is_multiple_of((2 * n_vectors).saturating_mul(frequencies.len()).max(1));
        if frequencies.is_empty() || !is_whole || frequencies.iter().any(|frequency| !frequency.is_finite()) {
            return Err(FormatError::invalid("frequencies", "one finite number per pair of a head is needed"));
        }
        Ok(Self { frequencies: Some(frequencies), ..self })
    }

    /// RoPE's angle per position of each pair, `[head_dim / 2]`, if it was kept.
    pub fn frequencies(&self) -> Option<&[f64]> {
        self.frequencies.as_deref()
    }

    /// Heads per layer.
    pub fn n_heads(&self) -> u32 {
        self.n_heads
    }

    /// The position of each query.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// All queries, `[n_layers, n_heads, n_queries, head_dim]`.
    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }

    /// Whether they are of as many layers, and as wide.
    pub(crate) fn fits(&self, n_layers: u32, head_dim: u32) -> bool {
        let sizes = [n_layers, self.n_heads, head_dim].map(|n| n as usize);
        let wanted = sizes.iter().try_fold(self.positions.len(), |n, size| n.checked_mul(*size));
        let has_pairs = |frequencies: &Vec<f64>| frequencies.len() * 2 == head_dim as usize;
        wanted == Some(self.numbers.len()) && self.frequencies.as_ref().is_none_or(has_pairs)
    }

    /// The same, as numbers of `element` are stored.
    pub(crate) fn rounded(self, element: ElementType) -> Result<Self> {
        let mut numbers = self.numbers;
        let bytes = element.encode_f32(&numbers)?;
        element.decode_f32(&bytes, &mut numbers)?;
        Ok(Self { numbers, ..self })
    }
}
