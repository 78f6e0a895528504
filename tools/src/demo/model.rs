//! The demo model, inside the executable: no file to find, no network to ask.

use lagdb::Result;
use lagdb::generate::{Generator, ModelFiles};

/// The model trained by `lagdb train-demo-model`; its card is `tools/demo-model/MODEL_CARD.md`.
///
/// # Errors
/// Never for a build whose tests passed.
pub fn embedded_model() -> Result<Generator> {
    Generator::from_files(ModelFiles {
        config: include_bytes!("../../demo-model/kv/config.json"),
        weights: &[include_bytes!("../../demo-model/kv/model.safetensors")],
        tokenizer: Some(include_bytes!("../../demo-model/kv/tokenizer.json")),
        generation_config: None,
        tokenizer_config: None,
    })
}
