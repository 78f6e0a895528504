//! The one attention: queries against every row of the KV cache, whether the row was attached or computed here.
//!
//! Keys are kept twice: before RoPE as the projection gave them (after `k_norm`), for capture, and turned in the
//! cache, for attention. Under grouped-query attention the query heads of one KV head are stacked into one matrix,
//! so no key or value is repeated: scores are `[n_kv_heads, group * n_tokens, n_rows]`.
//!
//! Ainslie et al., *GQA*, 2023, <https://arxiv.org/abs/2305.13245>.

use super::decoder::Step;
use super::half_attention;
use super::heads::{HeadShape, Numbers};
use super::kv_cache::{KvCache, LayerRows, Part};
use super::linear::Linear;
use super::product;
use super::rms_norm::RmsNorm;
use super::tensor;
use candle_core::{Result, Tensor};

/// Projections and shape of one layer's attention.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    pub(super) norms: Option<QkNorm>,
    pub(super) n_heads: usize,
    pub(super) n_kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) rope: bool,
    pub(super) windowed: bool,
}

/// RMSNorm of each query and key head.
#[derive(Clone, Debug)]
pub(super) struct QkNorm {
    pub(super) query: RmsNorm,
    pub(super) key: RmsNorm,
}

/// What attention returns.
pub(super) struct Attended {
    /// `[n_tokens, hidden_size]`.
    pub(super) hidden: Tensor,
    /// The new keys before RoPE, `[n_tokens, n_kv_heads * head_dim]`.
    pub(super) raw_keys: Tensor,
}

impl Attention {
    /// Attends from `x`, `[n_tokens, hidden_size]`, and writes its keys and values to `layer` of the cache.
    pub(super) fn forward(&self, x: &Tensor, layer: usize, step: &Step, cache: &mut KvCache) -> Result<Attended> {
        let [query, raw_keys, value] = self.project(x)?;
        let angles = self.rope.then_some(&step.angles);
        let (new, asked) = (self.shape(x, self.n_kv_heads)?, self.shape(x, self.n_heads)?);
        tensor::read(&raw_keys, |keys| cache.write(layer, 0, new, Part::Keys(Numbers::Single(keys), angles)))??;
        tensor::read(&value, |values| cache.write(layer, 0, new, Part::Values(Numbers::Single(values))))??;
        let query = tensor::read(&query, |q| asked.to_head_major(q, angles))?;
        let mixed = match cache.rows(layer, new.n_tokens)? {
            LayerRows::Float(keys, values) => self.mix(query, asked, (&keys, &values), step)?,
            LayerRows::Half(rows) => half_attention::attend(&query, asked, rows, step.seen(self.windowed)),
        };
        let mixed = tensor::own(mixed, (new.n_tokens, self.n_heads * self.head_dim))?;
        Ok(Attended { hidden: self.output.forward(&mixed)?, raw_keys })
    }

    /// Queries, keys (both after their norm) and values, token-major.
    fn project(&self, x: &Tensor) -> Result<[Tensor; 3]> {
        let [query, key, value] = Linear::forward_each([&self.query, &self.key, &self.value], x)?;
        match &self.norms {
            None => Ok([query, key, value]),
            Some(norms) => Ok([norms.query.forward(&query)?, norms.key.forward(&key)?, value]),
        }
    }

    /// Softmax(query · keysᵀ) · values, back as `[n_tokens, n_heads * head_dim]`.
    fn mix(&self, query: Vec<f32>, asked: HeadShape, rows: (&Tensor, &Tensor), step: &Step) -> Result<Vec<f32>> {
        let (keys, values) = rows;
        let (n_rows, stacked) = (keys.dim(1)?, self.n_heads / self.n_kv_heads * asked.n_tokens);
        let query = tensor::own(query, (self.n_kv_heads, stacked, self.head_dim))?;
        let scores = product::with_rows(&query, keys)?;
        let scale = 1.0 / (self.head_dim as f32).sqrt();
        let weights = tensor::read(&scores, |scores| step.seen(self.windowed).softmax(scores, n_rows, scale))?;
        let mixed = product::with_columns(&tensor::own(weights, scores.shape())?, values)?;
        tensor::read(&mixed, |mixed| asked.to_token_major(mixed))
    }

    fn shape(&self, x: &Tensor, n_heads: usize) -> Result<HeadShape> {
        Ok(HeadShape { n_tokens: x.dim(0)?, n_heads, head_dim: self.head_dim })
    }
}
