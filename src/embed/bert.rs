//! Sentence embedders of the BERT family, such as all-MiniLM-L6-v2, from a local directory.
//!
//! The directory is as sentence-transformers publishes it: `config.json`, `model.safetensors`, `tokenizer.json`, and where they
//! exist `sentence_bert_config.json` (how many tokens of a text are read) and `1_Pooling/config.json` (whether the hidden states
//! of all tokens are averaged, or that of the first is taken). Nothing is fetched. The name of the space has a digest of all
//! of them: other weights, another tokenizer or another pooling are another space.
//!
//! Reimers and Gurevych, *Sentence-BERT*, 2019, <https://arxiv.org/abs/1908.10084>.

use crate::record::{Embedding, EmbeddingSpace};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, HiddenAct, PositionEmbeddingType};
use lagdb_format::Digest;
use serde_json::{Map, Value};
use std::fmt;
use std::path::{Path, PathBuf};
use tokenizers::{Tokenizer, TruncationParams};

/// The most bytes of a JSON file that are read.
const MAX_JSON_BYTES: u64 = 64 << 20;
/// Hexadecimal digits of the digest in the name of a space.
const ID_LEN: usize = 16;

/// A loaded sentence embedder.
pub struct BertEmbedder {
    model: BertModel,
    tokenizer: Tokenizer,
    pooling: Pooling,
    max_tokens: usize,
    space: EmbeddingSpace,
}

/// What becomes of the hidden states of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pooling {
    Mean,
    First,
}

impl BertEmbedder {
    /// Loads the model in `dir`.
    ///
    /// # Errors
    /// [`Error::Model`] naming the file that is missing, damaged or not understood; [`Error::Io`] when the operating
    /// system refuses.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let files = Files::read(dir)?;
        let config = files.config()?;
        let (pooling, max_tokens) = (files.pooling()?, files.max_tokens(&config)?);
        let tokenizer = files.tokenizer(&config, max_tokens)?;
        let problem = |problem: String| Error::Model { path: dir.join(WEIGHTS), problem };
        let weights = candle_core::safetensors::load_buffer(&files.weights, &Device::Cpu);
        let weights = weights.map_err(|e| problem(format!("no safetensors: {e}")))?;
        let weights = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let model = BertModel::load(weights, &config).map_err(|e| problem(e.to_string()))?;
        let id = files.digest().to_string();
        let name = format!("bert-{}/{}", config.hidden_size, id.get(..ID_LEN).unwrap_or(&id));
        let space = EmbeddingSpace::new(name, config.hidden_size)?;
        Ok(Self { model, tokenizer, pooling, max_tokens, space })
    }

    /// Its embedding space.
    pub fn space(&self) -> &EmbeddingSpace {
        &self.space
    }

    /// How many tokens of a text are read, the two that the tokenizer puts around it included; what comes after is not.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The embedding of `text`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the text cannot be read or its embedding is no direction; [`Error::Tensor`] when it cannot be
    /// computed.
    pub fn embed(&self, text: &str) -> Result<Embedding> {
        let encoding = self.tokenizer.encode_fast(text, true).map_err(|e| Error::invalid("text", e))?;
        let ids = Tensor::new(encoding.get_ids(), &Device::Cpu)?.unsqueeze(0)?;
        let hidden = self.model.forward(&ids, &ids.zeros_like()?, None)?.squeeze(0)?;
        let pooled = match self.pooling {
            Pooling::Mean => hidden.mean(0)?,
            Pooling::First => hidden.get(0)?,
        };
        Embedding::new(&self.space, pooled.to_vec1()?)
    }
}

impl fmt::Debug for BertEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BertEmbedder({})", self.space)
    }
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const TOKENIZER: &str = "tokenizer.json";
const SENTENCES: &str = "sentence_bert_config.json";
const POOLING: &str = "1_Pooling/config.json";

/// The bytes of a directory.
struct Files {
    dir: PathBuf,
    config: Vec<u8>,
    weights: Vec<u8>,
    tokenizer: Vec<u8>,
    sentences: Option<Vec<u8>>,
    pooling: Option<Vec<u8>>,
}

impl Files {
    fn read(dir: &Path) -> Result<Self> {
        let json = |name: &str| -> Result<Vec<u8>> {
            let n_bytes = std::fs::metadata(dir.join(name)).map_or(0, |file| file.len());
            if n_bytes > MAX_JSON_BYTES {
                let problem = format!("{n_bytes} bytes; at most {MAX_JSON_BYTES} are read");
                return Err(Error::Model { path: dir.join(name), problem });
            }
            read(&dir.join(name))
        };
        let if_there = |name: &str| dir.join(name).is_file().then(|| json(name)).transpose();
        Ok(Self {
            dir: dir.to_path_buf(),
            config: json(CONFIG)?,
            weights: read(&dir.join(WEIGHTS))?,
            tokenizer: json(TOKENIZER)?,
            sentences: if_there(SENTENCES)?,
            pooling: if_there(POOLING)?,
        })
    }

    fn problem(&self, name: &str, problem: impl Into<String>) -> Error {
        Error::Model { path: self.dir.join(name), problem: problem.into() }
    }

    fn object(&self, name: &str, json: &[u8]) -> Result<Map<String, Value>> {
        match serde_json::from_slice(json) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(self.problem(name, "no JSON object")),
            Err(e) => Err(self.problem(name, format!("no JSON: {e}"))),
        }
    }

    fn digest(&self) -> Digest {
        let [sentences, pooling] = [&self.sentences, &self.pooling].map(|file| file.as_deref().unwrap_or_default());
        Digest::of("lagdb bert embedder v1", &[&self.config, &self.weights, &self.tokenizer, sentences, pooling])
    }

    fn config(&self) -> Result<Config> {
        let fields = self.object(CONFIG, &self.config)?;
        let text = |name: &str, otherwise: &'static str| match fields.get(name) {
            None | Some(Value::Null) => Ok(otherwise.to_owned()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(self.problem(CONFIG, format!("{name} is {other}"))),
        };
        let size = |name: &str, most: usize| {
            let found = fields.get(name).unwrap_or(&Value::Null);
            let size = found.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=most).contains(n));
            size.ok_or_else(|| self.problem(CONFIG, format!("{name} is {found}; 1 to {most} is possible")))
        };
        for (name, known) in [("model_type", "bert"), ("position_embedding_type", "absolute")] {
            let found = text(name, known)?;
            if found != known {
                return Err(self.problem(CONFIG, format!("{name} {found:?} is not known; {known} is")));
            }
        }
        let hidden_act = match text("hidden_act", "gelu")?.as_str() {
            "gelu" => HiddenAct::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => HiddenAct::GeluApproximate,
            "relu" => HiddenAct::Relu,
            other => return Err(self.problem(CONFIG, format!("hidden_act {other:?} is not known"))),
        };
        let epsilon = fields.get("layer_norm_eps").map_or(Some(1e-12), Value::as_f64);
        let epsilon = epsilon.filter(|&epsilon| epsilon > 0.0 && epsilon < 1.0);
        let config = Config {
            vocab_size: size("vocab_size", 1 << 24)?,
            hidden_size: size("hidden_size", 1 << 14)?,
            num_hidden_layers: size("num_hidden_layers", 256)?,
            num_attention_heads: size("num_attention_heads", 1 << 10)?,
            intermediate_size: size("intermediate_size", 1 << 16)?,
            hidden_act,
            max_position_embeddings: size("max_position_embeddings", 1 << 16)?,
            type_vocab_size: size("type_vocab_size", 1 << 10)?,
            layer_norm_eps: epsilon.ok_or_else(|| self.problem(CONFIG, "layer_norm_eps is no small number"))?,
            position_embedding_type: PositionEmbeddingType::Absolute,
            model_type: Some("bert".to_owned()),
            ..Config::default()
        };
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let (heads, hidden_size) = (config.num_attention_heads, config.hidden_size);
            return Err(self.problem(CONFIG, format!("{heads} heads do not divide hidden_size {hidden_size}")));
        }
        Ok(config)
    }

    /// One of two ways; a file that asks for another one, or for several, is refused.
    fn pooling(&self) -> Result<Pooling> {
        let Some(json) = &self.pooling else { return Ok(Pooling::Mean) };
        let fields = self.object(POOLING, json)?;
        let asked =
            fields.iter().filter(|(name, value)| name.starts_with("pooling_mode") && **value == Value::Bool(true));
        let asked: Vec<&str> = asked.map(|(name, _)| name.as_str()).collect();
        match (asked.as_slice(), fields.get("pooling_mode").and_then(Value::as_str)) {
            (["pooling_mode_mean_tokens"], None) | ([], Some("mean")) => Ok(Pooling::Mean),
            (["pooling_mode_cls_token"], None) | ([], Some("cls")) => Ok(Pooling::First),
            _ => Err(self.problem(POOLING, "asks for a pooling that is not known; mean and cls are")),
        }
    }

    fn max_tokens(&self, config: &Config) -> Result<usize> {
        let Some(json) = &self.sentences else { return Ok(config.max_position_embeddings) };
        let fields = self.object(SENTENCES, json)?;
        let found = fields.get("max_seq_length").unwrap_or(&Value::Null);
        match found.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if n >= 3 => Ok(n.min(config.max_position_embeddings)),
            None if found.is_null() => Ok(config.max_position_embeddings),
            _ => Err(self.problem(SENTENCES, format!("max_seq_length is {found}"))),
        }
    }

    /// The tokenizer, with the truncation of the embedder instead of its own, and no padding.
    fn tokenizer(&self, config: &Config, max_tokens: usize) -> Result<Tokenizer> {
        let mut fields = self.object(TOKENIZER, &self.tokenizer)?;
        for field in ["truncation", "padding"] {
            fields.shift_remove(field);
        }
        let kind = fields.get("model").and_then(|model| model.get("type")).and_then(Value::as_str);
        if kind != Some("WordPiece") {
            return Err(self.problem(TOKENIZER, format!("model type {kind:?} is not known; WordPiece is")));
        }
        let problem = |e: &dyn fmt::Display| self.problem(TOKENIZER, e.to_string());
        let json = serde_json::to_vec(&fields).map_err(|e| problem(&e))?;
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|e| problem(&e))?;
        let largest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        if largest as usize >= config.vocab_size {
            let vocab_size = config.vocab_size;
            return Err(self.problem(TOKENIZER, format!("token id {largest} is not below vocab_size {vocab_size}")));
        }
        let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|e| problem(&e))?;
        Ok(tokenizer)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Model { path: path.to_path_buf(), problem: "is missing".to_owned() },
        _ => Error::io("read", path, source),
    })
}
