//! The fingerprint of a loaded model: which KV logs it can read.
//!
//! Only what changes keys, values or the meaning of a token id is digested, in the model's own terms rather than in
//! the words of `config.json`: the same model written by transformers 4 or 5, in one file or in shards, has the same
//! fingerprint. Context length and end-of-text ids change neither and are left out.

use super::config::{ModelConfig, RopeConfig, RopeScaling};
use lagdb_format::{CaptureStage, Digest, ModelFingerprint};
use serde_json::Value;

/// The fingerprint of a model of this configuration; `tokenizer` is a `tokenizer.json`, if there is one.
pub(super) fn fingerprint(config: &ModelConfig, weights: Digest, tokenizer: Option<&[u8]>) -> ModelFingerprint {
    ModelFingerprint {
        weights,
        config: config_digest(config),
        tokenizer: tokenizer_digest(tokenizer),
        rope: rope_digest(&config.rope, config.head_dim),
        adapters: None,
        geometry: config.geometry(),
        capture: CaptureStage::BeforeRope,
    }
}

fn config_digest(config: &ModelConfig) -> Digest {
    let sizes = [config.vocab_size, config.hidden_size, config.intermediate_size, config.n_heads];
    let sizes: Vec<u8> = sizes.iter().flat_map(|&n| (n as u64).to_le_bytes()).collect();
    let bias = config.bias;
    let flags = [config.qk_norm, bias.qkv, bias.output, bias.mlp, config.tied_embeddings].map(u8::from);
    let layer = |layer: &super::config::LayerConfig| {
        let [a, b, c, d] = layer.window.unwrap_or(0).to_le_bytes();
        [u8::from(layer.rope), a, b, c, d]
    };
    let layers: Vec<u8> = config.layers.iter().flat_map(layer).collect();
    Digest::of("lagdb model config v1", &[&sizes, &config.rms_norm_eps.to_le_bytes(), &flags, &layers])
}

fn rope_digest(rope: &RopeConfig, head_dim: usize) -> Digest {
    let scaling = match &rope.scaling {
        RopeScaling::None => Vec::new(),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_positions } => {
            [factor, low_freq_factor, high_freq_factor, original_positions].map(|x| x.to_le_bytes()).concat()
        }
        RopeScaling::Divided(divisors) => divisors.iter().flat_map(|divisor| divisor.to_le_bytes()).collect(),
    };
    let width = (head_dim as u64).to_le_bytes();
    Digest::of("lagdb model rope v1", &[&rope.theta.to_le_bytes(), &scaling, &width, b"half-split pairs"])
}

/// Key order, spacing, truncation and padding do not change what an id means.
fn tokenizer_digest(json: Option<&[u8]>) -> Digest {
    const DOMAIN: &str = "lagdb model tokenizer v1";
    let Some(json) = json else { return Digest::of(DOMAIN, &[]) };
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(json) else { return Digest::of(DOMAIN, &[json]) };
    for field in ["truncation", "padding"] {
        fields.shift_remove(field);
    }
    let mut value = Value::Object(fields);
    value.sort_all_objects();
    Digest::of(DOMAIN, &[value.to_string().as_bytes()])
}
