//! The checkpoint as other tools read it: `model.safetensors` (f16, Hugging Face Llama names), `config.json` and
//! `tokenizer.json`. The output layer is the embedding, so no `lm_head` is stored.

use super::model::{Model, Sizes};
use super::raw_model::RawModel;
use crate::world::Rng;
use candle_core::{DType, Device};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// The words a model speaks: its tokenizer file, and the ids that begin, end and fill up a text.
pub(crate) struct Speech {
    pub(crate) tokenizer: Value,
    pub(crate) bos: u32,
    pub(crate) end: u32,
    pub(crate) pad: u32,
}

/// Writes the three files into `folder`, which must exist.
pub(crate) fn save(model: &Model, speech: &Speech, folder: &Path) -> Result<(), super::TrainError> {
    let mut tensors = HashMap::new();
    for (name, var) in model.named() {
        tensors.insert(name, var.to_dtype(DType::F16)?);
    }
    candle_core::safetensors::save::<String, _>(&tensors, folder.join("model.safetensors"))?;
    write_json(&folder.join("config.json"), &config_json(model.sizes, speech))?;
    write_json(&folder.join("tokenizer.json"), &speech.tokenizer)
}

/// Reads a checkpoint of these sizes back, as `f32`.
pub(crate) fn load(folder: &Path, sizes: Sizes) -> Result<Model, super::TrainError> {
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu)?;
    let model = RawModel::random(sizes, &mut Rng::new(0)).into_model()?;
    for (name, var) in model.named() {
        let Some(tensor) = tensors.get(&name) else {
            return Err(super::TrainError::Missing(name));
        };
        var.set(&tensor.to_dtype(DType::F32)?)?;
    }
    Ok(model)
}

fn write_json(path: &Path, value: &Value) -> Result<(), super::TrainError> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(std::fs::write(path, text)?)
}

fn config_json(sizes: Sizes, speech: &Speech) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": sizes.n_words,
        "hidden_size": sizes.d,
        "intermediate_size": sizes.d_ff,
        "num_hidden_layers": sizes.n_layers,
        "num_attention_heads": sizes.n_heads,
        "num_key_value_heads": sizes.n_kv_heads,
        "head_dim": sizes.head_dim,
        "rms_norm_eps": 1e-5,
        "rope_theta": sizes.theta,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": true,
        "hidden_act": "silu",
        "attention_bias": false,
        "bos_token_id": speech.bos,
        "eos_token_id": speech.end,
        "pad_token_id": speech.pad,
        "torch_dtype": "float16",
    })
}
