//! The metadata keys of GGUF, with the defaults that llama.cpp has.
//!
//! Nothing else in the generator knows them. What metadata does not say, the tensors do: [`GgufFacts`]. llama.cpp has a NoPE
//! layer in four of smollm3 by its name alone. A sliding window is used where the file says one, in every layer.

use super::{LayerConfig, MAX_LAYERS, ModelConfig, ProjectionBias, RopeConfig, RopeScaling};
use candle_core::quantized::gguf_file::Value;
use std::collections::HashMap;

type Result<T> = std::result::Result<T, String>;

/// What the tensors of a file say of the model.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::generate) struct GgufFacts {
    /// Rows of the embedding table.
    pub(in crate::generate) vocab_size: Option<usize>,
    /// Queries and keys have norms.
    pub(in crate::generate) qk_norm: bool,
    /// Queries, keys and values have biases.
    pub(in crate::generate) qkv_bias: bool,
    /// The output projection of attention has one.
    pub(in crate::generate) output_bias: bool,
    /// The projections of the MLP have.
    pub(in crate::generate) mlp_bias: bool,
    /// The output projection is a tensor of its own.
    pub(in crate::generate) own_head: bool,
}

/// The configuration in `metadata`, not yet checked for absurd sizes.
pub(super) fn read(metadata: &HashMap<String, Value>, facts: &GgufFacts) -> Result<ModelConfig> {
    let architecture = match metadata.get("general.architecture") {
        Some(Value::String(name)) => name.as_str(),
        _ => return Err("general.architecture is missing".to_owned()),
    };
    if !["llama", "qwen2", "qwen3", "smollm3"].contains(&architecture) {
        return Err(format!(
            "general.architecture {architecture:?} is not known; llama (Mistral too), qwen2, qwen3 and smollm3 are"
        ));
    }
    let fields = Fields { metadata, architecture };
    let hidden_size = fields.size("embedding_length")?;
    let n_heads = fields.size("attention.head_count")?;
    let head_dim = match fields.optional_size("attention.key_length")? {
        Some(head_dim) => head_dim,
        None if n_heads > 0 && hidden_size.is_multiple_of(n_heads) => hidden_size / n_heads,
        None => return Err(format!("{n_heads} heads do not divide embedding_length {hidden_size}")),
    };
    fields.must_be("attention.value_length", head_dim)?;
    fields.must_be("rope.dimension_count", head_dim)?;
    Ok(ModelConfig {
        vocab_size: facts.vocab_size.ok_or("tensor token_embd.weight is missing")?,
        hidden_size,
        intermediate_size: fields.size("feed_forward_length")?,
        n_heads,
        n_kv_heads: fields.optional_size("attention.head_count_kv")?.unwrap_or(n_heads),
        head_dim,
        rms_norm_eps: fields.epsilon()?,
        qk_norm: facts.qk_norm,
        bias: ProjectionBias { qkv: facts.qkv_bias, output: facts.output_bias, mlp: facts.mlp_bias },
        tied_embeddings: !facts.own_head,
        rope: fields.rope()?,
        layers: fields.layers()?,
        max_positions: fields.size("context_length")?,
        bos_id: fields.id("tokenizer.ggml.bos_token_id")?,
        eos_ids: fields.eos_ids()?,
    })
}

/// Metadata; keys without a known prefix begin with the architecture.
struct Fields<'a> {
    metadata: &'a HashMap<String, Value>,
    architecture: &'a str,
}

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.metadata.get(&format!("{}.{name}", self.architecture))
    }

    fn size(&self, name: &str) -> Result<usize> {
        self.optional_size(name)?.ok_or_else(|| format!("{}.{name} is missing", self.architecture))
    }

    fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let size = whole(value).and_then(|n| usize::try_from(n).ok());
        size.map(Some).ok_or_else(|| format!("{}.{name} is {}, no size", self.architecture, shown(value)))
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        match self.get(name) {
            None => Ok(None),
            // The shortest decimal of an f32 is what a configuration said before it was narrowed: 1e-6, not 9.99e-7.
            Some(Value::F32(x)) => x.to_string().parse().map(Some).map_err(|_| format!("{name} is {x}")),
            Some(Value::F64(x)) => Ok(Some(*x)),
            Some(other) => Err(format!("{}.{name} is {}, no number", self.architecture, shown(other))),
        }
    }

    fn must_be(&self, name: &str, head_dim: usize) -> Result<()> {
        match self.optional_size(name)? {
            Some(found) if found != head_dim => Err(format!("{name} is {found} and the width of a head {head_dim}")),
            _ => Ok(()),
        }
    }

    fn epsilon(&self) -> Result<f64> {
        let name = "attention.layer_norm_rms_epsilon";
        self.number(name)?.ok_or_else(|| format!("{}.{name} is missing", self.architecture))
    }

    fn rope(&self) -> Result<RopeConfig> {
        // What files said before there were scaling types; 1 is no scaling.
        if self.number("rope.scale_linear")?.is_some_and(|scale| scale != 1.0) {
            return Err(format!("{}.rope.scale_linear is not known", self.architecture));
        }
        match self.get("rope.scaling.type") {
            None => {}
            Some(Value::String(kind)) if kind == "none" => {}
            Some(other) => return Err(format!("rope.scaling.type {} is not known; none is", shown(other))),
        }
        Ok(RopeConfig { theta: self.number("rope.freq_base")?.unwrap_or(10_000.0), scaling: RopeScaling::None })
    }

    fn layers(&self) -> Result<Vec<LayerConfig>> {
        let n_layers = self.size("block_count")?;
        if n_layers > MAX_LAYERS {
            return Err(format!("block_count is {n_layers}; 1 to {MAX_LAYERS} is possible"));
        }
        let window = self.optional_size("attention.sliding_window")?.filter(|&window| window > 0);
        let window = window.map(|n| u32::try_from(n).map_err(|_| format!("sliding_window is {n}"))).transpose()?;
        let nope = |layer: usize| self.architecture == "smollm3" && (layer + 1).is_multiple_of(4);
        Ok((0..n_layers).map(|layer| LayerConfig { rope: !nope(layer), window }).collect())
    }

    fn id(&self, name: &str) -> Result<Option<u32>> {
        let Some(value) = self.metadata.get(name) else { return Ok(None) };
        let id = whole(value).and_then(|id| u32::try_from(id).ok());
        id.map(Some).ok_or_else(|| format!("{name} is {}, no token id", shown(value)))
    }

    /// The end of a text, of a turn and of a message.
    fn eos_ids(&self) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for name in ["eos", "eot", "eom"] {
            let id = self.id(&format!("tokenizer.ggml.{name}_token_id"))?;
            ids.extend(id.filter(|id| !ids.contains(id)));
        }
        Ok(ids)
    }
}

/// A whole number that is not negative.
pub(in crate::generate) fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::I8(x) => u64::try_from(*x).ok(),
        Value::I16(x) => u64::try_from(*x).ok(),
        Value::I32(x) => u64::try_from(*x).ok(),
        Value::I64(x) => u64::try_from(*x).ok(),
        Value::Bool(_) => None,
        other => other.to_u64().ok(),
    }
}

/// A value in an error; lists have no end.
pub(in crate::generate) fn shown(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("a list of {}", values.len()),
        Value::String(text) => format!("{:?}", text.chars().take(80).collect::<String>()),
        other => format!("{other:?}").chars().take(80).collect(),
    }
}
