//! The model that answers: any supported checkpoint in this process, or one behind a server on this machine.

use crate::failure::Failure;
use lagdb::Error;
use lagdb::agent::{Conversation, ConversationOptions, LanguageModel};
use lagdb::format::ModelFingerprint;
use lagdb::generate::Generator;
use std::path::Path;
use std::sync::Arc;

/// How the address of a server begins.
const SERVER: &str = "http://";

/// A model that many agents speak with.
#[derive(Clone)]
pub(super) struct Speaker {
    model: Arc<dyn LanguageModel>,
    /// The same, where it is in this process and knows its tokens.
    generator: Option<Generator>,
}

impl Speaker {
    /// The model of a directory, of a GGUF file, or of a server, as `http://127.0.0.1:8080/v1#name`.
    ///
    /// # Errors
    /// When the model cannot be read or has no tokenizer; when a server is named and this program speaks with none.
    pub(super) fn load(model: &Path) -> Result<Self, Failure> {
        if let Some(address) = model.to_str().filter(|address| address.starts_with(SERVER)) {
            return server(address);
        }
        let generator = Generator::load(model)?;
        if !generator.has_tokenizer() {
            let detail = format!("{} has no tokenizer.json, and questions are text", model.display());
            return Err(Error::invalid("--model", detail).into());
        }
        Ok(Self::local(generator))
    }

    /// A model in this process.
    pub(super) fn local(generator: Generator) -> Self {
        Self { generator: Some(generator.clone()), ..Self::of(generator) }
    }

    /// A model that is spoken with in text alone.
    pub(super) fn of(model: impl LanguageModel + 'static) -> Self {
        Self { model: Arc::new(model), generator: None }
    }

    /// Tokens of a text; 0 where the model is spoken with in text alone.
    ///
    /// # Errors
    /// When the text cannot be encoded.
    pub(super) fn n_tokens(&self, text: &str) -> Result<usize, Failure> {
        self.generator.as_ref().map_or(Ok(0), |generator| Ok(generator.encode(text, false)?.len()))
    }

    /// Tokens of a prompt, with what the tokenizer puts around it; 0 where the model is spoken with in text alone.
    ///
    /// # Errors
    /// When the text cannot be encoded.
    pub(super) fn n_prompt_tokens(&self, text: &str) -> Result<usize, Failure> {
        self.generator.as_ref().map_or(Ok(0), |generator| Ok(generator.encode(text, true)?.len()))
    }

    /// What ends an answer: the end of its line, unless the model has no word for it.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub(super) fn stops(&self) -> Result<Vec<String>, Failure> {
        let has_word = self.generator.is_none() || self.n_tokens("\n")? > 0;
        Ok(if has_word { vec!["\n".to_owned()] } else { Vec::new() })
    }
}

#[cfg(feature = "openai")]
fn server(address: &str) -> Result<Speaker, Failure> {
    let (base, name) = address.split_once('#').unwrap_or((address, "default"));
    Ok(Speaker::of(lagdb::agent::OpenAi::new(base, name)?))
}

#[cfg(not(feature = "openai"))]
fn server(address: &str) -> Result<Speaker, Failure> {
    let detail = format!("{address} is a server, and this lagdb was built without the feature openai");
    Err(Error::invalid("--model", detail).into())
}

impl LanguageModel for Speaker {
    fn identity(&self) -> String {
        self.model.identity()
    }

    fn fingerprint(&self) -> Option<&ModelFingerprint> {
        self.model.fingerprint()
    }

    fn open(&self, options: &ConversationOptions) -> lagdb::Result<Box<dyn Conversation>> {
        self.model.open(options)
    }
}
