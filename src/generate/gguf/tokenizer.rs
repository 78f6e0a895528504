//! The tokenizer that the metadata of a GGUF file describes, as the `tokenizer.json` it was converted from.
//!
//! Two kinds are read. `gpt2` is byte-level BPE: the file has the merges, and `tokenizer.ggml.pre` *names* how text is split
//! before them; what else belongs to a name (whether a whole word that is a token needs merges, whether a text begins with
//! the beginning-of-text token) is in no file, so it is in the table below, as in `llama-vocab.cpp` of llama.cpp. `llama` is
//! SentencePiece's BPE: merges are every way to put a token together from two, best score first, and bytes stand in for what
//! no token spells. A name that is not in the table is refused: another way to split gives other ids, without a sign of it.
//!
//! Kudo and Richardson, *SentencePiece*, 2018, <https://arxiv.org/abs/1808.06226>.

use candle_core::quantized::gguf_file::Value;
use serde_json::{Map, Value as Json, json};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// How byte-level BPE splits text.
struct Splitting {
    names: &'static [&'static str],
    normalizer: Option<&'static str>,
    pre_tokenizer: fn() -> Json,
    /// A piece that is a token is that token, whatever the merges say.
    ignore_merges: bool,
    /// Where the metadata does not say it.
    add_bos: bool,
}

const SPLITTINGS: [Splitting; 6] = [
    Splitting {
        names: &["llama-bpe", "llama3", "llama-v3"],
        normalizer: None,
        pre_tokenizer: || split_by(LLAMA_3),
        ignore_merges: true,
        add_bos: true,
    },
    Splitting {
        // What converters call the tokenizer of SmolLM3, which is that of Llama 3 without a beginning of text.
        names: &["smaug-bpe"],
        normalizer: None,
        pre_tokenizer: || split_by(LLAMA_3),
        ignore_merges: true,
        add_bos: false,
    },
    Splitting {
        names: &["qwen2"],
        normalizer: Some("NFC"),
        pre_tokenizer: || split_by(QWEN_2),
        ignore_merges: false,
        add_bos: false,
    },
    Splitting {
        names: &["tekken"],
        normalizer: None,
        pre_tokenizer: || split_by(TEKKEN),
        ignore_merges: true,
        add_bos: true,
    },
    Splitting {
        names: &["smollm"],
        normalizer: None,
        pre_tokenizer: || sequence(&json!({"type": "Digits", "individual_digits": true}), &byte_level(true)),
        ignore_merges: false,
        add_bos: false,
    },
    Splitting {
        names: &["gpt-2"],
        normalizer: None,
        pre_tokenizer: || byte_level(true),
        ignore_merges: false,
        add_bos: false,
    },
];

const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The space of SentencePiece.
const SPACE: char = '▁';
/// The most bytes of a token that SentencePiece's merges make; the longest of real vocabularies have some dozens.
const MAX_PIECE: usize = 512;

/// `tokenizer.ggml.token_type`.
const NORMAL: u64 = 1;
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
const UNUSED: u64 = 5;

type Result<T> = std::result::Result<T, String>;

/// What the metadata says of a tokenizer.
pub(super) enum Described {
    /// There is none.
    Not,
    /// There is one that is not read from metadata; why.
    Otherwise(String),
    /// The fields of a `tokenizer.json`.
    Here(Map<String, Json>),
}

/// Reads the tokenizer out of `metadata`.
///
/// # Errors
/// What is missing or contradicts itself.
pub(super) fn read(metadata: &HashMap<String, Value>) -> Result<Described> {
    let tokenizer = match metadata.get("tokenizer.ggml.model") {
        Some(Value::String(kind)) if kind == "no_vocab" => return Ok(Described::Not),
        None => return Ok(Described::Not),
        Some(Value::String(kind)) if kind == "gpt2" => {
            let splitting = match metadata.get("tokenizer.ggml.pre") {
                Some(Value::String(name)) => SPLITTINGS.iter().find(|splitting| splitting.names.contains(&&**name)),
                _ => None,
            };
            let Some(splitting) = splitting else {
                let found = metadata.get("tokenizer.ggml.pre").map_or("missing".to_owned(), super::shown);
                return Ok(Described::Otherwise(format!("tokenizer.ggml.pre is {found}, which is not known")));
            };
            Vocabulary::read(metadata)?.byte_level(splitting)?
        }
        Some(Value::String(kind)) if kind == "llama" => Vocabulary::read(metadata)?.sentence_piece()?,
        Some(other) => {
            let found = super::shown(other);
            return Ok(Described::Otherwise(format!("tokenizer.ggml.model is {found}, which is not known")));
        }
    };
    match tokenizer {
        Json::Object(fields) => Ok(Described::Here(fields)),
        _ => Ok(Described::Not),
    }
}

/// Every token's text by its id, as the metadata has it.
pub(super) fn tokens(metadata: &HashMap<String, Value>) -> Result<Vec<&str>> {
    strings(metadata, "tokenizer.ggml.tokens")
}

struct Vocabulary<'a> {
    metadata: &'a HashMap<String, Value>,
    /// By id.
    tokens: Vec<&'a str>,
    /// By id.
    types: Vec<u64>,
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a HashMap<String, Value>) -> Result<Self> {
        let tokens = tokens(metadata)?;
        let types = match metadata.get("tokenizer.ggml.token_type") {
            None => vec![NORMAL; tokens.len()],
            Some(Value::Array(types)) if types.len() == tokens.len() => {
                types.iter().map(|kind| super::whole(kind).unwrap_or(NORMAL)).collect()
            }
            Some(other) => {
                let (found, n) = (super::shown(other), tokens.len());
                return Err(format!("tokenizer.ggml.token_type is {found} for {n} tokens"));
            }
        };
        Ok(Self { metadata, tokens, types })
    }

    fn byte_level(&self, splitting: &Splitting) -> Result<Json> {
        let model = json!({
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": splitting.ignore_merges, "vocab": self.by_text()?,
            "merges": strings(self.metadata, "tokenizer.ggml.merges")?,
        });
        Ok(json!({
            "version": "1.0", "added_tokens": self.added()?,
            "normalizer": splitting.normalizer.map(|name| json!({"type": name})),
            "pre_tokenizer": (splitting.pre_tokenizer)(), "post_processor": self.template(splitting.add_bos)?,
            "decoder": byte_level(true), "model": model,
        }))
    }

    fn sentence_piece(&self) -> Result<Json> {
        let unknown = self.id("unknown")?.map(|id| self.token(id)).transpose()?;
        let model = json!({
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": self.by_text()?, "merges": self.merges()?,
        });
        let replace = |from: &str, to: &str| json!({"type": "Replace", "pattern": {"String": from}, "content": to});
        let space = SPACE.to_string();
        let prefixed = self.flag("add_space_prefix")?.unwrap_or(true);
        let mut normalizers = vec![replace(" ", &space)];
        let mut decoders = vec![replace(&space, " "), json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
        if prefixed {
            normalizers.insert(0, json!({"type": "Prepend", "prepend": space}));
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        Ok(json!({
            "version": "1.0", "added_tokens": self.added()?,
            "normalizer": {"type": "Sequence", "normalizers": normalizers}, "pre_tokenizer": null,
            "post_processor": self.template(true)?, "decoder": {"type": "Sequence", "decoders": decoders}, "model": model,
        }))
    }

    /// Text to id, without the tokens that only fill the table up.
    fn by_text(&self) -> Result<Map<String, Json>> {
        let mut ids = Map::with_capacity(self.tokens.len());
        for (id, (text, &kind)) in self.tokens.iter().zip(&self.types).enumerate() {
            if kind != UNUSED && ids.insert((*text).to_owned(), json!(id)).is_some() {
                return Err(format!("token {id} is {text:?}, and so is an earlier one"));
            }
        }
        Ok(ids)
    }

    /// Tokens that are found in a text before it is split. Control tokens are no text; those that a user defined, such as
    /// the marks around a tool call, are.
    fn added(&self) -> Result<Vec<Json>> {
        let mut special = BTreeSet::new();
        // Not what stands for padding or the unknown: converters name words of the text there.
        for name in ["bos", "eos", "eot", "eom"] {
            special.extend(self.id(name)?);
        }
        let of = |(id, (text, &kind)): (usize, (&&str, &u64))| {
            let special = [UNKNOWN, CONTROL].contains(&kind) || special.contains(&(id as u64));
            (special || kind == USER_DEFINED).then(|| {
                json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                       "normalized": false, "special": special})
            })
        };
        Ok(self.tokens.iter().zip(&self.types).enumerate().filter_map(of).collect())
    }

    /// What the tokenizer puts around a text.
    fn template(&self, add_bos: bool) -> Result<Option<Json>> {
        let bos = self.flag("add_bos_token")?.unwrap_or(add_bos).then(|| self.wanted("bos")).transpose()?;
        let eos = self.flag("add_eos_token")?.unwrap_or(false).then(|| self.wanted("eos")).transpose()?;
        if bos.is_none() && eos.is_none() {
            return Ok(None);
        }
        let special = |(_, text): &(u64, &str)| json!({"SpecialToken": {"id": text, "type_id": 0}});
        let around = |inside: &[&str]| -> Vec<Json> {
            let inside = inside.iter().map(|name| json!({"Sequence": {"id": name, "type_id": 0}}));
            bos.iter().map(special).chain(inside).chain(eos.iter().map(special)).collect()
        };
        let known = bos.iter().chain(&eos);
        let known = known.map(|(id, text)| ((*text).to_owned(), json!({"id": text, "ids": [id], "tokens": [text]})));
        Ok(Some(json!({
            "type": "TemplateProcessing", "single": around(&["A"]), "pair": around(&["A", "B"]),
            "special_tokens": known.collect::<Map<_, _>>(),
        })))
    }

    /// Every way to put a normal token together from two others, best score first; among equals the longest first part.
    fn merges(&self) -> Result<Vec<[&'a str; 2]>> {
        let scores = match self.metadata.get("tokenizer.ggml.scores") {
            Some(Value::Array(scores)) if scores.len() == self.tokens.len() => scores,
            _ => return Err("tokenizer.ggml.scores is no score for each token".to_owned()),
        };
        let ids: HashMap<&str, usize> = self.tokens.iter().enumerate().map(|(id, text)| (*text, id)).collect();
        let mut merges = Vec::new();
        for ((text, &kind), score) in self.tokens.iter().zip(&self.types).zip(scores) {
            let &Value::F32(score) = score else { return Err("tokenizer.ggml.scores are no f32".to_owned()) };
            if kind != NORMAL {
                continue;
            }
            if text.len() > MAX_PIECE {
                return Err(format!("a token of {} bytes; at most {MAX_PIECE} are merged", text.len()));
            }
            for (at, _) in text.char_indices().skip(1) {
                let (left, right) = text.split_at(at);
                if let (Some(&left_id), Some(&right_id)) = (ids.get(left), ids.get(right)) {
                    let length = Reverse((left.chars().count(), right.chars().count()));
                    merges.push((score, length, [left_id, right_id], [left, right]));
                }
            }
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
        Ok(merges.into_iter().map(|(.., parts)| parts).collect())
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.metadata.get(&format!("tokenizer.ggml.{name}")) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(format!("tokenizer.ggml.{name} is {}, no truth value", super::shown(other))),
        }
    }

    fn id(&self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.metadata.get(&format!("tokenizer.ggml.{name}_token_id")) else { return Ok(None) };
        let id = super::whole(value);
        id.map(Some).ok_or_else(|| format!("tokenizer.ggml.{name}_token_id is {}, no id", super::shown(value)))
    }

    fn token(&self, id: u64) -> Result<&'a str> {
        let token = usize::try_from(id).ok().and_then(|id| self.tokens.get(id));
        token.copied().ok_or_else(|| format!("token {id} is not among {}", self.tokens.len()))
    }

    fn wanted(&self, name: &str) -> Result<(u64, &'a str)> {
        let id = self.id(name)?.ok_or_else(|| format!("tokenizer.ggml.{name}_token_id is missing"))?;
        Ok((id, self.token(id)?))
    }
}

fn split_by(regex: &str) -> Json {
    let split = json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    sequence(&split, &byte_level(false))
}

fn sequence(first: &Json, second: &Json) -> Json {
    json!({"type": "Sequence", "pretokenizers": [first, second]})
}

/// Bytes as characters; `use_regex` splits as GPT-2 does first.
fn byte_level(use_regex: bool) -> Json {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex})
}

fn strings<'a>(metadata: &'a HashMap<String, Value>, key: &str) -> Result<Vec<&'a str>> {
    let Some(Value::Array(values)) = metadata.get(key) else { return Err(format!("{key} is no list")) };
    let text = |value: &'a Value| match value {
        Value::String(text) => Ok(text.as_str()),
        other => Err(format!("{key} holds {}, no string", super::shown(other))),
    };
    values.iter().map(text).collect()
}
