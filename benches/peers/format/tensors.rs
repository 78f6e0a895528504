//! The keys and values that every peer gets: synthetic at the geometry of two language models, and those of the demo
//! model.
//!
//! Peers see a KV log as one buffer, columns one after the other (keys, then values, layer by layer): more than most of
//! them see in use, and what suits a compressor best.

use crate::synthetic;
use bytes::Bytes;
use lagdb::format::{ElementType, KvGeometry, KvLog, KvRead};
use lagdb::generate::{Generator, Selection, SessionOptions};
use lagdb_peers::BenchResult;
use lagdb_tools::world::{Pairs, TaskSize, World};

/// Tasks whose keys and values the demo's set holds: 36 to 60 words of documents each, question and answer; kept whole.
const N_DEMO_TASKS: usize = 256;

/// One KV log, and the same bytes as peers get them.
pub(crate) struct Tensor {
    pub log: KvLog,
    /// `[n_layers, keys and values, n_tokens, n_kv_heads, head_dim]`, little-endian.
    pub raw: Bytes,
}

impl Tensor {
    pub(crate) fn new(log: KvLog) -> Self {
        let raw = log.layers().iter().flat_map(|layer| [layer.keys.as_slice(), &layer.values]).collect::<Vec<_>>();
        Self { raw: raw.concat().into(), log }
    }

    /// Bytes of the keys, or of the values, of one layer.
    pub(crate) fn column_bytes(&self) -> usize {
        self.raw.len() / (2 * self.log.geometry().n_layers as usize)
    }

    /// Keys of layer 0, values of layer 0, keys of layer 1, and so on.
    pub(crate) fn columns(&self) -> impl Iterator<Item = Bytes> {
        let n_bytes = self.column_bytes();
        (0..self.raw.len()).step_by(n_bytes).map(move |start| self.raw.slice(start..start + n_bytes))
    }
}

/// KV logs of one model, in one element type.
pub(crate) struct Set {
    /// Which model, and the element type.
    pub name: String,
    pub tensors: Vec<Tensor>,
}

impl Set {
    /// Bytes of all numbers.
    pub(crate) fn n_bytes(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.raw.len()).sum()
    }
}

/// The name of an element type in rows.
pub(crate) fn element_name(element: ElementType) -> &'static str {
    match element {
        ElementType::F32 => "f32",
        ElementType::F16 => "f16",
        ElementType::Bf16 => "bf16",
    }
}

/// One synthetic log.
pub(crate) fn synthetic(name: &str, geometry: KvGeometry, n_tokens: usize, element: ElementType) -> BenchResult<Set> {
    let log = synthetic::kv_log(geometry, n_tokens, element, 1)?;
    Ok(Set { name: format!("{name}, {}", element_name(element)), tensors: vec![Tensor::new(log)] })
}

/// Llama-3.2-1B: 2,048 tokens, 64 MiB.
pub(crate) fn llama(element: ElementType) -> BenchResult<Set> {
    synthetic("Llama-3.2-1B", synthetic::LLAMA_1B, 2048, element)
}

/// Qwen3-0.6B: 512 tokens, 56 MiB.
pub(crate) fn qwen(element: ElementType) -> BenchResult<Set> {
    synthetic("Qwen3-0.6B", synthetic::QWEN3_06B, 512, element)
}

/// Tasks of the demo, as its model saw them.
pub(crate) fn demo(element: ElementType) -> BenchResult<Set> {
    let generator = Generator::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/demo-model/kv"))?;
    let log = |i: usize| {
        let size = TaskSize::new(2 + i % 3, 2 + (i + 1) % 3);
        let task = World::new(i as u64, Pairs::HeldOut).source_task(size).map_err(|it| format!("no more {it:?}"))?;
        let ids: Vec<u32> = task.trajectory().iter().map(|word| word.id()).collect();
        let mut session = generator.session(SessionOptions::default())?;
        session.feed(&ids)?;
        Ok(Tensor::new(session.capture(Selection::Tokens(0..ids.len()), element)?))
    };
    let tensors = (0..N_DEMO_TASKS).map(log).collect::<BenchResult<Vec<_>>>()?;
    Ok(Set { name: format!("demo model, {}", element_name(element)), tensors })
}
