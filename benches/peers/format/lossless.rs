//! Lossless: how small, how fast in, how fast out, against what else compresses these bytes exactly.
//!
//! Goals: as small as the smallest of Blosc2, ZipNN and Parquet; decoded 1.5 times as fast as that one; written at
//! 1 GB/CPU-s. Break-even is the disk bandwidth below which reading the smaller file and then decoding it is faster than
//! reading the plain one: decode speed x (1 - 1 / ratio).

use crate::Peers;
use crate::codec::{Codec, Lagdb, Lz4, Zstd};
use crate::parquet::Parquet;
use crate::report::{Row, cpu, median};
use crate::tensors::{self, Set};
use bytes::Bytes;
use lagdb::format::{ElementType, Encoding};
use lagdb_peers::BenchResult;
use serde_json::json;
use std::io::Write;

const ROUNDS: usize = 5;

/// The peers that the goals are set by.
const RIVALS: [&str; 3] = ["Blosc2 zstd", "ZipNN", "Parquet BSS zstd"];
/// What the Python child measures.
const IN_PYTHON: [&str; 3] = ["Blosc2 zstd", "Blosc2 lz4", "ZipNN"];

/// What one codec did in all rounds.
#[derive(Default)]
struct Figures {
    stored_bytes: usize,
    encode_s: Vec<f64>,
    decode_s: Vec<f64>,
}

/// The rows of all sets.
///
/// # Errors
/// When a peer fails or does not give back what it got.
pub(crate) fn rows(peers: &mut Peers) -> BenchResult<Vec<Row>> {
    let mut rows = Vec::new();
    for element in [ElementType::Bf16, ElementType::F16] {
        for set in [tensors::llama(element)?, tensors::qwen(element)?, tensors::demo(element)?] {
            rows.extend(compare(&set, element, peers)?);
        }
    }
    Ok(rows)
}

fn compare(set: &Set, element: ElementType, peers: &mut Peers) -> BenchResult<Vec<Row>> {
    let mut codecs: Vec<Box<dyn Codec>> = vec![
        Box::new(Lagdb::new(Encoding::ExponentHuffman)),
        Box::<Parquet>::default(),
        Box::new(Zstd::new()?),
        Box::<Lz4>::default(),
    ];
    let files: Vec<Vec<Bytes>> = codecs
        .iter_mut()
        .map(|codec| set.tensors.iter().map(|tensor| codec.file(tensor)).collect())
        .collect::<BenchResult<_>>()?;
    let mut own: Vec<Figures> = codecs.iter().map(|_| Figures::default()).collect();
    let mut out: Vec<Vec<u8>> = set.tensors.iter().map(|tensor| vec![0; tensor.raw.len()]).collect();
    let raw_file = load_in_python(set, element, peers)?;
    let mut foreign: Vec<Figures> = IN_PYTHON.iter().map(|_| Figures::default()).collect();
    for _ in 0..ROUNDS {
        for ((codec, files), figures) in codecs.iter_mut().zip(&files).zip(&mut own) {
            round(codec.as_mut(), set, files, &mut out, figures)?;
        }
        for (name, figures) in IN_PYTHON.iter().zip(&mut foreign) {
            if peers.python_has(name) {
                python_round(name, peers, figures)?;
            }
        }
    }
    drop(raw_file);
    let names = codecs.iter().map(|codec| codec.name()).chain(IN_PYTHON);
    let all: Vec<(&'static str, Figures)> = names.zip(own.into_iter().chain(foreign)).collect();
    Ok(report(set, &all))
}

fn round(
    codec: &mut dyn Codec,
    set: &Set,
    files: &[Bytes],
    out: &mut [Vec<u8>],
    figures: &mut Figures,
) -> BenchResult<()> {
    let (encode_s, encoded) = cpu(|| set.tensors.iter().try_for_each(|tensor| codec.encode(tensor).map(drop)));
    encoded?;
    let (decode_s, decoded) = cpu(|| files.iter().zip(&mut *out).try_for_each(|(file, out)| codec.decode(file, out)));
    decoded?;
    for (tensor, out) in set.tensors.iter().zip(out) {
        assert!(tensor.raw == *out, "{} is lossless", codec.name());
        out.fill(0);
    }
    figures.stored_bytes = files.iter().map(Bytes::len).sum();
    figures.encode_s.push(encode_s);
    figures.decode_s.push(decode_s);
    Ok(())
}

/// Hands the child the same bytes; the file is deleted when the handle is dropped.
fn load_in_python(set: &Set, element: ElementType, peers: &mut Peers) -> BenchResult<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new()?;
    for tensor in &set.tensors {
        file.write_all(&tensor.raw)?;
    }
    file.flush()?;
    let lengths: Vec<usize> = set.tensors.iter().map(|tensor| tensor.raw.len()).collect();
    let element = tensors::element_name(element);
    if let Some(python) = &mut peers.python {
        python.ask(&json!({ "load": file.path(), "lengths": lengths, "element": element }))?;
    }
    Ok(file)
}

fn python_round(name: &str, peers: &mut Peers, figures: &mut Figures) -> BenchResult<()> {
    let Some(python) = &mut peers.python else { return Ok(()) };
    let answer = python.ask(&json!({ "measure": name }))?;
    let number = |key: &str| answer[key].as_f64().ok_or_else(|| format!("{name}: no {key}"));
    if answer["exact"] != true {
        return Err(format!("{name} is not lossless").into());
    }
    figures.stored_bytes = number("stored")? as usize;
    figures.encode_s.push(number("encode_s")?);
    figures.decode_s.push(number("decode_s")?);
    Ok(())
}

fn report(set: &Set, all: &[(&'static str, Figures)]) -> Vec<Row> {
    let n_bytes = set.n_bytes() as f64;
    let figures = |of: &dyn Fn(&Figures) -> f64| -> Vec<(&'static str, f64)> {
        all.iter().map(|(name, figures)| (*name, of(figures))).collect()
    };
    let ratios = figures(&|figures| match figures.stored_bytes {
        0 => f64::NAN,
        stored => n_bytes / stored as f64,
    });
    let decodes = figures(&|figures| n_bytes / 1e9 / median(figures.decode_s.clone()));
    let encodes = figures(&|figures| n_bytes / 1e9 / median(figures.encode_s.clone()));
    let even = ratios.iter().zip(&decodes).map(|((name, ratio), (_, speed))| (*name, speed * (1.0 - 1.0 / ratio)));
    let even: Vec<_> = even.collect();
    // The smallest rival, and how fast it is.
    let rival =
        RIVALS.iter().filter_map(|name| position(&ratios, name)).max_by(|a, b| ratios[*a].1.total_cmp(&ratios[*b].1));
    let row = |what: &str, unit, figures: &[(&'static str, f64)], goal| Row {
        name: format!("lossless {}: {what}", set.name),
        unit,
        higher_is_better: true,
        lagdb: figures.first().map_or(f64::NAN, |it| it.1),
        peers: figures.get(1..).unwrap_or_default().to_vec(),
        goal,
    };
    vec![
        row("ratio", "x", &ratios, rival.map(|i| ratios[i].1)),
        row("verified decode", "GB/CPU-s", &decodes, rival.map(|i| 1.5 * decodes[i].1)),
        row("encode", "GB/CPU-s", &encodes, Some(1.0)),
        row("break-even disk", "GB/s", &even, None),
    ]
}

/// Where a peer stands that was measured.
fn position(figures: &[(&'static str, f64)], name: &str) -> Option<usize> {
    figures.iter().position(|(other, figure)| *other == name && !figure.is_nan())
}
