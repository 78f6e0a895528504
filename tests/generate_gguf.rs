//! A GGUF file is the model it was converted from: same logits, same keys, same fingerprint; a damaged one is refused.

use crate::generate_support::gguf::{Converted, refused};
use crate::generate_support::*;
use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use lagdb::Error;
use lagdb::format::{ElementType, KvRead};
use lagdb::generate::config::RopeScaling;
use lagdb::generate::{Generator, LoadOptions, WeightPrecision};
use proptest::prelude::*;
use std::sync::LazyLock;

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
/// order, whatever the file's, and neither wider vectors nor divisors instead of a scaling make it another.
#[test]
fn a_kv_log_is_read_by_either_copy() {
    for family in FAMILIES {
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

/// Other divisors than those Llama 3.x publishes stay divisors, and are another model.
#[test]
fn divisors_of_another_scaling_are_another_rope() {
    let mut file = Converted::of("llama3", GgmlDType::F16);
    let (_, divisors) = file.tensors.iter_mut().find(|(name, _)| name == "rope_freqs.weight").unwrap();
    let mut numbers = divisors.dequantize(&Device::Cpu).unwrap().to_vec1::<f32>().unwrap();
    numbers[0] *= 1.001;
    *divisors = QTensor::quantize(&Tensor::new(numbers, &Device::Cpu).unwrap(), GgmlDType::F32).unwrap();
    let other = file.load();
    assert!(matches!(other.config().rope.scaling, RopeScaling::Divided(_)));
    assert_eq!(model("llama3").fingerprint().mismatch(other.fingerprint()), Some("rope"));
}

/// Some converters write the output projection of a tied model too: the same numbers twice are the same model.
#[test]
fn a_head_written_twice_is_tied() {
    let mut file = Converted::of("qwen3", GgmlDType::F16);
    let tied = file.load();
    assert!(tied.config().tied_embeddings, "the fixture is tied");
    let table = file.tensors.iter().find(|(name, _)| name == "token_embd.weight").unwrap();
    let table = QTensor::quantize(&table.1.dequantize(&Device::Cpu).unwrap(), GgmlDType::F16).unwrap();
    file.tensors.push(("output.weight".into(), table));
    let twice = file.load();
    assert!(!twice.config().tied_embeddings);
    assert_eq!(tied.fingerprint(), twice.fingerprint());
    let ids = tokens(9, 1);
    assert_eq!(logits(&tied, &ids), logits(&twice, &ids));
}

/// The biases of queries and keys are rows too, and lie in the order of the rows.
#[test]
fn biases_are_put_back_in_order() {
    for family in ["llama", "smollm3"] {
        let files = with_biases(family);
        let safetensors = files.load().unwrap();
        let gguf = Converted::of_files(family, &files, GgmlDType::F16).load();
        let ids = tokens(20, 2);
        let distance_without = distance(&logits(&safetensors, &ids), &logits(&model(family), &ids));
        assert!(distance_without > 0.01, "{family}: the biases do something");
        let distance = distance(&logits(&safetensors, &ids), &logits(&gguf, &ids));
        assert!(distance < 1e-4, "{family}: {distance}");
        assert_eq!(safetensors.fingerprint(), gguf.fingerprint(), "{family}");
    }
}

/// The fixture of `family` with a bias in every projection of attention.
fn with_biases(family: &str) -> Files {
    let files = Files::of(family);
    let mut tensors = candle_core::safetensors::load_buffer(&files.weights, &Device::Cpu).unwrap();
    let matrices: Vec<(String, usize)> =
        tensors.iter().filter(|(name, _)| name.contains("self_attn.")).map(|(n, t)| (n.clone(), t.dims()[0])).collect();
    for (name, width) in matrices {
        let bias: Vec<f32> = (0..width).map(|i| ((i * 29 + name.len()) % 17) as f32 / 8.0 - 1.0).collect();
        tensors.insert(name.replace(".weight", ".bias"), Tensor::new(bias, &Device::Cpu).unwrap());
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    candle_core::safetensors::save(&tensors, file.path()).unwrap();
    let config = files.config.replace("\"attention_bias\": false", "\"attention_bias\": true");
    assert_ne!(config, files.config);
    Files { config, weights: std::fs::read(file.path()).unwrap(), ..files }
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
    assert_eq!(stored.fingerprint(), quantized.fingerprint());
    let exact = Generator::from_gguf(&file.bytes(), LoadOptions { precision: WeightPrecision::F32 }).unwrap();
    assert_eq!(exact.weights().types[0].name, "F32");
    assert_eq!(exact.fingerprint().mismatch(stored.fingerprint()), Some("weights"));
    assert!(stored.weights().requantized.is_empty());
    assert_eq!(exact.weights().requantized.len(), exact.weights().types[0].n_matrices);
    assert!(exact.weights().to_string().contains(" were Q8_0 and are F32"), "{}", exact.weights());
}

/// Small files that go different ways: plain rows with norms of heads; interleaved rows with biases, divisors of the
/// frequencies, and a tokenizer.
static SMALL: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let interleaved = Converted::of_files("llama3", &with_biases("llama3"), GgmlDType::Q8_0);
    [Converted::of("qwen3", GgmlDType::Q8_0).bytes(), interleaved.with_byte_level("llama-bpe", &[]).bytes()]
});

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
    assert!(changed("llama.rope.scale_linear", Value::F32(4.0)).contains("llama.rope.scale_linear is not known"));
    assert!(refused(b"GGUE").contains("does not begin with GGUF"));
    let mut version = file.bytes();
    version[4] = 9;
    assert!(refused(&version).contains("version 9"));
}

#[test]
fn a_truncated_file_is_refused_with_the_field() {
    let bytes = &SMALL[0];
    for n in (0..2048).step_by(7).chain((2048..bytes.len()).step_by(997)) {
        let message = refused(&bytes[..n]);
        assert!(message.starts_with("model.gguf: "), "{n}: {message}");
    }
    let mut lengths = bytes.clone();
    lengths[24..32].copy_from_slice(&(1u64 << 40).to_le_bytes());
    assert!(refused(&lengths).contains("metadata key at byte 32: 1099511627776"), "{}", refused(&lengths));
}

/// `file` with the first `from` in its header replaced by `to`, which is as long.
fn patched(file: &Converted, from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = file.bytes();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

/// candle cuts zero bytes off, so a key that was none became one and divided by zero.
#[test]
fn a_name_with_a_zero_byte_is_refused() {
    let file = Converted::of("qwen3", GgmlDType::Q8_0).with("general.alignment#", Value::U32(0));
    let message = refused(&patched(&file, b"general.alignment#", b"general.alignment\0"));
    assert!(
        message.contains("general.alignment\\0 at byte") && message.contains("a name with a zero byte"),
        "{message}"
    );
}

#[test]
fn a_name_stands_for_one_thing() {
    let file = Converted::of("qwen3", GgmlDType::Q8_0);
    let message = refused(&patched(&file, b"blk.1.attn_k.weight", b"blk.0.attn_k.weight"));
    assert!(message.contains("blk.0.attn_k.weight at byte") && message.contains("there twice"), "{message}");
    let message = refused(&patched(&file, b"qwen3.block_count", b"qwen3.block_coun\x1b"));
    assert!(!message.contains('\x1b'), "{message}");
}

/// One block of numbers that is every matrix of a thousand layers: a file of a megabyte, a model of gigabytes.
#[test]
fn no_byte_belongs_to_two_tensors() {
    let file = Converted::of("qwen3", GgmlDType::Q8_0);
    let mut bytes = file.bytes();
    let name = b"blk.1.attn_k.weight";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    // Number of dimensions, two of them, type; then the offset.
    let offset = at + 4 + 16 + 4;
    bytes[offset..offset + 8].copy_from_slice(&0u64.to_le_bytes());
    let message = refused(&bytes);
    assert!(message.contains("its bytes are those of tensor"), "{message}");
}

/// llama.cpp writes vectors as F32; a quantized one in an interleaved file was moved by rows that it does not have.
#[test]
fn a_quantized_vector_is_refused() {
    for family in ["llama", "qwen2"] {
        let mut bytes = Converted::of_files("llama", &with_biases("llama"), GgmlDType::Q8_0).bytes();
        let name = b"blk.0.attn_q.bias";
        let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len();
        let kind = at + 4 + 8;
        assert_eq!(bytes[kind..kind + 4], [0; 4], "F32");
        bytes[kind] = if family == "llama" { 8 } else { 2 };
        assert!(refused(&bytes).contains("blk.0.attn_q.bias at byte"), "{}", refused(&bytes));
        assert!(refused(&bytes).contains("a quantized vector"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_headers_do_not_panic(
        file in 0usize..2,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = SMALL[file].clone();
        let header = bytes.len().min(12_000);
        for (at, value) in changes {
            bytes[at.index(header)] = value;
        }
        match Generator::from_gguf(&bytes, LoadOptions::default()) {
            Ok(generator) => prop_assert!(generator.config().vocab_size > 0),
            Err(error) => prop_assert!(matches!(error, Error::Model { .. }), "{error}"),
        }
    }
}
