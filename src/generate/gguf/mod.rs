//! GGUF: a model in one file, as llama.cpp and its converters write it.
//!
//! candle parses the file after [`bounds`] has checked it. Tensors have names of their own here; llama and smollm3 files
//! keep the rows of queries and keys interleaved, so that RoPE turns neighbours. Those rows are put back in the order in
//! which pairs are `(i, i + head_dim / 2)`: a GGUF and a safetensors copy of one model have the same keys, and where they
//! hold the same numbers, the same fingerprint. Rows are whole blocks, so quantized ones are moved as they are.

mod bounds;
mod tokenizer;

use super::chat_template::ChatTemplate;
use super::config::{GgufFacts, ModelConfig, RopeScaling};
use super::config::{shown, whole};
use super::matrix::Matrix;
use super::model_files::{Parts, read_tokenizer};
use super::precision::{WeightPrecision, type_name};
use super::tokenizer::{Tokenizer, TokenizerJson};
use super::weights::{Taken, TensorSource};
use crate::error::{Error, Result};
use candle_core::CpuStorage;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};
use candle_core::quantized::{GgmlDType, QuantizedType};
use std::borrow::Cow;
use std::io::{BufRead, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What a GGUF file can be read from.
pub(super) trait Source: BufRead + Seek {}
impl<R: BufRead + Seek> Source for R {}

/// The name of a file that is only bytes.
const UNNAMED: &str = "model.gguf";

/// Tokens that end a text, a turn or a message wherever they are in a vocabulary.
const END_MARKS: [&str; 5] = ["<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>"];

/// Reads the header of `reader`; tensors are read as the decoder takes them. `file` is where it lies, if it lies anywhere.
pub(super) fn read<'a>(mut reader: impl Source + 'a, file: Option<&Path>) -> Result<Parts<'a>> {
    let path = file.unwrap_or(Path::new(UNNAMED));
    let problem = |problem: String| Error::Model { path: path.to_path_buf(), problem };
    let broken = |source| Error::io("read", path, source);
    let n_bytes = bounds::length(&mut reader).map_err(broken)?;
    let data = bounds::check(&mut reader, n_bytes).map_err(problem)?;
    reader.rewind().map_err(broken)?;
    let content = Content::read(&mut reader).map_err(|e| problem(e.to_string()))?;
    let has = |name: &str| content.tensor_infos.contains_key(name);
    let facts = GgufFacts {
        vocab_size: content.tensor_infos.get("token_embd.weight").and_then(|info| info.shape.dims().first().copied()),
        qk_norm: has("blk.0.attn_q_norm.weight"),
        qkv_bias: has("blk.0.attn_q.bias"),
        output_bias: has("blk.0.attn_output.bias"),
        mlp_bias: has("blk.0.ffn_up.bias"),
        own_head: has("output.weight"),
    };
    let mut config = ModelConfig::from_gguf(&content.metadata, &facts, path)?;
    let tokenizer = tokenizer(&content, config.vocab_size, file)?;
    let chat_template = chat_template(&content, path).unwrap_or_else(|e| Some(ChatTemplate::damaged(e, path.into())));
    let marks = END_MARKS.iter().filter_map(|mark| tokenizer.as_ref()?.special_id(mark));
    let marks: Vec<u32> = marks.filter(|id| !config.eos_ids.contains(id)).collect();
    config.eos_ids.extend(marks);
    let interleaved = matches!(architecture(&content), "llama" | "smollm3");
    let interleaved = interleaved.then_some(config.head_dim);
    let mut tensors = Tensors { reader, content, data, path: path.to_path_buf(), interleaved };
    if tensors.content.tensor_infos.contains_key("rope_freqs.weight") {
        let divisors = tensors.numbers("rope_freqs", &[config.head_dim / 2])?;
        config.rope.scaling = RopeScaling::of_divisors(divisors, config.rope.theta);
        config.check().map_err(problem)?;
    }
    Ok(Parts { config, weights: Box::new(tensors), tokenizer, chat_template })
}

fn architecture(content: &Content) -> &str {
    match content.metadata.get("general.architecture") {
        Some(Value::String(name)) => name,
        _ => "",
    }
}

/// The tokenizer that the metadata describes; for one that is not read from there, the `tokenizer.json` beside `file`,
/// whose tokens must be those of the metadata.
fn tokenizer(content: &Content, vocab_size: usize, file: Option<&Path>) -> Result<Option<Tokenizer>> {
    let path = file.unwrap_or(Path::new(UNNAMED));
    let problem = |problem: String| Error::Model { path: path.to_path_buf(), problem };
    let why = match tokenizer::read(&content.metadata).map_err(problem)? {
        tokenizer::Described::Not => return Ok(None),
        tokenizer::Described::Here(fields) => {
            return TokenizerJson { fields, path: path.to_path_buf() }.load(vocab_size).map(Some);
        }
        tokenizer::Described::Otherwise(why) => why,
    };
    let beside = file.map(|file| read_tokenizer(file.with_file_name("tokenizer.json"))).transpose()?.flatten();
    let beside =
        beside.ok_or_else(|| problem(format!("{why}; with the model's tokenizer.json beside the file it is read")))?;
    let json = beside.path.clone();
    let tokenizer = beside.load(vocab_size)?;
    let tokens = tokenizer::tokens(&content.metadata).map_err(problem)?;
    match tokenizer.differs_from(&tokens) {
        None => Ok(Some(tokenizer)),
        Some((id, found)) => {
            let own = tokens.get(id as usize);
            let problem = format!("token {id} is {found:?} and {own:?} in {}: another model's", path.display());
            Err(Error::Model { path: json, problem })
        }
    }
}

/// The chat template in the metadata, with the texts of the tokens that begin and end a text.
fn chat_template(content: &Content, path: &Path) -> std::result::Result<Option<ChatTemplate>, String> {
    let source = match content.metadata.get("tokenizer.chat_template") {
        None => return Ok(None),
        Some(Value::String(source)) => source.clone(),
        Some(other) => return Err(format!("tokenizer.chat_template is {}, no text", shown(other))),
    };
    let tokens = tokenizer::tokens(&content.metadata)?;
    let text = |name: &str| {
        let id = content.metadata.get(&format!("tokenizer.ggml.{name}_token_id")).and_then(whole);
        let token = id.and_then(|id| tokens.get(usize::try_from(id).ok()?));
        token.map(|token| (*token).to_owned()).unwrap_or_default()
    };
    Ok(Some(ChatTemplate::new(source, path.to_path_buf(), ["bos", "eos"].map(text))))
}

/// The tensors of a file.
struct Tensors<R> {
    reader: R,
    content: Content,
    /// Where tensors begin.
    data: u64,
    path: PathBuf,
    /// `head_dim`, where the rows of queries and keys are interleaved.
    interleaved: Option<usize>,
}

/// The bytes of a tensor, its rows in the order of safetensors.
struct Stored {
    dtype: GgmlDType,
    /// Words, so that blocks of any type are aligned.
    words: Vec<u64>,
    n_bytes: usize,
}

impl Stored {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words).get(..self.n_bytes).unwrap_or_default()
    }

    fn into_blocks(self) -> Box<dyn QuantizedType> {
        self.dtype.from_data(Cow::Borrowed(self.bytes()))
    }

    /// Its numbers; what they were stored in is gone when they are there.
    fn into_numbers(self, n: usize) -> candle_core::Result<Vec<f32>> {
        match self.into_blocks().dequantize(n)? {
            CpuStorage::F32(numbers) => Ok(numbers),
            _ => candle_core::bail!("blocks of a type that is not read"),
        }
    }
}

impl<R: Source> Tensors<R> {
    /// Reads tensor `name` (as transformers calls it), which must have `shape`.
    fn stored(&mut self, name: &str, shape: &[usize]) -> Result<Stored> {
        let path = self.path.clone();
        let problem = |problem| Error::Model { path: path.clone(), problem };
        let own_name = own_name(name);
        let Some(TensorInfo { ggml_dtype: dtype, shape: found, offset }) = self.content.tensor_infos.get(&own_name)
        else {
            return Err(problem(format!("tensor {own_name} is missing")));
        };
        let (dtype, offset) = (*dtype, *offset);
        if found.dims() != shape {
            let found = found.dims();
            return Err(problem(format!("tensor {own_name} has shape {found:?}, the metadata says {shape:?}")));
        }
        // `bounds` has seen that so many bytes are there.
        let n_bytes = shape.iter().product::<usize>() / dtype.block_size() * dtype.type_size();
        let mut words = vec![0u64; n_bytes.div_ceil(8)];
        let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..n_bytes];
        let start = SeekFrom::Start(self.data.saturating_add(offset));
        let read = self.reader.seek(start).and_then(|_| self.reader.read_exact(bytes));
        read.map_err(|e| problem(format!("tensor {own_name}: {e}")))?;
        if let Some(head_dim) = self.interleaved.filter(|_| name.contains(".q_proj.") || name.contains(".k_proj.")) {
            let rows = half_split(bytes, n_bytes / shape[0].max(1), head_dim);
            if rows.len() != n_bytes {
                return Err(problem(format!("tensor {own_name}: {} rows are no heads of {head_dim}", shape[0])));
            }
            bytes.copy_from_slice(&rows);
        }
        Ok(Stored { dtype, words, n_bytes })
    }
}

impl<R: Source> TensorSource for Tensors<R> {
    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Ok(self.stored(name, shape)?.into_numbers(shape.iter().product())?)
    }

    fn matrix(&mut self, name: &str, shape: [usize; 2], precision: WeightPrecision) -> Result<Taken> {
        let wanted = precision.of_rows(shape[1]);
        let stored = self.stored(name, &shape)?;
        let dtype = stored.dtype;
        let is_float = matches!(dtype, GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16);
        if !is_float && wanted.is_none_or(|wanted| wanted == dtype) {
            return Ok(Taken { matrix: Matrix::of_blocks(stored.into_blocks(), shape)?, was: None });
        }
        let matrix = Matrix::new(stored.into_numbers(shape[0] * shape[1])?, shape, precision)?;
        Ok(Taken { matrix, was: (!is_float).then(|| type_name(dtype)) })
    }
}

/// Rows of heads whose pairs lie beside each other, with pairs `(i, i + head_dim / 2)` instead.
fn half_split(rows: &[u8], row_bytes: usize, head_dim: usize) -> Vec<u8> {
    let half = head_dim / 2;
    let from = |row: usize| (row % half) * 2 + row / half;
    let heads = rows.chunks_exact((row_bytes * head_dim).max(1));
    heads
        .flat_map(|head| (0..head_dim).flat_map(move |row| &head[from(row) * row_bytes..][..row_bytes]))
        .copied()
        .collect()
}

/// What GGUF calls the tensor that transformers calls `name`.
fn own_name(name: &str) -> String {
    let mut own = name.replacen("model.layers.", "blk.", 1);
    for (theirs, ours) in [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("rope_freqs", "rope_freqs.weight"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ] {
        own = own.replacen(theirs, ours, 1);
    }
    own
}

#[cfg(test)]
mod tests {
    use super::{half_split, own_name};

    #[test]
    fn interleaved_rows_are_put_back() {
        // Two heads of four rows of two bytes, their pairs side by side.
        let rows: Vec<u8> = [0, 2, 1, 3, 4, 6, 5, 7].into_iter().flat_map(|row| [row, row + 10]).collect();
        let expected: Vec<u8> = (0..8).flat_map(|row| [row, row + 10]).collect();
        assert_eq!(half_split(&rows, 2, 4), expected);
    }

    #[test]
    fn names_are_translated() {
        assert_eq!(own_name("model.layers.3.self_attn.q_proj.weight"), "blk.3.attn_q.weight");
        assert_eq!(own_name("model.layers.3.self_attn.q_norm.weight"), "blk.3.attn_q_norm.weight");
        assert_eq!(own_name("model.layers.0.input_layernorm.weight"), "blk.0.attn_norm.weight");
        assert_eq!(own_name("model.layers.0.post_attention_layernorm.weight"), "blk.0.ffn_norm.weight");
        assert_eq!(own_name("model.norm.weight"), "output_norm.weight");
        assert_eq!(own_name("lm_head.weight"), "output.weight");
        assert_eq!(own_name("rope_freqs"), "rope_freqs.weight");
    }
}
