//! Lossy: how small, how fast back as f32, and how far off, on keys with outlier channels.
//!
//! Goals: int8 1.9 times smaller than f16 at 8 GB/CPU-s of f32; int4 3.5 times smaller at 6 GB/CPU-s and a third of the
//! error of one absmax scale per token where some channels are outliers, which in the synthetic sets are those of keys. The
//! error is Euclidean: the norm of the differences over that of the numbers; peers start from the same f16 numbers, widened.

use crate::Peers;
use crate::codec::{Codec, Lagdb};
use crate::quantized_peers::{AbsmaxInt4, AbsmaxInt8, Ggml, Quantizer};
use crate::report::{Row, cpu, median};
use crate::tensors::{self, Set};
use bytes::Bytes;
use lagdb::format::{ElementType, Encoding, KvLog, KvRead, RowGroupIndex, Segment};
use lagdb_peers::BenchResult;

const ROUNDS: usize = 7;

/// What a row of this width is held against.
struct Goals {
    ratio: f64,
    decode: f64,
}

/// Figures of one way to keep numbers approximately.
#[derive(Default)]
struct Figures {
    stored_bytes: usize,
    encode_s: Vec<f64>,
    decode_s: Vec<f64>,
    /// Of keys and of values.
    squares: [Squares; 2],
}

/// Sums of squares of the differences and of the numbers.
#[derive(Clone, Copy, Default)]
struct Squares {
    differences: f64,
    numbers: f64,
}

impl Squares {
    fn add(&mut self, original: &[f32], found: &[f32]) {
        for (x, y) in original.iter().zip(found) {
            self.differences += f64::from(x - y).powi(2);
            self.numbers += f64::from(*x).powi(2);
        }
    }

    fn relative(self) -> f64 {
        (self.differences / self.numbers).sqrt()
    }
}

/// The rows of all sets.
///
/// # Errors
/// When lagdb fails.
pub(crate) fn rows(_peers: &mut Peers) -> BenchResult<Vec<Row>> {
    let element = ElementType::F16;
    let mut rows = Vec::new();
    for set in [tensors::llama(element)?, tensors::qwen(element)?, tensors::demo(element)?] {
        let eight: Vec<Box<dyn Quantizer>> = vec![Box::<AbsmaxInt8>::default(), Box::new(Ggml::q8_0())];
        rows.extend(compare(&set, Encoding::Int8, eight, &Goals { ratio: 1.9, decode: 8.0 })?);
        let four: Vec<Box<dyn Quantizer>> = vec![Box::<AbsmaxInt4>::default(), Box::new(Ggml::q4_0())];
        rows.extend(compare(&set, Encoding::Int4, four, &Goals { ratio: 3.5, decode: 6.0 })?);
    }
    Ok(rows)
}

/// A column as numbers.
fn numbers(log: &KvLog, column: u32) -> BenchResult<Vec<f32>> {
    let mut out = vec![0.0; log.n_tokens() * log.geometry().row_width()];
    match column % 2 {
        0 => log.read_keys(column / 2, &mut out)?,
        _ => log.read_values(column / 2, &mut out)?,
    }
    Ok(out)
}

fn compare(set: &Set, encoding: Encoding, mut peers: Vec<Box<dyn Quantizer>>, goals: &Goals) -> BenchResult<Vec<Row>> {
    let mut writer = Lagdb::new(encoding);
    let files = set.tensors.iter().map(|tensor| writer.file(tensor)).collect::<BenchResult<Vec<Bytes>>>()?;
    let mut lagdb = Figures { stored_bytes: files.iter().map(Bytes::len).sum(), ..Figures::default() };
    let mut others: Vec<Figures> = peers.iter().map(|_| Figures::default()).collect();
    for _ in 0..ROUNDS {
        lagdb.squares = Default::default();
        others.iter_mut().for_each(|figures| (figures.stored_bytes, figures.squares) = Default::default());
        let (mut encode_s, mut decode_s) = (0.0, 0.0);
        let mut peer_s = vec![(0.0, 0.0); peers.len()];
        for (tensor, file) in set.tensors.iter().zip(&files) {
            let (seconds, encoded) = cpu(|| writer.encode(tensor));
            encoded?;
            encode_s += seconds;
            let view = Segment::open(file)?.kv_log(RowGroupIndex(0))?;
            let row = view.geometry().row_width();
            let mut out = vec![0.0; view.n_tokens() * row];
            for column in 0..2 * view.geometry().n_layers {
                let part = column as usize % 2;
                let original = numbers(&tensor.log, column)?;
                let (seconds, read) = cpu(|| match column % 2 {
                    0 => view.read_keys(column / 2, &mut out),
                    _ => view.read_values(column / 2, &mut out),
                });
                read?;
                decode_s += seconds;
                lagdb.squares[part].add(&original, &out);
                for ((peer, figures), (encode_s, decode_s)) in peers.iter_mut().zip(&mut others).zip(&mut peer_s) {
                    let (seconds, stored) = cpu(|| peer.encode(&original, row));
                    figures.stored_bytes += stored;
                    *encode_s += seconds;
                    let (seconds, ()) = cpu(|| peer.decode(row, &mut out));
                    *decode_s += seconds;
                    figures.squares[part].add(&original, &out);
                }
            }
        }
        lagdb.encode_s.push(encode_s);
        lagdb.decode_s.push(decode_s);
        for (figures, (encode_s, decode_s)) in others.iter_mut().zip(peer_s) {
            figures.encode_s.push(encode_s);
            figures.decode_s.push(decode_s);
        }
    }
    let names = peers.iter().map(|peer| peer.name());
    let all: Vec<_> = std::iter::once(("lagdb", lagdb)).chain(names.zip(others)).collect();
    Ok(report(set, encoding, &all, goals))
}

fn report(set: &Set, encoding: Encoding, all: &[(&'static str, Figures)], goals: &Goals) -> Vec<Row> {
    let n_bytes = set.n_bytes() as f64;
    let gigabytes_f32 = 2.0 * n_bytes / 1e9;
    let figures = |of: &dyn Fn(&Figures) -> f64| -> Vec<(&'static str, f64)> {
        all.iter().map(|(name, figures)| (*name, of(figures))).collect()
    };
    let ratios = figures(&|figures| n_bytes / figures.stored_bytes as f64);
    let decodes = figures(&|figures| gigabytes_f32 / median(figures.decode_s.clone()));
    let encodes = figures(&|figures| n_bytes / 1e9 / median(figures.encode_s.clone()));
    let [keys, values] = [0, 1].map(|part| figures(&|figures| figures.squares[part].relative()));
    // In bytes of f16, as the file that is not read would be.
    let even = ratios.iter().zip(&decodes).map(|((name, ratio), (_, f32s))| (*name, f32s / 2.0 * (1.0 - 1.0 / ratio)));
    let even: Vec<_> = even.collect();
    let absmax = keys.iter().find(|(name, _)| *name == "absmax int4").map(|(_, error)| error / 3.0);
    let row = |what: &str, unit, higher_is_better, figures: &[(&'static str, f64)], goal| Row {
        name: format!("{} {}: {what}", encoding.name(), set.name),
        unit,
        higher_is_better,
        lagdb: figures.first().map_or(f64::NAN, |it| it.1),
        peers: figures.get(1..).unwrap_or_default().to_vec(),
        goal,
    };
    vec![
        row("ratio to f16", "x", true, &ratios, Some(goals.ratio)),
        row("decode to f32", "GB of f32/CPU-s", true, &decodes, Some(goals.decode)),
        row("relative L2 error of keys", "", false, &keys, absmax),
        row("relative L2 error of values", "", false, &values, None),
        row("encode", "GB/CPU-s", true, &encodes, None),
        row("break-even disk", "GB/s", true, &even, None),
    ]
}
