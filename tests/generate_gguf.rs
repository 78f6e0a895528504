//! A GGUF file is the model it was converted from: same logits, same keys, same fingerprint; a damaged one is refused.

use crate::generate_support::*;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use lagdb::Error;
use lagdb::format::{ElementType, KvRead};
use lagdb::generate::{Generator, LoadOptions, WeightPrecision};
use proptest::prelude::*;
use std::collections::HashMap;
use std::io::Cursor;
use std::sync::LazyLock;

/// What llama.cpp's converter makes of a fixture, its matrices as `dtype`.
struct Converted {
    metadata: Vec<(String, Value)>,
    tensors: Vec<(String, QTensor)>,
}

impl Converted {
    fn of(family: &str, dtype: GgmlDType) -> Self {
        let config: serde_json::Value = serde_json::from_str(&Files::of(family).config).unwrap();
        let architecture = match family {
            "llama3" | "mistral" | "mistral_window" => "llama",
            other => other,
        };
        let tensors = candle_core::safetensors::load(dir(family).join("model.safetensors"), &Device::Cpu).unwrap();
        let heads = [("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")];
        let heads = heads.map(|(name, field)| (name, config[field].as_u64().unwrap() as usize));
        let mut converted = Self { metadata: metadata(&config, architecture), tensors: Vec::new() };
        for (name, tensor) in tensors {
            let interleave = ["llama", "smollm3"].contains(&architecture);
            let n_heads = heads.iter().find(|(projection, _)| name.contains(projection) && interleave);
            let tensor = n_heads.map_or(tensor.clone(), |&(_, n_heads)| interleaved(&tensor, n_heads));
            let dtype = if tensor.rank() == 1 { tensor_type(&tensor) } else { dtype };
            converted.tensors.push((gguf_name(&name), QTensor::quantize(&tensor, dtype).unwrap()));
        }
        if family == "llama3" {
            converted.tensors.push(("rope_freqs.weight".into(), rope_freqs(&config)));
        }
        converted.tensors.sort_by(|a, b| a.0.cmp(&b.0));
        converted
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let metadata: Vec<(&str, &Value)> = self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut file = Cursor::new(Vec::new());
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
        file.into_inner()
    }

    fn load(&self) -> Generator {
        Generator::from_gguf(&self.bytes(), LoadOptions::default()).unwrap()
    }
}

/// Norms keep the type that they have, so that digests can be compared.
fn tensor_type(tensor: &Tensor) -> GgmlDType {
    if tensor.dtype() == candle_core::DType::F16 { GgmlDType::F16 } else { GgmlDType::F32 }
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

#[test]
fn logits_are_those_of_the_safetensors() {
    for family in FAMILIES {
        let reference = reference(family);
        for dtype in [GgmlDType::F32, GgmlDType::F16] {
            let generator = Converted::of(family, dtype).load();
            let distance = distance(&logits(&generator, &reference.ids), &reference.logits);
            assert!(distance < 1e-4, "{family}, {dtype:?}: {distance}");
        }
    }
}

/// The fixtures are f16, so the f16 file holds the same numbers and is the same model: rows of queries and keys lie in one
/// order, whatever the file's.
#[test]
fn a_kv_log_is_read_by_either_copy() {
    for family in FAMILIES.into_iter().filter(|&family| family != "llama3") {
        let (safetensors, gguf) = (model(family), Converted::of(family, GgmlDType::F16).load());
        assert_eq!(safetensors.config(), gguf.config(), "{family}");
        assert_eq!(safetensors.fingerprint(), gguf.fingerprint(), "{family}");
        let (one, two) =
            (log_of(&safetensors, &tokens(12, 3), ElementType::F32), log_of(&gguf, &tokens(12, 3), ElementType::F32));
        let mut keys = [vec![0.0; 12 * one.geometry().row_width()], vec![0.0; 12 * one.geometry().row_width()]];
        one.read_keys(1, &mut keys[0]).unwrap();
        two.read_keys(1, &mut keys[1]).unwrap();
        assert_eq!(keys[0], keys[1], "{family}");
        session(&gguf).attach(&one).unwrap();
    }
}

#[test]
fn quantized_tensors_stay_as_they_are() {
    let reference = reference("llama");
    let file = Converted::of("llama", GgmlDType::Q8_0);
    let stored = file.load();
    assert_eq!(stored.weights().types[0].name, "Q8_0");
    let quantized = Generator::load_with(dir("llama"), LoadOptions { precision: WeightPrecision::Q8_0 }).unwrap();
    // Interleaved rows are moved as whole blocks, so both hold the same blocks.
    assert_eq!(logits(&stored, &reference.ids), logits(&quantized, &reference.ids));
    let exact = Generator::from_gguf(&file.bytes(), LoadOptions { precision: WeightPrecision::F32 }).unwrap();
    assert_eq!(exact.weights().types[0].name, "F32");
    assert_eq!(exact.fingerprint().mismatch(stored.fingerprint()), Some("weights"));
}

#[test]
fn a_tokenizer_is_made_from_the_metadata() {
    let strings = |list: &[&str]| Value::Array(list.iter().map(|text| Value::String((*text).to_owned())).collect());
    let mut vocab: Vec<String> = ('a'..='z').map(String::from).collect();
    vocab.extend(["Ġ", "he", "hel", "lo", "hello", "<end>"].map(String::from));
    let vocab: Vec<&str> = vocab.iter().map(String::as_str).collect();
    let end = vocab.len() as u32 - 1;
    let types = (0..vocab.len() as i32).map(|id| Value::I32(if id == end as i32 { 3 } else { 1 })).collect();
    let file = Converted::of("llama", GgmlDType::F16)
        .with("tokenizer.ggml.model", Value::String("gpt2".into()))
        .with("tokenizer.ggml.tokens", strings(&vocab))
        .with("tokenizer.ggml.merges", strings(&["h e", "he l", "l o", "hel lo"]))
        .with("tokenizer.ggml.token_type", Value::Array(types))
        .with("tokenizer.ggml.eos_token_id", Value::U32(end))
        .with("tokenizer.ggml.eot_token_id", Value::U32(3));
    let generator = file.load();
    let ids = generator.encode("hello<end>", false).unwrap();
    assert_eq!(ids.last(), Some(&end));
    assert_eq!(generator.decode(&ids, false).unwrap().trim(), "hello");
    assert_eq!(generator.config().eos_ids, [end, 3]);
    let file = file.with("tokenizer.ggml.model", Value::String("llama".into()));
    assert!(refused(&file.bytes()).contains("\"llama\" is not read"));
}

fn refused(bytes: &[u8]) -> String {
    match Generator::from_gguf(bytes, LoadOptions::default()) {
        Err(Error::Model { path, problem }) => format!("{}: {problem}", path.display()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a damaged file was loaded"),
    }
}

static SMALL: LazyLock<Vec<u8>> = LazyLock::new(|| Converted::of("qwen3", GgmlDType::Q8_0).bytes());

#[test]
fn what_is_missing_or_unknown_is_named() {
    let file = Converted::of("llama", GgmlDType::F16);
    let changed =
        |key: &str, value| refused(&Converted { ..Converted::of("llama", GgmlDType::F16) }.with(key, value).bytes());
    assert!(changed("general.architecture", Value::String("mamba".into())).contains("\"mamba\" is not known"));
    assert!(changed("llama.block_count", Value::U32(5)).contains("tensor blk.4.attn_norm.weight is missing"));
    assert!(changed("llama.feed_forward_length", Value::U32(97)).contains("blk.0.ffn_gate.weight has shape [96, 64]"));
    assert!(changed("llama.context_length", Value::String("long".into())).contains("llama.context_length"));
    assert!(changed("llama.rope.scaling.type", Value::String("yarn".into())).contains("yarn"));
    assert!(changed("general.alignment", Value::U32(0)).contains("general.alignment is 0"));
    assert!(changed("general.alignment", Value::U32(48)).contains("general.alignment is 48"));
    assert!(refused(b"GGUE").contains("does not begin with GGUF"));
    let mut version = file.bytes();
    version[4] = 9;
    assert!(refused(&version).contains("version 9"));
}

#[test]
fn a_truncated_file_is_refused_with_the_field() {
    let bytes = &*SMALL;
    for n in (0..2048).step_by(7).chain((2048..bytes.len()).step_by(997)) {
        let message = refused(&bytes[..n]);
        assert!(message.starts_with("model.gguf: "), "{n}: {message}");
    }
    let mut lengths = bytes.clone();
    lengths[24..32].copy_from_slice(&(1u64 << 40).to_le_bytes());
    assert!(refused(&lengths).contains("metadata key at byte 32: 1099511627776"), "{}", refused(&lengths));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_headers_do_not_panic(changes in prop::collection::vec((0usize..4096, any::<u8>()), 1..4)) {
        let mut bytes = SMALL.clone();
        for (at, value) in changes {
            bytes[at] = value;
        }
        match Generator::from_gguf(&bytes, LoadOptions::default()) {
            Ok(generator) => prop_assert!(generator.config().vocab_size > 0),
            Err(error) => prop_assert!(matches!(error, Error::Model { .. }), "{error}"),
        }
    }
}
