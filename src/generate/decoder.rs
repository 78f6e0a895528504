//! The decoder: token ids to hidden states to logits, one description for every family.
//!
//! Weights are immutable and shared by all sessions; everything that changes lies in the [`KvCache`] given to each
//! call. Hidden states are `[n_tokens, hidden_size]`, logits `[n_tokens, vocab_size]`, all f32.

mod load;

use super::attention::Attention;
use super::config::ModelConfig;
use super::kv_cache::KvCache;
use super::linear::Linear;
use super::matrix::Matrix;
use super::mlp::Mlp;
use super::precision::WeightsInfo;
use super::rms_norm::RmsNorm;
use super::rope::{Angles, Rope};
use super::visibility::Visibility;
use candle_core::{Result, Tensor};

/// A loaded model.
#[derive(Debug)]
pub(super) struct Decoder {
    config: ModelConfig,
    rope: Rope,
    /// `[vocab_size, hidden_size]`.
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    weights: WeightsInfo,
}

/// One layer: attention and MLP, each after a norm and added to the residual stream.
#[derive(Debug)]
struct Layer {
    attention_norm: RmsNorm,
    attention: Attention,
    mlp_norm: RmsNorm,
    mlp: Mlp,
}

/// What all layers share in one forward pass.
#[derive(Debug)]
pub(super) struct Step {
    /// Of the new tokens.
    pub(super) angles: Angles,
    full: Visibility,
    windowed: Option<Visibility>,
}

/// What a forward pass leaves beside the rows in the cache.
pub(super) struct Forward {
    /// After the last norm, `[n_tokens, hidden_size]`.
    pub(super) hidden: Tensor,
    /// For each layer the new keys before RoPE, `[n_tokens, n_kv_heads * head_dim]`.
    pub(super) raw_keys: Vec<Tensor>,
}

impl Step {
    /// The last `n_new` of `positions` are the new tokens.
    fn new(rope: &Rope, positions: &[u32], n_new: usize, window: Option<u32>) -> Self {
        Self {
            angles: rope.angles(&positions[positions.len() - n_new..]),
            full: Visibility::new(positions, n_new, None),
            windowed: window.map(|window| Visibility::new(positions, n_new, Some(window))),
        }
    }

    /// The mask of a layer.
    pub(super) fn seen(&self, windowed: bool) -> &Visibility {
        self.windowed.as_ref().filter(|_| windowed).unwrap_or(&self.full)
    }
}

impl Layer {
    fn forward(&self, x: &Tensor, layer: usize, step: &Step, cache: &mut KvCache) -> Result<(Tensor, Tensor)> {
        let attended = self.attention.forward(&self.attention_norm.forward(x)?, layer, step, cache)?;
        let x = (x + attended.hidden)?;
        let mlp = self.mlp.forward(&self.mlp_norm.forward(&x)?)?;
        Ok(((x + mlp)?, attended.raw_keys))
    }
}

impl Decoder {
    /// What the model is.
    pub(super) fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// As what its weights are held.
    pub(super) fn weights(&self) -> &WeightsInfo {
        &self.weights
    }

    /// The model's RoPE.
    pub(super) fn rope(&self) -> &Rope {
        &self.rope
    }

    /// Computes `ids` at `positions` (one each, above those in the cache) and commits their keys and values.
    ///
    /// The caller has checked ids and limits. On an error the cache is as before.
    pub(super) fn forward(&self, ids: &[u32], positions: &[u32], cache: &mut KvCache) -> Result<Forward> {
        cache.reserve(ids.len())?;
        let all = [cache.positions(), positions].concat();
        let step = Step::new(&self.rope, &all, ids.len(), self.config.window());
        let mut hidden = self.embedding.rows(ids)?;
        let mut raw_keys = Vec::with_capacity(self.layers.len());
        for (i, layer) in self.layers.iter().enumerate() {
            let (next, keys) = layer.forward(&hidden, i, &step, cache)?;
            hidden = next;
            raw_keys.push(keys);
        }
        cache.commit(positions);
        Ok(Forward { hidden: self.norm.forward(&hidden)?, raw_keys })
    }

    /// The logits of each row of `hidden`.
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(hidden)
    }
}
