//! The fingerprint of a loaded model: which KV logs it can read.
//!
//! Only what changes keys, values or the meaning of a token id is digested, and as what it is computed with, not as a file
//! spells it. The numbers of a matrix are those that are multiplied: floats as f32, whatever they were stored as, quantized
//! blocks as they are. RoPE is its base and scaling, a tokenizer what each id stands for. So the same model has one
//! fingerprint written by transformers 4 or 5, in one file, in shards or as GGUF, as long as every number survived. Context
//! length, end-of-text ids and how text is split into tokens change neither keys nor values and are left out.

use super::config::{ModelConfig, RopeConfig, RopeScaling};
use super::matrix::Matrix;
use super::tokenizer::Tokenizer;
use candle_core::quantized::GgmlDType;
use lagdb_format::{CaptureStage, Digest, ModelFingerprint};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The fingerprint of a model of this configuration.
pub(super) fn fingerprint(config: &ModelConfig, weights: Digest, tokenizer: Option<&Tokenizer>) -> ModelFingerprint {
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

/// Digests of the weights that a decoder holds, by name.
#[derive(Default)]
pub(super) struct WeightDigests(BTreeMap<String, Digest>);

impl WeightDigests {
    /// Adds a vector of numbers.
    pub(super) fn add_numbers(&mut self, name: &str, numbers: &[f32]) {
        self.0.insert(name.to_owned(), numbers_digest("F32", &[numbers.len()], &little_endian(numbers)));
    }

    /// Adds a matrix.
    pub(super) fn add_matrix(&mut self, name: &str, matrix: &Matrix) -> candle_core::Result<()> {
        let digest = matrix.with_bytes(|dtype, shape, bytes| numbers_digest(name_of(dtype), &shape, bytes))?;
        self.0.insert(name.to_owned(), digest);
        Ok(())
    }

    /// Adds the same matrix under another name: a tied output projection is digested as if it were stored twice.
    pub(super) fn add_again(&mut self, name: &str, again: &str) {
        if let Some(&digest) = self.0.get(name) {
            self.0.insert(again.to_owned(), digest);
        }
    }

    /// One digest over all of them.
    pub(super) fn digest(&self) -> Digest {
        let parts = self.0.iter().flat_map(|(name, digest)| [name.as_bytes(), digest.0.as_slice()]);
        Digest::of("lagdb model weights v2", &parts.collect::<Vec<_>>())
    }
}

fn name_of(dtype: GgmlDType) -> &'static str {
    super::precision::type_name(dtype)
}

fn numbers_digest(kind: &str, shape: &[usize], bytes: &[u8]) -> Digest {
    let shape: Vec<u8> = shape.iter().flat_map(|&n| (n as u64).to_le_bytes()).collect();
    Digest::of("lagdb model numbers v2", &[kind.as_bytes(), &shape, bytes])
}

/// The bytes of `numbers`, the same on every machine.
pub(super) fn little_endian(numbers: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        return Cow::Borrowed(bytemuck::cast_slice(numbers));
    }
    Cow::Owned(numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
}

fn config_digest(config: &ModelConfig) -> Digest {
    let sizes = [config.vocab_size, config.hidden_size, config.intermediate_size, config.n_heads];
    let sizes: Vec<u8> = sizes.iter().flat_map(|&n| (n as u64).to_le_bytes()).collect();
    let bias = config.bias;
    let flags = [config.qk_norm, bias.qkv, bias.output, bias.mlp].map(u8::from);
    let layer = |layer: &super::config::LayerConfig| {
        let [a, b, c, d] = layer.window.unwrap_or(0).to_le_bytes();
        [u8::from(layer.rope), a, b, c, d]
    };
    let layers: Vec<u8> = config.layers.iter().flat_map(layer).collect();
    Digest::of("lagdb model config v2", &[&sizes, &config.rms_norm_eps.to_le_bytes(), &flags, &layers])
}

fn rope_digest(rope: &RopeConfig, head_dim: usize) -> Digest {
    let (kind, scaling): (&[u8], Vec<u8>) = match &rope.scaling {
        RopeScaling::None => (b"none", Vec::new()),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_positions } => (
            b"llama3",
            [factor, low_freq_factor, high_freq_factor, original_positions].map(|x| x.to_le_bytes()).concat(),
        ),
        RopeScaling::Divided(divisors) => {
            (b"divided", divisors.iter().flat_map(|divisor| divisor.to_le_bytes()).collect())
        }
    };
    let width = (head_dim as u64).to_le_bytes();
    Digest::of("lagdb model rope v2", &[&rope.theta.to_le_bytes(), kind, &scaling, &width, b"half-split pairs"])
}

fn tokenizer_digest(tokenizer: Option<&Tokenizer>) -> Digest {
    let tokens = tokenizer.map(Tokenizer::tokens).unwrap_or_default();
    let tokens: Vec<_> = tokens.iter().map(|(id, text)| (id.to_le_bytes(), text.as_bytes())).collect();
    let parts: Vec<&[u8]> = tokens.iter().flat_map(|(id, text)| [id.as_slice(), text]).collect();
    Digest::of("lagdb model tokenizer v2", &parts)
}
