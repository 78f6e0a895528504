//! Scoring: how much attention each token of a log gets from its probe queries.
//!
//! The mean over layers, query heads and queries of the weight that causal attention over the log's own tokens gives it:
//! `softmax(q·k / √head_dim)` over the keys at or before the query's position, both turned by RoPE. SnapKV sums the same
//! weights over its window of queries (Li et al., 2024, <https://arxiv.org/abs/2404.14469>, §3).

use super::ProbeQueries;
use crate::{FormatError, KvRead, Result};

impl ProbeQueries {
    /// How much attention each token of `log` gets, `[n_tokens]`; together at most 1. A score for
    /// [`KvLog::with_importance`](crate::KvLog::with_importance) that needs no model.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when the queries were kept [without frequencies](Self::with_frequencies) or are not of the
    /// log's shape; those of reading its keys.
    pub fn score(&self, log: &dyn KvRead) -> Result<Vec<f32>> {
        let geometry = log.geometry();
        let no_frequencies = || FormatError::invalid("probe queries", "were kept without the frequencies of RoPE");
        let frequencies = self.frequencies.as_ref().ok_or_else(no_frequencies)?;
        if !self.fits(geometry.n_layers, geometry.head_dim) || !self.n_heads.is_multiple_of(geometry.n_kv_heads) {
            return Err(FormatError::invalid("probe queries", "are of another shape than the log"));
        }
        let turn = |vector: &mut [f32], position: u32| turn(vector, frequencies, position);
        let head_dim = geometry.head_dim as usize;
        let group = self.n_heads / geometry.n_kv_heads;
        let mut scores = vec![0.0_f64; log.n_tokens()];
        let mut queries = self.numbers.chunks_exact(head_dim);
        for layer in 0..geometry.n_layers {
            let mut keys = vec![0.0; log.layer_numbers(layer)?];
            log.read_keys(layer, &mut keys)?;
            let rows = rows_of_heads(log, layer);
            let mut turned = keys.chunks_exact_mut(head_dim).collect::<Vec<_>>();
            for (token, row) in rows.iter().flatten() {
                let position = log.positions().get(*token).copied().unwrap_or_default();
                turned.get_mut(*row).into_iter().for_each(|key| turn(key, position));
            }
            for head in 0..self.n_heads {
                let rows = rows.get((head / group) as usize).map(Vec::as_slice).unwrap_or_default();
                for (position, query) in self.positions.iter().zip(queries.by_ref().take(self.positions.len())) {
                    let mut query = query.to_vec();
                    turn(&mut query, *position);
                    let seen = rows.iter().filter(|(token, _)| log.positions().get(*token) <= Some(position));
                    let seen: Vec<_> = seen.filter_map(|(token, row)| Some((*token, turned.get(*row)?))).collect();
                    add_attention(&query, &seen, &mut scores);
                }
            }
        }
        let n_queries = (self.numbers.len() / head_dim) as f64;
        Ok(scores.iter().map(|score| (score / n_queries) as f32).collect())
    }
}

/// For each KV head the tokens it keeps, and the row of the layer that each is.
fn rows_of_heads(log: &dyn KvRead, layer: u32) -> Vec<Vec<(usize, usize)>> {
    let n_kv_heads = log.geometry().n_kv_heads;
    let mut first = 0;
    let rows = (0..n_kv_heads).map(|head| match log.heads() {
        None => (0..log.n_tokens()).map(|token| (token, token * n_kv_heads as usize + head as usize)).collect(),
        Some(heads) => {
            let rows: Vec<_> =
                heads.tokens_of(layer, head).enumerate().map(|(row, token)| (token as usize, first + row)).collect();
            first += rows.len();
            rows
        }
    });
    rows.collect()
}

/// Adds the softmax of the scores of these keys to their tokens.
fn add_attention(query: &[f32], keys: &[(usize, &&mut [f32])], scores: &mut [f64]) {
    let scale = 1.0 / (query.len() as f64).sqrt();
    let dot = |key: &[f32]| key.iter().zip(query).map(|(k, q)| f64::from(*k) * f64::from(*q)).sum::<f64>() * scale;
    let logits: Vec<f64> = keys.iter().map(|(_, key)| dot(key)).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    for ((token, _), weight) in keys.iter().zip(weights) {
        scores.get_mut(*token).into_iter().for_each(|score| *score += weight / sum);
    }
}

/// Turns the pairs `(i, i + head_dim / 2)` of a vector as RoPE does at `position`; angles are in f64.
fn turn(vector: &mut [f32], frequencies: &[f64], position: u32) {
    let (first, second) = vector.split_at_mut(vector.len() / 2);
    for ((a, b), frequency) in first.iter_mut().zip(second).zip(frequencies) {
        let (sin, cos) = (f64::from(position) * frequency).sin_cos();
        let (x, y) = (f64::from(*a), f64::from(*b));
        (*a, *b) = ((x * cos - y * sin) as f32, (x * sin + y * cos) as f32);
    }
}
