//! A GGUF file of random weights at the geometry of Qwen3-0.6B, as llama.cpp and lagdb both read it.
//!
//! Rows are scaled so that activations keep their size from layer to layer. `no_vocab`: both take token ids.

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use lagdb_peers::BenchResult;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Tokens of the vocabulary.
pub(crate) const N_VOCAB: usize = 151_936;
const N_LAYERS: usize = 28;
const HIDDEN: usize = 1024;
const FFN: usize = 3072;
const HEAD_DIM: usize = 128;
const N_HEADS: usize = 16;
const N_KV_HEADS: usize = 8;

/// Writes the file, its matrices as `dtype`.
pub(crate) fn write(path: &Path, dtype: GgmlDType) -> BenchResult<()> {
    let (all, shared) = (N_HEADS * HEAD_DIM, N_KV_HEADS * HEAD_DIM);
    let mut random = Random(1);
    let mut tensors = Vec::new();
    let mut matrix = |name: String, rows, columns| -> BenchResult<()> {
        tensors.push((name, random.matrix(rows, columns, dtype)?));
        Ok(())
    };
    matrix("token_embd.weight".to_owned(), N_VOCAB, HIDDEN)?;
    for i in 0..N_LAYERS {
        for (name, rows, columns) in [
            ("attn_q", all, HIDDEN),
            ("attn_k", shared, HIDDEN),
            ("attn_v", shared, HIDDEN),
            ("attn_output", HIDDEN, all),
            ("ffn_gate", FFN, HIDDEN),
            ("ffn_up", FFN, HIDDEN),
            ("ffn_down", HIDDEN, FFN),
        ] {
            matrix(format!("blk.{i}.{name}.weight"), rows, columns)?;
        }
    }
    let mut norm = |name: String, width| -> BenchResult<()> {
        tensors.push((
            name,
            QTensor::quantize(&Tensor::from_vec(vec![1f32; width], width, &Device::Cpu)?, GgmlDType::F32)?,
        ));
        Ok(())
    };
    norm("output_norm.weight".to_owned(), HIDDEN)?;
    for i in 0..N_LAYERS {
        for (name, width) in
            [("attn_norm", HIDDEN), ("ffn_norm", HIDDEN), ("attn_q_norm", HEAD_DIM), ("attn_k_norm", HEAD_DIM)]
        {
            norm(format!("blk.{i}.{name}.weight"), width)?;
        }
    }
    let metadata = metadata();
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut BufWriter::new(File::create(path)?), &metadata, &tensors)?;
    Ok(())
}

fn metadata() -> Vec<(&'static str, Value)> {
    let size = |n: usize| Value::U32(n as u32);
    vec![
        ("general.architecture", Value::String("qwen3".to_owned())),
        ("qwen3.vocab_size", size(N_VOCAB)),
        ("qwen3.block_count", size(N_LAYERS)),
        ("qwen3.embedding_length", size(HIDDEN)),
        ("qwen3.feed_forward_length", size(FFN)),
        ("qwen3.attention.head_count", size(N_HEADS)),
        ("qwen3.attention.head_count_kv", size(N_KV_HEADS)),
        ("qwen3.attention.key_length", size(HEAD_DIM)),
        ("qwen3.attention.value_length", size(HEAD_DIM)),
        ("qwen3.attention.layer_norm_rms_epsilon", Value::F32(1e-6)),
        ("qwen3.rope.freq_base", Value::F32(1e6)),
        ("qwen3.context_length", size(40_960)),
        ("tokenizer.ggml.model", Value::String("no_vocab".to_owned())),
    ]
}

/// SplitMix64 (Steele et al., 2014, <https://doi.org/10.1145/2660193.2660195>).
struct Random(u64);

impl Random {
    fn matrix(&mut self, rows: usize, columns: usize, dtype: GgmlDType) -> BenchResult<QTensor> {
        let scale = (3.0 / columns as f32).sqrt();
        let numbers: Vec<f32> = (0..rows * columns).map(|_| scale * self.next()).collect();
        Ok(QTensor::quantize(&Tensor::from_vec(numbers, (rows, columns), &Device::Cpu)?, dtype)?)
    }

    /// A number of -1..1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
