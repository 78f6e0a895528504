//! The files of a model, as bytes that nobody chose.

use lagdb::generate::{Generator, LoadOptions, ModelConfig};
use std::path::Path;

/// Loads bytes as a GGUF file; a model that loads reads and writes text.
///
/// # Panics
/// When a parser does.
pub fn model_gguf(data: &[u8]) {
    let Ok(generator) = Generator::from_gguf(data, LoadOptions::default()) else { return };
    // Without a tokenizer it has no text.
    if let Ok(ids) = generator.encode("Hello, I'LL pay 12345\n\n for <|im_end|> é", true) {
        drop(generator.decode(&ids, false));
    }
}

/// Reads bytes as a `config.json`, and as a `generation_config.json` for what it says.
///
/// # Panics
/// When a parser does, or when a configuration that was read holds an absurd size.
pub fn model_config(data: &[u8]) {
    let Ok(mut config) = ModelConfig::from_json(data, Path::new("config.json")) else { return };
    assert!(config.head_dim.is_multiple_of(2) && config.n_heads.is_multiple_of(config.n_kv_heads));
    assert!((1..=1 << 20).contains(&config.hidden_size) && (1..=1024).contains(&config.layers.len()));
    drop(config.add_eos_of(data, Path::new("generation_config.json")));
}

/// Reads bytes as a `tokenizer.json`; what is read encodes and decodes.
///
/// # Panics
/// When the library does.
pub fn model_tokenizer(data: &[u8]) {
    lagdb::generate::fuzzing::tokenizer(data);
}

/// Renders bytes as a chat template.
///
/// # Panics
/// When the engine does; libFuzzer's own limits catch one that takes time or memory without bound.
pub fn model_chat_template(data: &[u8]) {
    lagdb::generate::fuzzing::chat_template(data);
}
