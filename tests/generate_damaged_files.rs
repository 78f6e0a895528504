//! Damaged model files are refused with the file's name; they never panic and never allocate without bound.

use crate::generate_support::*;
use lagdb::Error;
use lagdb::generate::{Generator, Sampling};
use proptest::prelude::*;
use serde_json::{Value, json};

fn refused(files: &Files) -> String {
    match files.load() {
        Err(Error::Model { path, problem }) => format!("{}: {problem}", path.display()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("damaged files were loaded"),
    }
}

#[test]
fn truncated_configurations_are_refused() {
    let files = Files::of("llama");
    for n in 0..files.config.trim_end().len() {
        let message = refused(&Files { config: files.config[..n].to_owned(), ..files.clone() });
        assert!(message.starts_with("./config.json: no JSON"), "{message}");
    }
}

#[test]
fn truncated_weights_are_refused() {
    let files = Files::of("llama");
    let header = 8 + u64::from_le_bytes(files.weights[..8].try_into().unwrap()) as usize;
    for n in (0..header).step_by(13).chain((header..files.weights.len()).step_by(4099)) {
        let message = refused(&Files { weights: files.weights[..n].to_vec(), ..files.clone() });
        assert!(message.starts_with("model.safetensors: no safetensors"), "{n}: {message}");
    }
}

#[test]
fn a_missing_or_misshapen_tensor_is_named() {
    let files = Files::of("llama");
    let missing =
        Files { config: files.config.replace("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5"), ..files.clone() };
    assert!(refused(&missing).contains("model.layers.4.input_layernorm.weight is missing"));
    let wider =
        Files { config: files.config.replace("\"intermediate_size\": 96", "\"intermediate_size\": 97"), ..files };
    assert!(refused(&wider).contains("mlp.gate_proj.weight has shape [96, 64]"), "{}", refused(&wider));
}

#[test]
fn missing_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let message = || Generator::load(dir.path()).unwrap_err().to_string();
    assert!(message().contains("config.json: is missing"), "{}", message());
    std::fs::write(dir.path().join("config.json"), Files::of("llama").config).unwrap();
    assert!(message().contains("model.safetensors: is missing"), "{}", message());
    let index = json!({"weight_map": {"a": "../model.safetensors"}}).to_string();
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    assert!(message().contains("is no file name"), "{}", message());
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let mut files = Files::of("llama").with_words();
    files.tokenizer = files.tokenizer.map(|json| json.replace("\"w95\": 95", "\"w95\": 96"));
    assert!(refused(&files).contains("token id 96"));
    files.tokenizer = Some("{}".to_owned());
    assert!(refused(&files).starts_with("tokenizer.json"));
}

/// The library that reads tokenizers takes a merge to fit into the longest token before it looks: these made it panic.
#[test]
fn merges_of_no_tokens_are_refused() {
    let bpe = |vocab: Value, merges: Value, prefix: Value| {
        let model = json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": prefix,
                           "end_of_word_suffix": null, "fuse_unk": false, "vocab": vocab, "merges": merges});
        let tokenizer = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
                               "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
                               "model": model});
        Files { tokenizer: Some(tokenizer.to_string()), ..Files::of("llama") }
    };
    let vocab = json!({"aa": 0, "bb": 1, "##c": 2});
    let refused = |merges: Value, prefix: Value| refused(&bpe(vocab.clone(), merges, prefix));
    assert!(refused(json!(["aa bb"]), Value::Null).contains("\"aabb\" is no token"));
    assert!(refused(json!([["aa", "bb"]]), Value::Null).contains("\"aabb\" is no token"));
    assert!(refused(json!(["aa b"]), json!("##")).contains("does not begin with \"##\""));
    assert!(refused(json!([["aa"]]), Value::Null).contains("no pair of tokens"));
    assert!(refused(json!([7]), Value::Null).contains("no pair of tokens"));
    let fits = bpe(json!({"a": 0, "##b": 1, "ab": 2}), json!(["#version: 0.2", "a ##b"]), json!("##"));
    assert!(fits.load().is_ok());
}

/// A prompt is read whole or refused: what the file would cut off or fill up is neither.
#[test]
fn truncation_and_padding_of_a_tokenizer_are_left_out() {
    let mut files = Files::of("llama").with_words();
    let cut = r#""truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 5}"#;
    files.tokenizer = files.tokenizer.map(|json| json.replace("\"truncation\": null", cut));
    assert_eq!(files.load().unwrap().encode("w1 w3 w4", false).unwrap(), [1, 3, 4]);
}

/// One damaged number makes every logit one that is none; greedy choice took token 0 for the likeliest then.
#[test]
fn logits_that_are_no_numbers_are_never_chosen_from() {
    let mut files = Files::of("llama");
    let at = {
        let tensors = safetensors::SafeTensors::deserialize(&files.weights).unwrap();
        let norm = tensors.tensor("model.norm.weight").unwrap();
        norm.data().as_ptr().addr() - files.weights.as_ptr().addr()
    };
    files.weights[at..at + 2].copy_from_slice(&0x7e00u16.to_le_bytes()); // f16's NaN
    let generator = files.load().unwrap();
    for sampling in [Sampling::greedy(4), Sampling::random(0.8, 1, 4)] {
        let mut session = session(&generator);
        let refused = session.generate(&tokens(5, 0), &sampling, |_| panic!("a token was chosen"));
        assert!(matches!(refused, Err(Error::NotFinite { what: "logits", row: 4 })), "{refused:?}");
    }
    let refused = session(&generator).feed_for_logits(&tokens(5, 0));
    assert!(matches!(refused, Err(Error::NotFinite { what: "logits", row: 0 })));
}

/// Anything that JSON can say.
fn hostile() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u64..70).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([1, "full_attention", null])),
        Just(json!({"rope_type": "llama3", "factor": 0, "rope_theta": 1})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_configurations_do_not_panic(family in 0..FAMILIES.len(), field in 0usize..32, value in hostile()) {
        let mut files = Files::of(FAMILIES[family]);
        let mut config: Value = serde_json::from_str(&files.config).unwrap();
        let fields = config.as_object_mut().unwrap();
        let name = fields.keys().nth(field % fields.len()).unwrap().clone();
        fields.insert(name, value);
        files.config = config.to_string();
        if let Err(error) = files.load() {
            prop_assert!(matches!(error, Error::Model { .. }), "{error}");
        }
    }

    #[test]
    fn hostile_headers_do_not_panic(byte in 0usize..4096, value in any::<u8>()) {
        let mut files = Files::of("llama");
        files.weights[byte] = value;
        if let Err(error) = files.load() {
            prop_assert!(matches!(error, Error::Model { .. }), "{error}");
        }
    }
}
