//! Plain: everything in a file back in memory, every checksum tried, against whoever only copies; and writing it.
//!
//! Goals: 0.8 of a copy of the same bytes, and ahead of llama.cpp, which checks nothing.

use crate::Peers;
use crate::codec::{Codec, Lagdb};
use crate::containers;
use crate::mapped::mapped;
use crate::report::{Row, cpu, median};
use crate::tensors::{self, Set, Tensor};
use bytes::Bytes;
use lagdb::format::{ElementType, Encoding, KvRead};
use lagdb_peers::BenchResult;
use safetensors::SafeTensors;
use serde_json::json;
use std::hint::black_box;

const ROUNDS: usize = 21;

/// The rows of both geometries; llama.cpp has the keys and values of its own model of the first one.
///
/// # Errors
/// When a peer fails or gives back something else.
pub(crate) fn rows(peers: &mut Peers) -> BenchResult<Vec<Row>> {
    let mut rows = Vec::new();
    for (set, with_llama) in [(tensors::llama(ElementType::F16)?, true), (tensors::qwen(ElementType::F16)?, false)] {
        rows.extend(compare(&set, with_llama, peers)?);
    }
    Ok(rows)
}

/// A way to restore, and a way to write.
struct Way<'a> {
    name: &'static str,
    restore: Box<dyn FnMut(&mut [u8]) -> BenchResult<()> + 'a>,
    write: Option<Box<dyn FnMut() -> BenchResult<usize> + 'a>>,
    restore_s: Vec<f64>,
    write_s: Vec<f64>,
}

impl<'a> Way<'a> {
    fn new(name: &'static str, restore: impl FnMut(&mut [u8]) -> BenchResult<()> + 'a) -> Self {
        Self { name, restore: Box::new(restore), write: None, restore_s: Vec::new(), write_s: Vec::new() }
    }

    fn writes(mut self, write: impl FnMut() -> BenchResult<usize> + 'a) -> Self {
        self.write = Some(Box::new(write));
        self
    }
}

fn ways(tensor: &Tensor) -> BenchResult<Vec<Way<'_>>> {
    let (mut reader, mut writer) = (Lagdb::new(Encoding::Plain), Lagdb::new(Encoding::Plain));
    let segment = mapped(&reader.file(tensor)?)?;
    let raw = mapped(&tensor.raw)?;
    let safetensors = mapped(&containers::safetensors_file(tensor)?)?;
    let arrow = mapped(&containers::arrow_file(tensor)?)?;
    let n_columns = tensor.columns().count();
    let mut copy_of = vec![0; tensor.raw.len()];
    Ok(vec![
        Way::new("lagdb", move |out| reader.decode(&segment, out)).writes(move || writer.encode(tensor)),
        Way::new("copy", move |out| {
            black_box(&mut *out).copy_from_slice(black_box(&raw));
            Ok(())
        })
        .writes(move || {
            black_box(&mut copy_of).copy_from_slice(black_box(&tensor.raw));
            Ok(copy_of.len())
        }),
        Way::new("safetensors", move |out| {
            let file = SafeTensors::deserialize(&safetensors)?;
            for (i, column) in out.chunks_exact_mut(out.len() / n_columns).enumerate() {
                column.copy_from_slice(file.tensor(&containers::name(i))?.data());
            }
            Ok(())
        })
        .writes(|| Ok(containers::safetensors_file(tensor)?.len())),
        Way::new("Arrow IPC", move |out| {
            let arrays = containers::arrow_columns(&arrow)?;
            for (column, array) in out.chunks_exact_mut(out.len() / n_columns).zip(arrays) {
                column.copy_from_slice(array.value_data());
            }
            Ok(())
        })
        .writes(|| Ok(containers::arrow_file(tensor)?.len())),
    ])
}

fn compare(set: &Set, with_llama: bool, peers: &mut Peers) -> BenchResult<Vec<Row>> {
    let tensor = set.tensors.first().ok_or("an empty set")?;
    let mut ways = ways(tensor)?;
    let mut out = vec![0; tensor.raw.len()];
    let (mut llama_restore, mut llama_write) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        for way in &mut ways {
            let (seconds, restored) = cpu(|| (way.restore)(&mut out));
            restored?;
            assert!(tensor.raw == Bytes::from_owner(out.clone()), "{} restores everything", way.name);
            out.fill(0);
            way.restore_s.push(seconds);
            if let Some(write) = &mut way.write {
                let (seconds, written) = cpu(write);
                assert!(written? >= tensor.raw.len(), "{} writes everything", way.name);
                way.write_s.push(seconds);
            }
        }
        if with_llama && let Some((restore, write)) = llama_round(tensor, peers)? {
            llama_restore.push(restore);
            llama_write.push(write);
        }
    }
    let gigabytes = tensor.raw.len() as f64 / 1e9;
    let mut restores: Vec<_> = ways.iter().map(|way| (way.name, gigabytes / median(way.restore_s.clone()))).collect();
    let mut writes: Vec<_> = ways.iter().map(|way| (way.name, gigabytes / median(way.write_s.clone()))).collect();
    if with_llama {
        restores.push(("llama.cpp", median(llama_restore)));
        writes.push(("llama.cpp", median(llama_write)));
    }
    let copy = restores.iter().find(|(name, _)| *name == "copy").map_or(f64::NAN, |it| it.1);
    let llama = restores.iter().find(|(name, _)| *name == "llama.cpp").map_or(f64::NAN, |it| it.1);
    let row = |what: &str, figures: Vec<(&'static str, f64)>, goal| {
        let mut figures = figures.into_iter();
        Row {
            name: format!("plain {}: {what}", set.name),
            unit: "GB/CPU-s",
            higher_is_better: true,
            lagdb: figures.next().map_or(f64::NAN, |it| it.1),
            peers: figures.collect(),
            goal,
        }
    };
    // `max` passes over the NaN of a peer that is absent.
    Ok(vec![row("verified restore", restores, Some(llama.max(0.8 * copy))), row("write", writes, None)])
}

/// llama.cpp's state of one sequence out of its context and back in: GB/CPU-s of restoring and of saving.
fn llama_round(tensor: &Tensor, peers: &mut Peers) -> BenchResult<Option<(f64, f64)>> {
    let Some(llama) = &mut peers.llama else { return Ok(None) };
    if llama.ready.is_empty() {
        return Ok(None);
    }
    let geometry = tensor.log.geometry();
    let answer = llama.ask(&json!({
        "n_layers": geometry.n_layers, "n_kv_heads": geometry.n_kv_heads, "head_dim": geometry.head_dim,
        "n_tokens": tensor.log.n_tokens(),
    }))?;
    let number = |key: &str| answer[key].as_f64().ok_or_else(|| format!("llama.cpp: no {key}"));
    let gigabytes = number("n_bytes")? / 1e9;
    if answer["exact"] != true {
        return Err("llama.cpp does not give back its own state".into());
    }
    Ok(Some((gigabytes / number("load_s")?, gigabytes / number("save_s")?)))
}
