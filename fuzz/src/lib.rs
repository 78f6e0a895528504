//! What fuzzing tries: plain functions of bytes that panic when a promise is broken.
//!
//! `fuzz_targets/` hands them to libFuzzer (`cargo +nightly fuzz run <target>`); lagdb's own tests replay the kept
//! corpus on a stable compiler. One file per area, one function per target; a new one
//! is named in [`TARGETS`], in `Cargo.toml` and in `fuzz_targets/`.

mod agent;
mod encoding;
#[cfg(feature = "generate")]
mod model;
mod power;
mod segment;
mod store;

pub use agent::agent_items;
pub use encoding::{encoding_byte_split, encoding_exponent_huffman, encoding_quantized};
#[cfg(feature = "generate")]
pub use model::{model_chat_template, model_config, model_gguf, model_tokenizer};
pub use power::store_power_cuts;
pub use segment::{footer, segment_read, segment_round_trip};
pub use store::{catalog_value, index_generation, record_decode, store_ops};

/// The body of a fuzz target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder in `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("footer", footer),
    ("segment_read", segment_read),
    ("segment_round_trip", segment_round_trip),
    ("encoding_byte_split", encoding_byte_split),
    ("encoding_exponent_huffman", encoding_exponent_huffman),
    ("encoding_quantized", encoding_quantized),
    ("record_decode", record_decode),
    ("catalog_value", catalog_value),
    ("index_generation", index_generation),
    ("agent_items", agent_items),
    ("store_ops", store_ops),
    ("store_power_cuts", store_power_cuts),
    #[cfg(feature = "generate")]
    ("model_gguf", model_gguf),
    #[cfg(feature = "generate")]
    ("model_config", model_config),
    #[cfg(feature = "generate")]
    ("model_tokenizer", model_tokenizer),
    #[cfg(feature = "generate")]
    ("model_chat_template", model_chat_template),
];
