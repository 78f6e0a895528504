//! The demo model as it is trained: a Llama of four small layers, run on a batch, with memory in front.
//!
//! Memory is keys *before* RoPE and values of other passes; it takes positions `0..n_memory`, the prompt the positions
//! after it. Gradients flow through memory into the pass that made it. This is the path that `lagdb` takes at
//! inference, and `tests.rs` holds that a prompt whose memory is its own beginning gives the same as one pass.
//!
//! Shapes: tokens `[n_batch, n_tokens]`; hidden states are flat, `[n_batch · n_tokens, d]`; keys and values are
//! token-major, `[n_batch, n_tokens, n_kv_heads · head_dim]`. Weights are `[out, in]`, as in Hugging Face files.

use super::ops::{Angles, causal_softmax, merge_heads, rms_norm, split_heads, swiglu};
use candle_core::{Result, Tensor, Var};
use std::sync::Arc;

/// Positions the tables of angles reach to; the longest training sequence is about 560 words.
const N_POSITIONS: usize = 1024;

/// The sizes of a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) n_words: usize,
    pub(crate) d: usize,
    pub(crate) n_layers: usize,
    pub(crate) n_heads: usize,
    pub(crate) n_kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) d_ff: usize,
    pub(crate) theta: f64,
}

/// One layer's weights.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) input_norm: Var,
    pub(crate) q: Var,
    pub(crate) k: Var,
    pub(crate) v: Var,
    pub(crate) o: Var,
    pub(crate) post_norm: Var,
    pub(crate) gate: Var,
    pub(crate) up: Var,
    pub(crate) down: Var,
}

impl Block {
    /// The weights with the names they have in a file.
    pub(crate) fn named(&self) -> [(&'static str, &Var); 9] {
        [
            ("input_layernorm", &self.input_norm),
            ("self_attn.q_proj", &self.q),
            ("self_attn.k_proj", &self.k),
            ("self_attn.v_proj", &self.v),
            ("self_attn.o_proj", &self.o),
            ("post_attention_layernorm", &self.post_norm),
            ("mlp.gate_proj", &self.gate),
            ("mlp.up_proj", &self.up),
            ("mlp.down_proj", &self.down),
        ]
    }
}

/// One layer's keys, before RoPE, and values.
#[derive(Clone, Debug)]
pub(crate) struct Kv {
    pub(crate) k: Tensor,
    pub(crate) v: Tensor,
}

/// What a pass leaves: the normed last hidden state, the state after each block, and the keys and values of its tokens.
pub(crate) struct Pass {
    pub(crate) hidden: Tensor,
    pub(crate) after_block: Vec<Tensor>,
    pub(crate) kv: Vec<Kv>,
}

/// A model being trained.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) sizes: Sizes,
    pub(crate) embed: Var,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Var,
    angles: Arc<Angles>,
}

impl Model {
    pub(crate) fn new(sizes: Sizes, embed: Var, blocks: Vec<Block>, norm: Var) -> Self {
        let angles = Arc::new(Angles::new(N_POSITIONS, sizes.head_dim, sizes.theta));
        Self { sizes, embed, blocks, norm, angles }
    }

    /// Every weight, under its Hugging Face name.
    pub(crate) fn named(&self) -> Vec<(String, &Var)> {
        let mut all = vec![("model.embed_tokens.weight".to_owned(), &self.embed)];
        for (i, block) in self.blocks.iter().enumerate() {
            all.extend(block.named().map(|(name, var)| (format!("model.layers.{i}.{name}.weight"), var)));
        }
        all.push(("model.norm.weight".to_owned(), &self.norm));
        all
    }

    /// Runs the model over `tokens`, which follow `memory` (one entry a layer).
    pub(crate) fn forward(&self, tokens: &Tensor, memory: Option<&[Kv]>) -> Result<Pass> {
        let (n_batch, n_tokens) = tokens.dims2()?;
        let mut x = self.embed.index_select(&tokens.flatten_all()?, 0)?;
        let (mut after_block, mut kv) = (Vec::new(), Vec::new());
        for (i, block) in self.blocks.iter().enumerate() {
            let h = rms_norm(&x, &block.input_norm)?;
            let token_major = |w: &Var| linear(&h, w)?.reshape((n_batch, n_tokens, ()));
            let own = Kv { k: token_major(&block.k)?, v: token_major(&block.v)? };
            let attended = self.attend(&token_major(&block.q)?, &own, memory.map(|memory| &memory[i]))?;
            x = (x + linear(&attended.flatten_to(1)?, &block.o)?)?;
            let h = rms_norm(&x, &block.post_norm)?;
            let wide = swiglu(&linear(&h, &block.gate)?, &linear(&h, &block.up)?)?;
            x = (x + linear(&wide, &block.down)?)?;
            after_block.push(x.clone());
            kv.push(own);
        }
        Ok(Pass { hidden: rms_norm(&x, &self.norm)?, after_block, kv })
    }

    /// Scores of all words, `[n, n_words]`, from normed hidden states `[n, d]`: the embedding is tied.
    pub(crate) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        linear(hidden, &self.embed)
    }

    /// Attention of the tokens' queries over memory and the tokens themselves; `[n_batch, n_tokens, n_heads · head_dim]`.
    fn attend(&self, q: &Tensor, own: &Kv, memory: Option<&Kv>) -> Result<Tensor> {
        let Sizes { n_heads, n_kv_heads, head_dim, .. } = self.sizes;
        let (n_batch, n_tokens, _) = q.dims3()?;
        let all = match memory {
            Some(memory) => Kv { k: Tensor::cat(&[&memory.k, &own.k], 1)?, v: Tensor::cat(&[&memory.v, &own.v], 1)? },
            None => own.clone(),
        };
        let n_memory = all.k.dim(1)? - n_tokens;
        // The query heads that share a key-value head become rows of one product.
        let grouped = (n_batch, n_kv_heads, n_heads / n_kv_heads * n_tokens, head_dim);
        let q = split_heads(q, n_heads, Some((&self.angles, n_memory)))?.reshape(grouped)?;
        let k = split_heads(&all.k, n_kv_heads, Some((&self.angles, 0)))?;
        let v = split_heads(&all.v, n_kv_heads, None)?;
        let weights = causal_softmax(&q.matmul(&k.t()?)?, n_tokens, (head_dim as f32).powf(-0.5))?;
        merge_heads(&weights.matmul(&v)?.reshape((n_batch, n_heads, n_tokens, head_dim))?)
    }
}

/// `x · wᵀ`, for `x` of `[n, in]` and `w` of `[out, in]`.
pub(crate) fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    x.matmul(&w.t()?)
}
