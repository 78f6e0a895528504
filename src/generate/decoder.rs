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
use super::pages::SeenPages;
use super::precision::WeightsInfo;
use super::rms_norm::RmsNorm;
use super::rope::{Angles, Rope};
use super::visibility::{Visibility, WeightSums};
use candle_core::{Result, Tensor};
use std::cell::RefCell;
use std::ops::Range;

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

/// What all layers share in one pass over some tokens.
#[derive(Debug)]
pub(super) struct Step {
    /// Of the tokens.
    pub(super) angles: Angles,
    /// The rows of the cache that the tokens are, going up.
    pub(super) rows: Vec<usize>,
    /// Rows that there are once the tokens are written.
    pub(super) n_rows: usize,
    /// Whether their keys and values are written to their rows, or those that are there are left.
    pub(super) writes: bool,
    /// Who wants to know all weights.
    pub(super) watch: Option<WeightSums>,
    /// Where the queries before RoPE go, for each layer `[n_tokens, n_heads * head_dim]`, if anyone wants them.
    pub(super) queries: Option<RefCell<Vec<Vec<f32>>>>,
    /// What the tokens see of the pages that were attached.
    pub(super) pages: Vec<SeenPages>,
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

    /// Computes `ids` at `positions` (one each) and commits their keys and values as the next rows.
    ///
    /// The caller has checked ids and limits. On an error the cache is as before.
    pub(super) fn forward(&self, ids: &[u32], positions: &[u32], cache: &mut KvCache) -> Result<Forward> {
        cache.reserve(ids.len())?;
        let n_before = cache.n_rows();
        let all = [cache.positions(), positions].concat();
        let step = self.step(&all, (n_before..all.len()).collect(), cache);
        let mut raw_keys = Vec::with_capacity(self.layers.len());
        let hidden = self.embedding.rows(ids)?;
        let hidden = self.advance(hidden, &step, 0..self.layers.len(), cache, |keys| raw_keys.push(keys))?;
        cache.commit(positions);
        Ok(Forward { hidden: self.norm.forward(&hidden)?, raw_keys })
    }

    /// A pass over the tokens of `rows`, where every row has one of `positions`.
    pub(super) fn step(&self, positions: &[u32], rows: Vec<usize>, cache: &KvCache) -> Step {
        let of_rows: Vec<u32> = rows.iter().map(|&row| positions[row]).collect();
        let seen = |window| Visibility::new(positions, &rows, window, cache.sources().clone());
        Step {
            angles: self.rope.angles(&of_rows),
            n_rows: positions.len(),
            writes: true,
            watch: None,
            queries: None,
            pages: cache.pages().seen(&rows, &of_rows, self.config.window(), &self.rope),
            full: seen(None),
            windowed: self.config.window().map(|window| seen(Some(window))),
            rows,
        }
    }

    /// The rows of the embedding for `ids`.
    pub(super) fn embedded(&self, ids: &[u32]) -> Result<Tensor> {
        self.embedding.rows(ids)
    }

    /// Takes the hidden states of the step's tokens through `layers`; `each` gets the keys before RoPE.
    pub(super) fn advance(
        &self,
        mut hidden: Tensor,
        step: &Step,
        layers: Range<usize>,
        cache: &mut KvCache,
        mut each: impl FnMut(Tensor),
    ) -> Result<Tensor> {
        for layer in layers {
            let (next, keys) = self.layers[layer].forward(&hidden, layer, step, cache)?;
            hidden = next;
            each(keys);
        }
        Ok(hidden)
    }

    /// The logits of each row of `hidden`.
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(hidden)
    }
}
