//! The JSON dialects of `config.json`: transformers 4 (`rope_theta`, `rope_scaling`) and 5 (`rope_parameters`,
//! `layer_types`), with the defaults that each family's configuration class has.
//!
//! Nothing else in the generator knows a key of `config.json`. Precision (`torch_dtype`, `dtype`) is not read: the
//! decoder computes in f32 whatever the weights are stored in.

use super::{LayerConfig, MAX_LAYERS, ModelConfig, ProjectionBias, RopeConfig, RopeScaling};
use serde_json::{Map, Value};

type Result<T> = std::result::Result<T, String>;

/// The families whose differences are data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Llama 2 and 3.x, SmolLM2.
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    SmolLm3,
}

/// The configuration in `json`, not yet checked for absurd sizes.
pub(super) fn read(json: &[u8]) -> Result<ModelConfig> {
    let value: Value = serde_json::from_slice(json).map_err(|e| format!("no JSON: {e}"))?;
    let fields = Fields(value.as_object().ok_or("no JSON object")?);
    let family = fields.family()?;
    fields.silu()?;
    let hidden_size = fields.size("hidden_size")?;
    let n_heads = fields.size("num_attention_heads")?;
    Ok(ModelConfig {
        vocab_size: fields.size("vocab_size")?,
        hidden_size,
        intermediate_size: fields.size("intermediate_size")?,
        n_heads,
        n_kv_heads: fields.optional_size("num_key_value_heads")?.unwrap_or(n_heads),
        head_dim: match fields.optional_size("head_dim")? {
            Some(head_dim) => head_dim,
            None => fields.divided_head_dim(hidden_size, n_heads)?,
        },
        rms_norm_eps: fields.number("rms_norm_eps")?.ok_or("rms_norm_eps is missing")?,
        qk_norm: family == Family::Qwen3,
        bias: fields.bias(family)?,
        tied_embeddings: fields.flag("tie_word_embeddings")?.unwrap_or(family == Family::SmolLm3),
        rope: fields.rope(family)?,
        layers: fields.layers(family)?,
        max_positions: fields.size("max_position_embeddings")?,
        bos_id: fields.ids("bos_token_id")?.first().copied(),
        eos_ids: fields.ids("eos_token_id")?,
    })
}

/// The end-of-text ids of a `generation_config.json`.
pub(super) fn eos_ids(json: &[u8]) -> Result<Vec<u32>> {
    let value: Value = serde_json::from_slice(json).map_err(|e| format!("no JSON: {e}"))?;
    Fields(value.as_object().ok_or("no JSON object")?).ids("eos_token_id")
}

/// A JSON object whose `null` fields count as absent.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn size(&self, name: &str) -> Result<usize> {
        self.optional_size(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        let size = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        self.get(name).map(|v| size(v).ok_or_else(|| format!("{name} is {v}, no size"))).transpose()
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        self.get(name).map(|v| v.as_f64().ok_or_else(|| format!("{name} is {v}, no number"))).transpose()
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.get(name).map(|v| v.as_bool().ok_or_else(|| format!("{name} is {v}, no truth value"))).transpose()
    }

    fn object(&self, name: &str) -> Result<Option<Fields<'a>>> {
        self.get(name).map(|v| v.as_object().map(Fields).ok_or_else(|| format!("{name} is no object"))).transpose()
    }

    fn list(&self, name: &str) -> Result<Option<&'a [Value]>> {
        self.get(name).map(|v| v.as_array().map(Vec::as_slice).ok_or_else(|| format!("{name} is no list"))).transpose()
    }

    /// One id, a list of ids, or none.
    fn ids(&self, name: &str) -> Result<Vec<u32>> {
        let id = |v: &Value| {
            v.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| format!("{name} holds {v}, no token id"))
        };
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(id).collect(),
            Some(one) => Ok(vec![id(one)?]),
        }
    }

    fn family(&self) -> Result<Family> {
        match self.get("model_type").and_then(Value::as_str) {
            Some("llama") => Ok(Family::Llama),
            Some("mistral") => Ok(Family::Mistral),
            Some("qwen2") => Ok(Family::Qwen2),
            Some("qwen3") => Ok(Family::Qwen3),
            Some("smollm3") => Ok(Family::SmolLm3),
            Some(other) => {
                Err(format!("model_type {other:?} is not known; llama, mistral, qwen2, qwen3 and smollm3 are"))
            }
            None => Err("model_type is missing".to_owned()),
        }
    }

    fn silu(&self) -> Result<()> {
        match self.get("hidden_act").and_then(Value::as_str) {
            None | Some("silu" | "swish") => Ok(()),
            Some(other) => Err(format!("hidden_act {other:?} is not known; silu is")),
        }
    }

    fn divided_head_dim(&self, hidden_size: usize, n_heads: usize) -> Result<usize> {
        match hidden_size.checked_rem(n_heads) {
            Some(0) => Ok(hidden_size / n_heads),
            _ => Err(format!("head_dim is missing and {n_heads} heads do not divide hidden_size {hidden_size}")),
        }
    }

    fn bias(&self, family: Family) -> Result<ProjectionBias> {
        let attention = self.flag("attention_bias")?.unwrap_or(false);
        let (qkv, output) = match family {
            Family::Llama | Family::Qwen3 | Family::SmolLm3 => (attention, attention),
            Family::Mistral => (false, false),
            Family::Qwen2 => (true, false),
        };
        let has_mlp_flag = matches!(family, Family::Llama | Family::SmolLm3);
        Ok(ProjectionBias { qkv, output, mlp: has_mlp_flag && self.flag("mlp_bias")?.unwrap_or(false) })
    }

    /// Version 5 keeps base and scaling in `rope_parameters`; version 4 has `rope_theta` beside `rope_scaling`.
    fn rope(&self, family: Family) -> Result<RopeConfig> {
        let parameters = match self.object("rope_parameters")? {
            Some(parameters) => Some(parameters),
            None => self.object("rope_scaling")?,
        };
        let theta = match parameters.as_ref().map(|p| p.number("rope_theta")).transpose()?.flatten() {
            Some(theta) => Some(theta),
            None => self.number("rope_theta")?,
        };
        // Llama 1 and 2 were published before the field existed; elsewhere its absence is an unknown dialect.
        let theta = theta.or((family == Family::Llama).then_some(10_000.0)).ok_or("rope_theta is missing")?;
        let scaling = parameters.map(|p| p.scaling()).transpose()?.unwrap_or(RopeScaling::None);
        if self.number("partial_rotary_factor")?.unwrap_or(1.0) != 1.0 {
            return Err("partial_rotary_factor is not known".to_owned());
        }
        Ok(RopeConfig { theta, scaling })
    }

    /// `self` is `rope_parameters` or `rope_scaling`.
    fn scaling(&self) -> Result<RopeScaling> {
        if self.number("partial_rotary_factor")?.unwrap_or(1.0) != 1.0 {
            return Err("partial_rotary_factor is not known".to_owned());
        }
        let need = |name: &str| self.number(name)?.ok_or_else(|| format!("{name} of the RoPE scaling is missing"));
        match self.get("rope_type").or(self.get("type")).and_then(Value::as_str) {
            None | Some("default") => Ok(RopeScaling::None),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: need("factor")?,
                low_freq_factor: need("low_freq_factor")?,
                high_freq_factor: need("high_freq_factor")?,
                original_positions: need("original_max_position_embeddings")?,
            }),
            Some(other) => Err(format!("RoPE scaling {other:?} is not known; default and llama3 are")),
        }
    }

    fn layers(&self, family: Family) -> Result<Vec<LayerConfig>> {
        let n_layers = self.size("num_hidden_layers")?;
        if n_layers > MAX_LAYERS {
            return Err(format!("num_hidden_layers is {n_layers}; 1 to {MAX_LAYERS} is possible"));
        }
        let rope = self.rope_layers(family, n_layers)?;
        let windowed = self.windowed_layers(family, &rope)?;
        let window = self.window(family)?;
        let layer = |(rope, windowed): (bool, bool)| LayerConfig { rope, window: window.filter(|_| windowed) };
        Ok(rope.into_iter().zip(windowed).map(layer).collect())
    }

    /// `no_rope_layers[i]` is 1 where RoPE is applied, despite its name.
    fn rope_layers(&self, family: Family, n_layers: usize) -> Result<Vec<bool>> {
        if family != Family::SmolLm3 {
            return Ok(vec![true; n_layers]);
        }
        let Some(flags) = self.list("no_rope_layers")? else {
            let interval = self.optional_size("no_rope_layer_interval")?.unwrap_or(4).max(1);
            return Ok((0..n_layers).map(|layer| !(layer + 1).is_multiple_of(interval)).collect());
        };
        if flags.len() != n_layers {
            return Err(format!("no_rope_layers has {} entries for {n_layers} layers", flags.len()));
        }
        let flag = |v: &Value| match v.as_u64() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(format!("no_rope_layers holds {v}")),
        };
        flags.iter().map(flag).collect()
    }

    /// The sliding window, where the family uses one at all.
    fn window(&self, family: Family) -> Result<Option<u32>> {
        let size = match (family, self.0.contains_key("sliding_window")) {
            (Family::Llama, _) => None,
            (Family::Mistral, false) => Some(4096), // the default of MistralConfig; an explicit null means none
            (Family::Mistral, true) => self.optional_size("sliding_window")?,
            _ if !self.flag("use_sliding_window")?.unwrap_or(false) => None,
            _ => self.optional_size("sliding_window")?,
        };
        size.map(|n| u32::try_from(n).map_err(|_| format!("sliding_window is {n}"))).transpose()
    }

    /// Which layers use the window.
    fn windowed_layers(&self, family: Family, rope: &[bool]) -> Result<Vec<bool>> {
        if family == Family::Mistral {
            return Ok(vec![true; rope.len()]);
        }
        if let Some(types) = self.list("layer_types")? {
            return layer_types(types, rope.len());
        }
        let first = self.optional_size("max_window_layers")?.unwrap_or(28);
        Ok(rope
            .iter()
            .enumerate()
            .map(|(layer, rope)| if family == Family::SmolLm3 { !rope } else { layer >= first })
            .collect())
    }
}

fn layer_types(types: &[Value], n_layers: usize) -> Result<Vec<bool>> {
    if types.len() != n_layers {
        return Err(format!("layer_types has {} entries for {n_layers} layers", types.len()));
    }
    let windowed = |v: &Value| match v.as_str() {
        Some("full_attention") => Ok(false),
        Some("sliding_attention") => Ok(true),
        _ => Err(format!("layer type {v} is not known; full_attention and sliding_attention are")),
    };
    types.iter().map(windowed).collect()
}
