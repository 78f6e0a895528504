//! The files of a model, on disk as published or in memory.

use super::chat_template::{self, ChatTemplate};
use super::config::ModelConfig;
use super::gguf;
use super::tokenizer::{Tokenizer, TokenizerJson};
use super::weights::{TensorSource, Weights};
use crate::error::{Error, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

/// The most bytes of a JSON file that are read; a tokenizer of 250,000 tokens has about 35 MB.
const MAX_JSON_BYTES: u64 = 256 << 20;

/// The bytes of a model's files, for a model that is part of a program.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModelFiles<'a> {
    /// `config.json`.
    pub config: &'a [u8],
    /// `model.safetensors`, or its shards in any order.
    pub weights: &'a [&'a [u8]],
    /// `tokenizer.json`; without it the generator takes and gives token ids only.
    pub tokenizer: Option<&'a [u8]>,
    /// `generation_config.json`.
    pub generation_config: Option<&'a [u8]>,
    /// `tokenizer_config.json`, for its chat template.
    pub tokenizer_config: Option<&'a [u8]>,
}

/// Reads the bytes of a GGUF file.
pub(super) fn read_gguf(bytes: &[u8]) -> Result<Parts<'_>> {
    gguf::read(Cursor::new(bytes), None)
}

/// What is read from files before a decoder is built.
pub(super) struct Parts<'a> {
    pub(super) config: ModelConfig,
    pub(super) weights: Box<dyn TensorSource + 'a>,
    pub(super) tokenizer: Option<Tokenizer>,
    pub(super) chat_template: Option<ChatTemplate>,
}

impl<'a> ModelFiles<'a> {
    /// Reads the bytes; errors name the usual file names.
    pub(super) fn read(&self) -> Result<Parts<'a>> {
        let config = config(Path::new("."), self.config, self.generation_config)?;
        let mut weights = Weights::new("model.safetensors");
        for (i, &bytes) in self.weights.iter().enumerate() {
            let name = if self.weights.len() == 1 { "model.safetensors".to_owned() } else { format!("shard {i}") };
            weights.add(Path::new(&name), Cursor::new(bytes))?;
        }
        let tokenizer = self.tokenizer.map(|json| TokenizerJson::parse(json, PathBuf::from("tokenizer.json")));
        let tokenizer = tokenizer.transpose()?.map(|json| json.load(config.vocab_size)).transpose()?;
        let chat_template = ChatTemplate::read(None, self.tokenizer_config, Path::new("."));
        Ok(Parts { config, weights: Box::new(weights), tokenizer, chat_template })
    }
}

/// Reads a GGUF file, or a model directory.
pub(super) fn read_path(path: &Path) -> Result<Parts<'static>> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("gguf") => {
            gguf::read(BufReader::new(open(path)?), Some(path))
        }
        _ => read_dir(path),
    }
}

fn read_dir(dir: &Path) -> Result<Parts<'static>> {
    let generation_config = read_if_there(&dir.join("generation_config.json"))?;
    let config = config(dir, &read_json(&dir.join("config.json"))?, generation_config.as_deref())?;
    let tokenizer = read_tokenizer(dir.join("tokenizer.json"))?;
    let tokenizer = tokenizer.map(|json| json.load(config.vocab_size)).transpose()?;
    let own = read_if_there(&dir.join(chat_template::OWN_FILE))?;
    let tokenizer_config = read_if_there(&dir.join(chat_template::CONFIG_FILE))?;
    let chat_template = ChatTemplate::read(own.as_deref(), tokenizer_config.as_deref(), dir);
    Ok(Parts { config, weights: Box::new(read_weights(dir)?), tokenizer, chat_template })
}

fn config(dir: &Path, json: &[u8], generation_config: Option<&[u8]>) -> Result<ModelConfig> {
    let mut config = ModelConfig::from_json(json, &dir.join("config.json"))?;
    if let Some(json) = generation_config {
        config.add_eos_of(json, &dir.join("generation_config.json"))?;
    }
    Ok(config)
}

fn read_weights(dir: &Path) -> Result<Weights<'static>> {
    let single = dir.join("model.safetensors");
    if single.is_file() {
        let mut weights = Weights::new(&single);
        weights.add(&single, open(&single)?)?;
        return Ok(weights);
    }
    let index = dir.join("model.safetensors.index.json");
    if !index.is_file() {
        let problem = "is missing, and so is model.safetensors.index.json".to_owned();
        return Err(Error::Model { path: single, problem });
    }
    let mut weights = Weights::new(&index);
    for shard in shards(&index)? {
        let path = dir.join(shard);
        weights.add(&path, open(&path)?)?;
    }
    Ok(weights)
}

/// The file names in `weight_map`, which must lie in the directory of the index itself.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let problem = |problem: String| Error::Model { path: index.to_path_buf(), problem };
    let json: Value = serde_json::from_slice(&read_json(index)?).map_err(|e| problem(format!("no JSON: {e}")))?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let files = map.ok_or_else(|| problem("weight_map is missing".to_owned()))?.values();
    files
        .map(|file| match file.as_str() {
            Some(name) if Path::new(name).file_name().is_some_and(|own| own == name) => Ok(name.to_owned()),
            _ => Err(problem(format!("{file} is no file name"))),
        })
        .collect()
}

/// A `tokenizer.json`, if there is one.
pub(super) fn read_tokenizer(path: PathBuf) -> Result<Option<TokenizerJson>> {
    read_if_there(&path)?.map(|bytes| TokenizerJson::parse(&bytes, path)).transpose()
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    path.is_file().then(|| read_json(path)).transpose()
}

fn read_json(path: &Path) -> Result<Vec<u8>> {
    let n_bytes = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
    if n_bytes > MAX_JSON_BYTES {
        let problem = format!("{n_bytes} bytes; at most {MAX_JSON_BYTES} are read");
        return Err(Error::Model { path: path.to_path_buf(), problem });
    }
    read(path)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| refused(path, source))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|source| refused(path, source))
}

fn refused(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::NotFound => Error::Model { path: path.to_path_buf(), problem: "is missing".to_owned() },
        _ => Error::io("read", path, source),
    }
}
