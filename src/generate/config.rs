//! What a decoder is, as data: the one description that covers Llama, Mistral, Qwen2, Qwen3, SmolLM2 and SmolLM3.
//!
//! A [`ModelConfig`] that exists has been checked: no size is zero or absurd, heads divide evenly, and there is one
//! [`LayerConfig`] per layer. How `config.json` and GGUF spell these facts is known to `config/json.rs` and
//! `config/gguf.rs` alone.

mod gguf;
mod json;

pub(super) use gguf::{GgufFacts, shown, whole};

use super::rope::Rope;
use crate::error::{Error, Result};
use candle_core::quantized::gguf_file::Value;
use lagdb_format::KvGeometry;
use std::collections::HashMap;
use std::path::Path;

/// Upper limit on any width or vocabulary in a configuration; real models stay far below.
const MAX_SIZE: usize = 1 << 20;
/// Upper limit on decoder layers.
const MAX_LAYERS: usize = 1024;
/// Upper limit on the context length in tokens.
const MAX_POSITIONS: usize = 1 << 26;

/// One decoder-only transformer: RMSNorm, RoPE, grouped-query attention, gated MLP.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Token ids are below this.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP between its projections.
    pub intermediate_size: usize,
    /// Query heads per layer.
    pub n_heads: usize,
    /// Key/value heads per layer; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Numbers per head; even. `n_heads * head_dim` may differ from `hidden_size`.
    pub head_dim: usize,
    /// Added under the root in every RMSNorm.
    pub rms_norm_eps: f64,
    /// RMSNorm on each query and key head before RoPE (Qwen3).
    pub qk_norm: bool,
    /// Which projections add a bias.
    pub bias: ProjectionBias,
    /// The output projection is the embedding table.
    pub tied_embeddings: bool,
    /// How keys and queries are turned.
    pub rope: RopeConfig,
    /// What differs from layer to layer, first to last.
    pub layers: Vec<LayerConfig>,
    /// Positions the model was made for; the context limit in tokens.
    pub max_positions: usize,
    /// The token that begins a text, if the model has one.
    pub bos_id: Option<u32>,
    /// The tokens that end a text.
    pub eos_ids: Vec<u32>,
}

/// Which projections add a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProjectionBias {
    /// Query, key and value projections.
    pub qkv: bool,
    /// Output projection of attention.
    pub output: bool,
    /// The three projections of the MLP.
    pub mlp: bool,
}

/// What differs from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerConfig {
    /// Keys and queries are turned by RoPE; false in the NoPE layers of SmolLM3.
    pub rope: bool,
    /// A query sees a key iff `position(query) - position(key) < window`; `None` sees everything before it.
    pub window: Option<u32>,
}

/// Base and scaling of RoPE.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// Base of the geometric series of wavelengths.
    pub theta: f64,
    /// How the series is bent for long contexts.
    pub scaling: RopeScaling,
}

/// How RoPE's frequencies are changed for long contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between interpolated.
    Llama3 {
        /// Stretch of the long wavelengths.
        factor: f64,
        /// Wavelengths above `original_positions / low_freq_factor` are stretched in full.
        low_freq_factor: f64,
        /// Wavelengths below `original_positions / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length before scaling.
        original_positions: f64,
    },
    /// Each frequency is divided by a number of its own, `[head_dim / 2]`: how GGUF stores Llama 3.1's.
    Divided(Vec<f32>),
}

impl ModelConfig {
    /// Reads a `config.json` as transformers 4 or 5 writes it; `path` is named in errors.
    ///
    /// # Errors
    /// [`Error::Model`] when it is no JSON, of an unknown `model_type`, lacks a field, or holds an absurd value.
    pub fn from_json(json: &[u8], path: &Path) -> Result<Self> {
        let problem = |problem| Error::Model { path: path.to_path_buf(), problem };
        let config = json::read(json).map_err(problem)?;
        config.check().map_err(problem)?;
        Ok(config)
    }

    /// Reads the metadata of a GGUF file, and what its tensors say; `path` is named in errors.
    pub(super) fn from_gguf(metadata: &HashMap<String, Value>, facts: &GgufFacts, path: &Path) -> Result<Self> {
        let problem = |problem| Error::Model { path: path.to_path_buf(), problem };
        let config = gguf::read(metadata, facts).map_err(problem)?;
        config.check().map_err(problem)?;
        Ok(config)
    }

    /// Adds the end-of-text ids of a `generation_config.json` to those of the configuration.
    ///
    /// # Errors
    /// [`Error::Model`] when it is no JSON object or `eos_token_id` is neither an id nor a list of ids.
    pub fn add_eos_of(&mut self, generation_config: &[u8], path: &Path) -> Result<()> {
        let ids =
            json::eos_ids(generation_config).map_err(|problem| Error::Model { path: path.to_path_buf(), problem })?;
        for id in ids {
            if !self.eos_ids.contains(&id) {
                self.eos_ids.push(id);
            }
        }
        Ok(())
    }

    /// Layers, KV heads and head width.
    pub fn geometry(&self) -> KvGeometry {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX); // `check` keeps all three far below
        KvGeometry {
            n_layers: small(self.layers.len()),
            n_kv_heads: small(self.n_kv_heads),
            head_dim: small(self.head_dim),
        }
    }

    /// The sliding window of the layers that have one.
    pub fn window(&self) -> Option<u32> {
        self.layers.iter().find_map(|layer| layer.window)
    }

    /// The only place where sizes are checked; everything after trusts them.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        for (name, size, max) in [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, MAX_SIZE),
            ("intermediate_size", self.intermediate_size, MAX_SIZE),
            ("num_attention_heads", self.n_heads, 1 << 12),
            ("num_key_value_heads", self.n_kv_heads, 1 << 12),
            ("head_dim", self.head_dim, 1 << 12),
            ("num_hidden_layers", self.layers.len(), MAX_LAYERS),
            ("max_position_embeddings", self.max_positions, MAX_POSITIONS),
        ] {
            if size == 0 || size > max {
                return Err(format!("{name} is {size}; 1 to {max} is possible"));
            }
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return Err(format!("{} query heads are no multiple of {} KV heads", self.n_heads, self.n_kv_heads));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(format!("head_dim {} is odd; RoPE turns pairs", self.head_dim));
        }
        if !(self.rms_norm_eps > 0.0 && self.rms_norm_eps < 1.0) {
            return Err(format!("rms_norm_eps is {}", self.rms_norm_eps));
        }
        if self.layers.iter().any(|layer| layer.window == Some(0)) {
            return Err("sliding_window is 0".to_owned());
        }
        self.rope.check()
    }
}

impl RopeScaling {
    /// The scaling with these divisors of the frequencies; where they are those that Llama 3.x publishes, by its name, as
    /// its `config.json` would say. A converter computes them in f32, so equal means equal but for that.
    pub(super) fn of_divisors(divisors: Vec<f32>, theta: f64) -> Self {
        let factor = f64::from(divisors.iter().copied().fold(0.0, f32::max));
        for exponent in 5..24 {
            // All of Llama 3.1, 3.2 and 3.3 have these two; they differ in factor and length.
            let (low_freq_factor, high_freq_factor) = (1.0, 4.0);
            let original_positions = f64::from(1u32 << exponent);
            let scaling = Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_positions };
            let head_dim = 2 * divisors.len();
            let plain = Rope::new(&RopeConfig { theta, scaling: Self::None }, head_dim);
            let scaled = Rope::new(&RopeConfig { theta, scaling: scaling.clone() }, head_dim);
            let ratios = plain.frequencies().iter().zip(scaled.frequencies()).map(|(plain, scaled)| plain / scaled);
            let equal = |(ratio, divisor): (f64, &f32)| (ratio / f64::from(*divisor) - 1.0).abs() < 1e-5;
            if ratios.zip(&divisors).all(equal) && factor > 1.0 {
                return scaling;
            }
        }
        Self::Divided(divisors)
    }
}

impl RopeConfig {
    fn check(&self) -> std::result::Result<(), String> {
        let positive = |name: &str, x: f64| {
            if x.is_finite() && x > 0.0 { Ok(()) } else { Err(format!("{name} is {x}")) }
        };
        positive("rope_theta", self.theta)?;
        if let RopeScaling::Divided(divisors) = &self.scaling {
            divisors.iter().try_for_each(|&divisor| positive("rope_freqs", f64::from(divisor)))?;
        }
        if let RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_positions } = self.scaling {
            positive("factor", factor)?;
            positive("low_freq_factor", low_freq_factor)?;
            positive("original_max_position_embeddings", original_positions)?;
            if high_freq_factor.is_nan() || high_freq_factor <= low_freq_factor {
                return Err(format!("high_freq_factor {high_freq_factor} is not above {low_freq_factor}"));
            }
        }
        Ok(())
    }
}
