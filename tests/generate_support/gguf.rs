//! GGUF files as llama.cpp's converter writes them: vectors always as F32, rows of queries and keys interleaved for llama
//! and smollm3, `rope_freqs` for Llama 3.1's scaling, names of its own.

use super::Files;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use lagdb::Error;
use lagdb::generate::{Generator, LoadOptions};
use std::collections::HashMap;
use std::io::Cursor;

/// What llama.cpp's converter makes of a fixture, its matrices as `dtype`.
pub(crate) struct Converted {
    pub(crate) metadata: Vec<(String, Value)>,
    pub(crate) tensors: Vec<(String, QTensor)>,
}

impl Converted {
    pub(crate) fn of(family: &str, dtype: GgmlDType) -> Self {
        Self::of_files(family, &Files::of(family), dtype)
    }

    pub(crate) fn of_files(family: &str, files: &Files, dtype: GgmlDType) -> Self {
        let config: serde_json::Value = serde_json::from_str(&files.config).unwrap();
        let architecture = match family {
            "llama3" | "mistral" | "mistral_window" => "llama",
            other => other,
        };
        let tensors = candle_core::safetensors::load_buffer(&files.weights, &Device::Cpu).unwrap();
        let heads = [("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")];
        let heads = heads.map(|(name, field)| (name, config[field].as_u64().unwrap() as usize));
        let mut converted = Self { metadata: metadata(&config, architecture), tensors: Vec::new() };
        for (name, tensor) in tensors {
            let interleave = ["llama", "smollm3"].contains(&architecture);
            let n_heads = heads.iter().find(|(projection, _)| name.contains(projection) && interleave);
            let tensor = n_heads.map_or(tensor.clone(), |&(_, n_heads)| interleaved(&tensor, n_heads));
            let dtype = if tensor.rank() == 1 { GgmlDType::F32 } else { dtype };
            let tensor = tensor.to_dtype(candle_core::DType::F32).unwrap();
            converted.tensors.push((gguf_name(&name), QTensor::quantize(&tensor, dtype).unwrap()));
        }
        if family == "llama3" {
            converted.tensors.push(("rope_freqs.weight".into(), rope_freqs(&config)));
        }
        converted.tensors.sort_by(|a, b| a.0.cmp(&b.0));
        converted
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    /// With a byte-level tokenizer that splits as `pre` says, and metadata of its own.
    pub(crate) fn with_byte_level(self, pre: &str, more: &[(&str, Value)]) -> Self {
        let mut tokens: Vec<String> = ('a'..='z').chain('0'..='9').map(String::from).collect();
        tokens.extend(["H", "I", "Ġ", "Ċ", "'"].map(String::from));
        let merges = ["Ġ I", "' l", "'l l", "Ċ Ċ", "1 2", "12 3", "123 4"];
        tokens.extend(merges.map(|merge| merge.replace(' ', "")));
        // A word without the merges that make it, and tokens that are no text.
        tokens.push("hello".into());
        let first = tokens.len();
        tokens.extend(["<|begin|>", "<|im_end|>", "<think>", "[PAD]"].map(String::from));
        let types = (0..first).map(|_| 1).chain([3, 3, 4, 5]).map(Value::I32).collect();
        let file = self
            .with("tokenizer.ggml.model", Value::String("gpt2".into()))
            .with("tokenizer.ggml.pre", Value::String(pre.into()))
            .with("tokenizer.ggml.tokens", strings(&tokens))
            .with("tokenizer.ggml.merges", strings(&merges))
            .with("tokenizer.ggml.token_type", Value::Array(types))
            .with("tokenizer.ggml.bos_token_id", Value::U32(first as u32))
            .with("tokenizer.ggml.eos_token_id", Value::U32(first as u32 + 1));
        more.iter().fold(file, |file, (key, value)| file.with(key, value.clone()))
    }

    /// The ids of these tokens, of a file with a tokenizer.
    pub(crate) fn ids(&self, tokens: &[&str]) -> Vec<u32> {
        let list = self.metadata.iter().find(|(key, _)| key == "tokenizer.ggml.tokens").unwrap();
        let all: Vec<&String> = list.1.to_vec().unwrap().iter().map(|token| token.to_string().unwrap()).collect();
        let id = |token: &&str| all.iter().position(|other| other == token).unwrap_or_else(|| panic!("{token}")) as u32;
        tokens.iter().map(id).collect()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let metadata: Vec<(&str, &Value)> = self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut file = Cursor::new(Vec::new());
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
        file.into_inner()
    }

    pub(crate) fn load(&self) -> Generator {
        Generator::from_gguf(&self.bytes(), LoadOptions::default()).unwrap()
    }
}

fn metadata(config: &serde_json::Value, architecture: &str) -> Vec<(String, Value)> {
    let size = |field: &str| Value::U32(config[field].as_u64().unwrap() as u32);
    let number = |x: &serde_json::Value| Value::F32(x.as_f64().unwrap() as f32);
    let mut metadata = vec![("general.architecture".to_owned(), Value::String(architecture.into()))];
    for (key, value) in [
        ("embedding_length", size("hidden_size")),
        ("block_count", size("num_hidden_layers")),
        ("feed_forward_length", size("intermediate_size")),
        ("attention.head_count", size("num_attention_heads")),
        ("attention.head_count_kv", size("num_key_value_heads")),
        ("context_length", size("max_position_embeddings")),
        ("attention.layer_norm_rms_epsilon", number(&config["rms_norm_eps"])),
        ("rope.freq_base", number(&config["rope_parameters"]["rope_theta"])),
    ] {
        metadata.push((format!("{architecture}.{key}"), value));
    }
    for (field, key) in [("head_dim", "attention.key_length"), ("sliding_window", "attention.sliding_window")] {
        if config[field].is_u64() {
            metadata.push((format!("{architecture}.{key}"), size(field)));
        }
    }
    for (field, key) in [("bos_token_id", "bos"), ("eos_token_id", "eos")] {
        if config[field].is_u64() {
            metadata.push((format!("tokenizer.ggml.{key}_token_id"), size(field)));
        }
    }
    metadata.push(("tokenizer.ggml.model".into(), Value::String("no_vocab".into())));
    metadata
}

fn gguf_name(name: &str) -> String {
    let table: HashMap<&str, &str> = [
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("model.norm.weight", "output_norm.weight"),
        ("lm_head.weight", "output.weight"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ]
    .into();
    match name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) {
        None => table[name].to_owned(),
        Some((layer, rest)) => {
            let (what, kind) = rest.rsplit_once('.').unwrap();
            format!("blk.{layer}.{}.{kind}", table[what])
        }
    }
}

/// Rows `(i, i + d / 2)` of each head beside each other, as `LlamaModel.permute` of llama.cpp's converter does.
fn interleaved(tensor: &Tensor, n_heads: usize) -> Tensor {
    let dims = tensor.dims();
    let (rows, rest) = (dims[0] / n_heads / 2, dims[1..].iter().product::<usize>());
    let heads = tensor.reshape((n_heads, 2, rows, rest)).unwrap().transpose(1, 2).unwrap();
    heads.contiguous().unwrap().reshape(dims).unwrap()
}

/// Divisors of the frequencies, as the converter computes them from Llama 3.1's scaling.
fn rope_freqs(config: &serde_json::Value) -> QTensor {
    let rope = &config["rope_parameters"];
    let number = |field: &str| rope[field].as_f64().unwrap();
    let (low, high) = (number("low_freq_factor"), number("high_freq_factor"));
    let (factor, positions) = (number("factor"), number("original_max_position_embeddings"));
    let d = config["head_dim"].as_u64().unwrap() as usize;
    let divisor = |i: usize| {
        let wavelength = std::f64::consts::TAU * number("rope_theta").powf(2.0 * i as f64 / d as f64);
        let smooth = ((positions / wavelength - low) / (high - low)).clamp(0.0, 1.0);
        (1.0 / ((1.0 - smooth) / factor + smooth)) as f32
    };
    let divisors: Vec<f32> = (0..d / 2).map(divisor).collect();
    assert!(divisors.iter().any(|&x| x != 1.0), "the fixture is scaled");
    QTensor::quantize(&Tensor::new(divisors, &Device::Cpu).unwrap(), GgmlDType::F32).unwrap()
}

/// A list of strings.
pub(crate) fn strings(list: &[impl AsRef<str>]) -> Value {
    Value::Array(list.iter().map(|text| Value::String(text.as_ref().to_owned())).collect())
}

/// Why a file is refused.
pub(crate) fn refused(bytes: &[u8]) -> String {
    match Generator::from_gguf(bytes, LoadOptions::default()) {
        Err(Error::Model { path, problem }) => format!("{}: {problem}", path.display()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a damaged file was loaded"),
    }
}
