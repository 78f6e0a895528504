//! Who acts, judges and writes: the language model inside the executable, or the teacher's rules, spoken with alike.

use super::settings::Mind;
use super::symbolic::Symbolic;
use crate::failure::Failure;
use lagdb::agent::{Conversation, ConversationOptions, LanguageModel};
use lagdb::format::ModelFingerprint;
use lagdb::generate::{Generator, ModelFiles};
use std::path::Path;
use std::sync::Arc;

/// A model that many agents speak with.
#[derive(Clone)]
pub(super) struct Speaker(pub(super) Arc<dyn LanguageModel>);

impl LanguageModel for Speaker {
    fn identity(&self) -> String {
        self.0.identity()
    }

    fn fingerprint(&self) -> Option<&ModelFingerprint> {
        self.0.fingerprint()
    }

    fn open(&self, options: &ConversationOptions) -> lagdb::Result<Box<dyn Conversation>> {
        self.0.open(options)
    }
}

/// Both minds.
#[derive(Clone)]
pub(super) struct Minds {
    model: Speaker,
    symbolic: Speaker,
}

impl Minds {
    /// With the model in a directory, or the one inside the executable.
    ///
    /// # Errors
    /// When the model cannot be read.
    pub(super) fn load(directory: Option<&Path>) -> Result<Self, Failure> {
        let model = match directory {
            Some(directory) => Generator::load(directory)?,
            None => embedded_model()?,
        };
        Ok(Self { model: Speaker(Arc::new(model)), symbolic: Speaker(Arc::new(Symbolic)) })
    }

    /// Which weights the model has.
    pub(super) fn fingerprint(&self) -> String {
        self.model.fingerprint().map_or_else(|| self.model.identity(), |fingerprint| fingerprint.id().to_string())
    }

    /// The one an arm asks for.
    pub(super) fn get(&self, mind: Mind) -> Speaker {
        match mind {
            Mind::Model => self.model.clone(),
            Mind::Symbolic => self.symbolic.clone(),
        }
    }
}

/// The model trained by `lagdb train-demo-model --world tool-choice`; its card is `tools/demo-model/tool-choice/`.
///
/// # Errors
/// Never for a build whose tests passed.
pub fn embedded_model() -> lagdb::Result<Generator> {
    Generator::from_files(ModelFiles {
        config: include_bytes!("../../demo-model/tool-choice/config.json"),
        weights: &[include_bytes!("../../demo-model/tool-choice/model.safetensors")],
        tokenizer: Some(include_bytes!("../../demo-model/tool-choice/tokenizer.json")),
        generation_config: None,
        tokenizer_config: None,
    })
}
