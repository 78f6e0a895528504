//! Text to token ids and back, by the model's `tokenizer.json`.
//!
//! Truncation and padding, which such a file may ask for, are left out: a prompt is read whole or refused. What the library
//! would panic on is looked for before it reads the file.

use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use tokenizers::{
    DecodeStream, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
};

/// A `tokenizer.json`, and the file that is named in errors.
pub(super) struct TokenizerJson {
    pub(super) fields: Map<String, Value>,
    pub(super) path: PathBuf,
}

impl TokenizerJson {
    /// Parses the bytes of `path`.
    pub(super) fn parse(bytes: &[u8], path: PathBuf) -> Result<Self> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self { fields, path }),
            Ok(_) => Err(Error::Model { path, problem: "no JSON object".to_owned() }),
            Err(e) => Err(Error::Model { path, problem: format!("no JSON: {e}") }),
        }
    }

    /// Makes the tokenizer; all its ids must be below `vocab_size`.
    pub(super) fn load(mut self, vocab_size: usize) -> Result<Tokenizer> {
        let problem = |problem: String| Error::Model { path: self.path.clone(), problem };
        for field in ["truncation", "padding"] {
            self.fields.shift_remove(field);
        }
        check_merges(self.fields.get("model")).map_err(problem)?;
        let json = serde_json::to_vec(&self.fields).map_err(|e| problem(e.to_string()))?;
        let tokenizer = tokenizers::Tokenizer::from_bytes(json).map_err(|e| problem(e.to_string()))?;
        let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        if largest as usize >= vocab_size {
            return Err(problem(format!("token id {largest} is not below the model's vocab_size {vocab_size}")));
        }
        Ok(Tokenizer(tokenizer))
    }
}

/// The tokenizer of a model.
pub(super) struct Tokenizer(tokenizers::Tokenizer);

impl Tokenizer {
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

    /// Every token with its id, in the order of ids: what an id stands for.
    pub(super) fn tokens(&self) -> Vec<(u32, String)> {
        let mut tokens: Vec<(u32, String)> = self.0.get_vocab(true).into_iter().map(|(text, id)| (id, text)).collect();
        tokens.sort_unstable();
        tokens
    }

    /// The id of the special token that is written `text`.
    pub(super) fn special_id(&self, text: &str) -> Option<u32> {
        let added = self.0.get_added_tokens_decoder();
        added.iter().find(|(_, token)| token.special && token.content == text).map(|(&id, _)| id)
    }

    /// The first token that is another one in `tokens`, which are ordered by id. Added tokens may be spelled otherwise.
    pub(super) fn differs_from(&self, tokens: &[&str]) -> Option<(u32, String)> {
        let own = self.0.get_vocab(false).into_iter().map(|(text, id)| (id, text));
        own.filter(|(id, text)| tokens.get(*id as usize).is_none_or(|other| other != text)).min()
    }
}

/// Refuses merges whose parts, or what they make, are no tokens: the library takes them to be before it looks.
fn check_merges(model: Option<&Value>) -> std::result::Result<(), String> {
    let field = |name: &str| model.and_then(|model| model.get(name));
    let (Some(Value::Object(vocab)), Some(Value::Array(merges))) = (field("vocab"), field("merges")) else {
        return Ok(());
    };
    let prefix = field("continuing_subword_prefix").and_then(Value::as_str).unwrap_or_default();
    let vocab: HashSet<&str> = vocab.keys().map(String::as_str).collect();
    let mut made = String::new();
    for merge in merges {
        let parts = match merge {
            Value::String(parts) if parts.starts_with("#version") => continue,
            Value::String(parts) => parts.split_once(' '),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(left), Value::String(right)] => Some((left.as_str(), right.as_str())),
                _ => None,
            },
            _ => None,
        };
        let Some((left, right)) = parts else { return Err(format!("merge {merge} is no pair of tokens")) };
        let Some(rest) = right.strip_prefix(prefix) else {
            return Err(format!("merge {merge}: the second does not begin with {prefix:?}"));
        };
        made.clear();
        made.extend([left, rest]);
        if let Some(missing) = [left, right, &made].into_iter().find(|token| !vocab.contains(token)) {
            return Err(format!("merge {merge}: {missing:?} is no token"));
        }
    }
    Ok(())
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
