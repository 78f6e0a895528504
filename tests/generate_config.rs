//! One model, written by transformers 4 or 5, in one file or in shards, is one model.

use crate::generate_support::*;
use lagdb::generate::{Generator, ModelConfig};
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The configuration as transformers 4 would have written it.
fn v4(v5: &str) -> String {
    let mut fields: Map<String, Value> = serde_json::from_str(v5).unwrap();
    let mut rope = fields.remove("rope_parameters").unwrap().as_object().unwrap().clone();
    fields.insert("rope_theta".into(), rope.remove("rope_theta").unwrap());
    let scaling = if rope["rope_type"] == "default" { Value::Null } else { Value::Object(rope) };
    fields.insert("rope_scaling".into(), scaling);
    fields.remove("layer_types");
    let dtype = fields.remove("dtype").unwrap();
    fields.insert("torch_dtype".into(), dtype);
    Value::Object(fields).to_string()
}

fn parse(json: &str) -> Result<ModelConfig, String> {
    ModelConfig::from_json(json.as_bytes(), Path::new("config.json")).map_err(|e| e.to_string())
}

/// The llama fixture's configuration with one field changed.
fn changed(field: &str, value: Value) -> String {
    let mut config: Value = serde_json::from_str(&Files::of("llama").config).unwrap();
    config[field] = value;
    config.to_string()
}

#[test]
fn version_4_and_5_describe_one_model() {
    for family in FAMILIES {
        let v5 = Files::of(family);
        let v4 = Files { config: v4(&v5.config), ..v5.clone() };
        assert_eq!(parse(&v4.config), parse(&v5.config), "{family}");
        let ids = tokens(20, 0);
        let (old, new) = (v4.load().unwrap(), v5.load().unwrap());
        assert_eq!(old.fingerprint(), new.fingerprint(), "{family}");
        assert_eq!(logits(&old, &ids), logits(&new, &ids), "{family}");
    }
}

#[test]
fn shards_are_one_model() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::of("llama");
    let tensors = SafeTensors::deserialize(&files.weights).unwrap();
    let mut weight_map = Map::new();
    for shard in 0..2 {
        let file = format!("model-{shard}.safetensors");
        let part: Vec<_> = tensors.tensors().into_iter().skip(shard).step_by(2).collect();
        weight_map.extend(part.iter().map(|(name, _)| (name.clone(), Value::from(file.as_str()))));
        std::fs::write(dir.path().join(&file), safetensors::serialize(part, None).unwrap()).unwrap();
    }
    let index = json!({"metadata": {}, "weight_map": weight_map}).to_string();
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    std::fs::write(dir.path().join("config.json"), &files.config).unwrap();
    std::fs::write(dir.path().join("generation_config.json"), r#"{"eos_token_id": [2, 5]}"#).unwrap();
    let sharded = Generator::load(dir.path()).unwrap();
    assert_eq!(sharded.fingerprint(), files.load().unwrap().fingerprint());
    assert_eq!(sharded.config().eos_ids, [2, 5]);
}

#[test]
fn nope_layers_and_windows_are_read() {
    let smollm3 = parse(&Files::of("smollm3").config).unwrap();
    assert_eq!(smollm3.layers.iter().map(|layer| layer.rope).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(parse(&Files::of("mistral_window").config).unwrap().window(), Some(16));
    assert_eq!(parse(&Files::of("mistral").config).unwrap().window(), None);
    let mut qwen: Value = serde_json::from_str(&Files::of("qwen2").config).unwrap();
    qwen["sliding_window"] = json!(8);
    assert_eq!(parse(&qwen.to_string()).unwrap().window(), None, "use_sliding_window is false");
    qwen["use_sliding_window"] = json!(true);
    qwen["layer_types"] = json!(["full_attention", "full_attention", "sliding_attention", "sliding_attention"]);
    let by_type = parse(&qwen.to_string()).unwrap();
    assert_eq!(by_type.layers.iter().map(|layer| layer.window).collect::<Vec<_>>(), [None, None, Some(8), Some(8)]);
    qwen["layer_types"] = Value::Null;
    qwen["max_window_layers"] = json!(2);
    assert_eq!(parse(&qwen.to_string()).unwrap(), by_type);
}

#[test]
fn what_is_not_known_is_named() {
    for (field, value, named) in [
        ("model_type", json!("gemma3"), "gemma3"),
        ("hidden_act", json!("gelu"), "gelu"),
        ("rope_parameters", json!({"rope_theta": 1e4, "rope_type": "yarn", "factor": 4.0}), "yarn"),
        ("hidden_size", json!(1u64 << 40), "hidden_size"),
        ("num_hidden_layers", json!(1u64 << 60), "num_hidden_layers"),
        ("num_key_value_heads", json!(3), "KV heads"),
        ("vocab_size", json!(-1), "vocab_size"),
        ("head_dim", json!(0), "head_dim"),
        ("rms_norm_eps", json!(null), "rms_norm_eps"),
        ("eos_token_id", json!("end"), "eos_token_id"),
    ] {
        let error = parse(&changed(field, value)).unwrap_err();
        assert!(error.contains(named) && error.contains("config.json"), "{error}");
    }
}
