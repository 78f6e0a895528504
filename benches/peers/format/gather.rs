//! 256 of 2,048 tokens of one layer, keys and values, out of a mapped file that is open already.
//!
//! lagdb checks every row that it reads against the row table of its page. Read amplification is what it reads, tables
//! included, over the bytes that are wanted; where nothing is checked, it is 1. Goals: twice the time of picking the rows out of a mapped array, and 1.5 times the bytes.

use crate::Peers;
use crate::codec::{Codec, Lagdb};
use crate::containers;
use crate::mapped::mapped;
use crate::report::{Row, cpu, median};
use crate::synthetic::Random;
use crate::tensors;
use lagdb::format::{ElementType, Encoding, KvRead, Part, RowGroupIndex, Segment};
use lagdb_peers::BenchResult;
use safetensors::SafeTensors;

const N_TOKENS: usize = 256;
const ROUNDS: usize = 201;

/// The tokens of one round, ascending.
fn scattered(n_tokens: usize, random: &mut Random) -> Vec<usize> {
    let mut all: Vec<(f32, usize)> = (0..n_tokens).map(|token| (random.unit(), token)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut tokens: Vec<usize> = all.into_iter().take(N_TOKENS).map(|(_, token)| token).collect();
    tokens.sort_unstable();
    tokens
}

/// Copies rows of a column, one after the other.
fn pick(column: &[u8], tokens: &[usize], row_bytes: usize, out: &mut [u8]) -> BenchResult<()> {
    for (token, out) in tokens.iter().zip(out.chunks_exact_mut(row_bytes)) {
        out.copy_from_slice(column.get(token * row_bytes..(token + 1) * row_bytes).ok_or("no such token")?);
    }
    Ok(())
}

/// How one file gives up tokens of a layer: keys, then values.
type Pick<'a> = Box<dyn FnMut(usize, &[usize], &mut [u8]) -> BenchResult<()> + 'a>;

/// The rows, over Llama-3.2-1B's geometry.
///
/// # Errors
/// When a peer fails or gives back something else.
pub(crate) fn rows(_peers: &mut Peers) -> BenchResult<Vec<Row>> {
    let set = tensors::llama(ElementType::F16)?;
    let tensor = set.tensors.first().ok_or("an empty set")?;
    let segment = mapped(&Lagdb::new(Encoding::Plain).file(tensor)?)?;
    let raw = mapped(&tensor.raw)?;
    let safetensors = mapped(&containers::safetensors_file(tensor)?)?;
    let arrow = mapped(&containers::arrow_file(tensor)?)?;
    let view = Segment::open(&segment)?.kv_log(RowGroupIndex(0))?;
    let safetensors = SafeTensors::deserialize(&safetensors)?;
    let arrow = containers::arrow_columns(&arrow)?;
    let (column_bytes, n_tokens) = (tensor.column_bytes(), tensor.log.n_tokens());
    let row_bytes = column_bytes / n_tokens;
    let half = N_TOKENS * row_bytes;
    let mut amplification = Vec::new();
    let mut ways: Vec<(&'static str, Pick<'_>)> = vec![
        (
            "lagdb",
            Box::new(|layer, tokens, out| {
                let tokens: Vec<u32> = tokens.iter().map(|token| *token as u32).collect();
                let (keys, values) = out.split_at_mut(half);
                let read = view.gather(layer as u32, Part::Keys, &tokens, keys)?;
                let read = read + view.gather(layer as u32, Part::Values, &tokens, values)?;
                amplification.push(read as f64 / (2 * half) as f64);
                Ok(())
            }),
        ),
        (
            "mapped array",
            Box::new(|layer, tokens, out| {
                let (keys, values) = out.split_at_mut(half);
                let layer = raw.get(2 * layer * column_bytes..(2 * layer + 2) * column_bytes).ok_or("no such layer")?;
                let (layer_keys, layer_values) = layer.split_at(column_bytes);
                pick(layer_keys, tokens, row_bytes, keys)?;
                pick(layer_values, tokens, row_bytes, values)
            }),
        ),
        (
            "safetensors",
            Box::new(|layer, tokens, out| {
                let (keys, values) = out.split_at_mut(half);
                pick(safetensors.tensor(&containers::name(2 * layer))?.data(), tokens, row_bytes, keys)?;
                pick(safetensors.tensor(&containers::name(2 * layer + 1))?.data(), tokens, row_bytes, values)
            }),
        ),
        (
            "Arrow IPC",
            Box::new(|layer, tokens, out| {
                let (keys, values) = out.split_at_mut(half);
                let column = |i: usize| arrow.get(i).ok_or("no such column");
                pick(column(2 * layer)?.value_data(), tokens, row_bytes, keys)?;
                pick(column(2 * layer + 1)?.value_data(), tokens, row_bytes, values)
            }),
        ),
    ];
    let mut random = Random(3);
    let mut times = vec![Vec::new(); ways.len()];
    let mut outs = vec![vec![0; 2 * half]; ways.len()];
    for round in 0..ROUNDS {
        let layer = round % tensor.log.geometry().n_layers as usize;
        let tokens = scattered(n_tokens, &mut random);
        for (((_, pick), times), out) in ways.iter_mut().zip(&mut times).zip(&mut outs) {
            let (seconds, picked) = cpu(|| pick(layer, &tokens, out));
            picked?;
            times.push(seconds * 1e6);
        }
        assert!(outs.iter().all(|out| Some(out) == outs.first()), "all pick the same");
    }
    let names: Vec<_> = ways.iter().map(|(name, _)| *name).collect();
    drop(ways);
    let mut figures = names.into_iter().zip(times.into_iter().map(median));
    let lagdb = figures.next().map_or(f64::NAN, |it| it.1);
    let peers: Vec<_> = figures.collect();
    let raw = peers.first().map_or(f64::NAN, |it| it.1);
    let row = |what: &str, unit, lagdb, peers, goal| Row {
        name: format!("gather 256 of 2048 tokens of a layer, {}: {what}", set.name),
        unit,
        higher_is_better: false,
        lagdb,
        peers,
        goal: Some(goal),
    };
    Ok(vec![
        row("time", "CPU us", lagdb, peers, 2.0 * raw),
        row("read amplification", "x", median(amplification), vec![("mapped array", 1.0)], 1.5),
    ])
}
