//! Text to token ids and back, by the model's `tokenizer.json`.

use crate::error::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use tokenizers::{
    DecodeStream, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
};

/// A `tokenizer.json`, and the file that is named in errors.
pub(super) struct TokenizerJson {
    pub(super) bytes: Vec<u8>,
    pub(super) path: PathBuf,
}

impl TokenizerJson {
    /// Reads it; all its ids must be below `vocab_size`.
    pub(super) fn load(&self, vocab_size: usize) -> Result<Tokenizer> {
        Tokenizer::from_json(&self.bytes, vocab_size, &self.path)
    }
}

/// The tokenizer of a model.
pub(super) struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
    /// Reads a `tokenizer.json` whose ids must all be below `vocab_size`; `path` is named in errors.
    fn from_json(json: &[u8], vocab_size: usize, path: &Path) -> Result<Self> {
        let problem = |problem| Error::Model { path: path.to_path_buf(), problem };
        let tokenizer = tokenizers::Tokenizer::from_bytes(json).map_err(|e| problem(e.to_string()))?;
        let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        if largest as usize >= vocab_size {
            return Err(problem(format!("token id {largest} is not below the model's vocab_size {vocab_size}")));
        }
        Ok(Self(tokenizer))
    }

    /// Ids of `text`; `special` adds what the tokenizer puts around a text (such as a beginning-of-text token).
    pub(super) fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        let encoding = self.0.encode_fast(text, special).map_err(|e| Error::invalid("text", e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of `ids`; `special` keeps tokens such as the end-of-text token.
    pub(super) fn decode(&self, ids: &[u32], special: bool) -> Result<String> {
        self.0.decode(ids, !special).map_err(|e| Error::invalid("token ids", e))
    }

    /// Text token by token.
    pub(super) fn stream(&self) -> TextStream<'_> {
        TextStream(self.0.decode_stream(true))
    }
}

/// The text that grows as ids arrive; special tokens are left out.
pub(super) struct TextStream<'a>(
    DecodeStream<'a, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>,
);

impl TextStream<'_> {
    /// The text that `id` completes; empty while a character is still incomplete.
    pub(super) fn push(&mut self, id: u32) -> Result<String> {
        Ok(self.0.step(id).map_err(|e| Error::invalid("token ids", e))?.unwrap_or_default())
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({} tokens)", self.0.get_vocab_size(true))
    }
}
