//! A model of a given geometry with random weights: as slow as a trained one, and nothing to download.

use super::synthetic::Random;
use lagdb::generate::{Generator, ModelFiles};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// Sizes of a Qwen3 model.
pub struct Sizes {
    /// Decoder layers.
    pub n_layers: usize,
    /// Width of the hidden state.
    pub hidden: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads.
    pub n_kv_heads: usize,
    /// Numbers per head.
    pub head_dim: usize,
    /// Tokens of the vocabulary; small here, since the embedding table takes no part in what is measured.
    pub vocab: usize,
}

/// Qwen3-0.6B but for its vocabulary.
pub const QWEN3_06B: Sizes =
    Sizes { n_layers: 28, hidden: 1024, intermediate: 3072, n_heads: 16, n_kv_heads: 8, head_dim: 128, vocab: 1024 };

/// A generator with random f16 weights (computed in f32, as every model here).
///
/// # Errors
/// Never for sizes that fit together.
pub fn generator(sizes: &Sizes, seed: u64) -> Result<Generator, Box<dyn std::error::Error>> {
    let mut random = Random(seed);
    let tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> =
        shapes(sizes).into_iter().map(|(name, shape)| {
            let bytes = weights(&shape, &mut random);
            (name, (shape, bytes))
        }).collect();
    let views: Result<Vec<(&str, TensorView<'_>)>, _> = tensors
        .iter()
        .map(|(name, (shape, bytes))| Ok((name.as_str(), TensorView::new(Dtype::F16, shape.clone(), bytes)?)))
        .collect::<Result<_, safetensors::SafeTensorError>>();
    let file = serialize(views?, None)?;
    drop(tensors);
    let config = json!({
        "model_type": "qwen3", "vocab_size": sizes.vocab, "hidden_size": sizes.hidden,
        "intermediate_size": sizes.intermediate, "num_hidden_layers": sizes.n_layers,
        "num_attention_heads": sizes.n_heads, "num_key_value_heads": sizes.n_kv_heads, "head_dim": sizes.head_dim,
        "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0, "max_position_embeddings": 40960,
        "tie_word_embeddings": true, "attention_bias": false, "hidden_act": "silu",
    });
    Ok(Generator::from_files(ModelFiles { config: config.to_string().as_bytes(), weights: &[&file], ..ModelFiles::default() })?)
}

fn shapes(sizes: &Sizes) -> Vec<(String, Vec<usize>)> {
    let (q, kv) = (sizes.n_heads * sizes.head_dim, sizes.n_kv_heads * sizes.head_dim);
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![sizes.vocab, sizes.hidden]),
        ("model.norm.weight".to_owned(), vec![sizes.hidden]),
    ];
    for layer in 0..sizes.n_layers {
        let of_layer = [
            ("input_layernorm", vec![sizes.hidden]),
            ("post_attention_layernorm", vec![sizes.hidden]),
            ("self_attn.q_norm", vec![sizes.head_dim]),
            ("self_attn.k_norm", vec![sizes.head_dim]),
            ("self_attn.q_proj", vec![q, sizes.hidden]),
            ("self_attn.k_proj", vec![kv, sizes.hidden]),
            ("self_attn.v_proj", vec![kv, sizes.hidden]),
            ("self_attn.o_proj", vec![sizes.hidden, q]),
            ("mlp.gate_proj", vec![sizes.intermediate, sizes.hidden]),
            ("mlp.up_proj", vec![sizes.intermediate, sizes.hidden]),
            ("mlp.down_proj", vec![sizes.hidden, sizes.intermediate]),
        ];
        shapes.extend(of_layer.map(|(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape)));
    }
    shapes
}

/// Norms near 1, matrices scaled by their width, as f16 bytes.
fn weights(shape: &[usize], random: &mut Random) -> Vec<u8> {
    let n: usize = shape.iter().product();
    let number = |random: &mut Random| match shape {
        [_, width] => (random.unit() - 0.5) * 3.4 / (*width as f32).sqrt(),
        _ => 0.9 + 0.2 * random.unit(),
    };
    (0..n).flat_map(|_| half::f16::from_f32(number(random)).to_le_bytes()).collect()
}
