//! The generator: a loaded model, its tokenizer and its fingerprint, shared by any number of sessions.

use super::chat_template::{self, Chat, ChatTemplate};
use super::config::ModelConfig;
use super::decoder::Decoder;
use super::fingerprint::fingerprint;
use super::kv_cache::KvNumbers;
use super::model_files::{ModelFiles, Parts, read_gguf, read_path};
use super::precision::{LoadOptions, WeightsInfo};
use super::room::Rooms;
use super::session::{Session, SessionOptions};
use super::tokenizer::Tokenizer;
use crate::error::{Error, Result};
use lagdb_format::ModelFingerprint;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A loaded model. Cloning shares the weights; sessions on several threads share them too.
#[derive(Clone, Debug)]
pub struct Generator(Arc<Model>);

#[derive(Debug)]
struct Model {
    decoder: Decoder,
    tokenizer: Option<Tokenizer>,
    chat_template: Option<ChatTemplate>,
    fingerprint: ModelFingerprint,
    rooms: Arc<Rooms>,
}

impl Generator {
    /// Loads a model directory as published for transformers: `config.json`, `model.safetensors` or the shards of
    /// `model.safetensors.index.json`, and where they exist `tokenizer.json`, `generation_config.json`, and the chat template
    /// of `chat_template.jinja` or `tokenizer_config.json`. Or one file that ends in `.gguf`, with tokenizer and chat template
    /// in its metadata.
    ///
    /// Weights stored as f32, f16 or bf16 are computed in f32 on the CPU; [`load_with`](Self::load_with) quantizes them.
    /// A GGUF's quantized tensors are computed as they are.
    ///
    /// # Errors
    /// [`Error::Model`] naming the file that is missing, damaged or not understood; [`Error::Io`] when the operating
    /// system refuses.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(path, LoadOptions::default())
    }

    /// As [`load`](Self::load), with matrices held as `options` say.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(path: impl AsRef<Path>, options: LoadOptions) -> Result<Self> {
        Self::build(read_path(path.as_ref())?, options)
    }

    /// Loads the bytes of a GGUF file, with matrices held as `options` say.
    ///
    /// # Errors
    /// As [`load`](Self::load); the file is called `model.gguf`.
    pub fn from_gguf(bytes: &[u8], options: LoadOptions) -> Result<Self> {
        Self::build(read_gguf(bytes)?, options)
    }

    /// Loads a model from bytes, such as those of `include_bytes!`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_files(files: ModelFiles<'_>) -> Result<Self> {
        Self::from_files_with(files, LoadOptions::default())
    }

    /// As [`from_files`](Self::from_files), with matrices held as `options` say.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_files_with(files: ModelFiles<'_>, options: LoadOptions) -> Result<Self> {
        Self::build(files.read()?, options)
    }

    pub(super) fn build(parts: Parts<'_>, LoadOptions { precision }: LoadOptions) -> Result<Self> {
        let Parts { config, mut weights, tokenizer, chat_template } = parts;
        let (decoder, digest) = Decoder::new(config, weights.as_mut(), precision)?;
        let fingerprint = fingerprint(decoder.config(), digest, tokenizer.as_ref());
        Ok(Self(Arc::new(Model { decoder, tokenizer, chat_template, fingerprint, rooms: Arc::default() })))
    }

    /// A new session; `options` says what comes first and what is kept for capture.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::ContextLimit`] when the preamble does not fit the model.
    pub fn session(&self, options: SessionOptions) -> Result<Session> {
        Session::new(self.clone(), options)
    }

    /// Which KV logs this model can read.
    pub fn fingerprint(&self) -> &ModelFingerprint {
        &self.0.fingerprint
    }

    /// What the model is.
    pub fn config(&self) -> &ModelConfig {
        self.0.decoder.config()
    }

    /// As what its weights are held.
    pub fn weights(&self) -> &WeightsInfo {
        self.0.decoder.weights()
    }

    /// As what sessions hold keys and values where nothing is asked for: f16 for quantized matrices on a machine that widens f16
    /// many at a time, f32 for others.
    pub fn default_kv_numbers(&self) -> KvNumbers {
        let is_quantized = self.weights().types.iter().any(|share| share.name != "F32");
        if is_quantized { KvNumbers::of_quantized() } else { KvNumbers::F32 }
    }

    /// Token ids of `text`; `special` adds what the tokenizer puts around a text, such as a beginning-of-text token.
    ///
    /// # Errors
    /// [`Error::Model`] when the model has no tokenizer.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>> {
        self.tokenizer()?.encode(text, special)
    }

    /// Text of `ids`; `special` keeps tokens such as the end-of-text token.
    ///
    /// # Errors
    /// [`Error::Model`] when the model has no tokenizer.
    pub fn decode(&self, ids: &[u32], special: bool) -> Result<String> {
        self.tokenizer()?.decode(ids, special)
    }

    /// The id of the special token that is written `text`, such as an end-of-turn token.
    ///
    /// # Errors
    /// [`Error::Model`] when the model has no tokenizer.
    pub fn special_id(&self, text: &str) -> Result<Option<u32>> {
        Ok(self.tokenizer()?.special_id(text))
    }

    /// What the tokenizer puts before a text: a beginning-of-text token, or nothing.
    ///
    /// # Errors
    /// [`Error::Model`] when the tokenizer fails.
    pub(super) fn beginning_ids(&self) -> Result<Vec<u32>> {
        if !self.has_tokenizer() {
            return Ok(Vec::new());
        }
        let (whole, bare) = (self.encode("a", true)?, self.encode("a", false)?);
        let n = (0..whole.len()).find(|&i| whole[i..].starts_with(&bare));
        Ok(whole[..n.unwrap_or(0)].to_vec())
    }

    /// A conversation as this model wants it written, special tokens spelled out: encode it without what the tokenizer puts
    /// around a text, `encode(text, false)`.
    ///
    /// # Errors
    /// [`Error::Model`] when the model has no chat template, or one that is damaged, not understood or takes too much time or
    /// memory; [`Error::Invalid`] in the template's words when it refuses the messages.
    pub fn chat(&self, chat: &Chat<'_>) -> Result<String> {
        self.chat_template()?.render(chat)
    }

    /// Whether the model came with a chat template that can be read; whether it is understood, only [`chat`](Self::chat) says. A
    /// model is loaded all the same: it continues text.
    ///
    /// # Errors
    /// [`Error::Model`] naming the file and what is wrong with it.
    pub fn check_chat_template(&self) -> Result<()> {
        self.chat_template()?.source().map(drop)
    }

    fn chat_template(&self) -> Result<&ChatTemplate> {
        self.0.chat_template.as_ref().ok_or_else(|| Error::Model {
            path: PathBuf::from(chat_template::CONFIG_FILE),
            problem: "the model came without a chat template".to_owned(),
        })
    }

    /// Whether text can be given and asked for.
    pub fn has_tokenizer(&self) -> bool {
        self.0.tokenizer.is_some()
    }

    pub(super) fn decoder(&self) -> &Decoder {
        &self.0.decoder
    }

    /// What sessions that ended left.
    pub(super) fn rooms(&self) -> &Arc<Rooms> {
        &self.0.rooms
    }

    pub(super) fn tokenizer(&self) -> Result<&Tokenizer> {
        self.0.tokenizer.as_ref().ok_or_else(|| Error::Model {
            path: PathBuf::from("tokenizer.json"),
            problem: "is needed for text and was not loaded; this model takes token ids only".to_owned(),
        })
    }
}
