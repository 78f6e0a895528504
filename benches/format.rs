//! How fast segments are written and read back verified, and how small they are.
//!
//! Peers, on the same bytes in the same round: zstd (level 1) for the lossless encoding, a copy for the plain one.

mod report;
mod synthetic;

use lagdb::format::{ElementType, Encoding, KvGeometry, KvLog, KvRead, Part, RowGroupIndex, Segment, SegmentWriter};
use report::{Row, cpu, median};

const ROUNDS: usize = 5;
const N_TOKENS: usize = 512;

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> BenchResult<()> {
    let mut rows = Vec::new();
    for (element, name) in [(ElementType::F16, "f16"), (ElementType::Bf16, "bf16"), (ElementType::F32, "f32")] {
        let log = synthetic::kv_log(synthetic::LLAMA_1B, N_TOKENS, element, 1)?;
        rows.extend(lossless(&log, name)?);
        rows.push(plain(&log, name)?);
    }
    for (geometry, model) in [(synthetic::LLAMA_1B, "Llama-3.2-1B"), (synthetic::QWEN3_06B, "Qwen3-0.6B")] {
        for (element, name) in [(ElementType::F16, "f16"), (ElementType::F32, "f32")] {
            let log = synthetic::kv_log(geometry, N_TOKENS, element, 1)?;
            for encoding in [Encoding::ExponentHuffman, Encoding::Int8, Encoding::Int4] {
                rows.extend(encoded(&log, encoding, &format!("{} {name} {model}", encoding.name()))?);
            }
        }
        rows.extend(outliers(geometry, model)?);
    }
    rows.push(report::memory());
    report::print(&rows);
    Ok(())
}

/// Size, speeds and error of one encoding, read as attention reads it: every page checked, as f32 into memory that is
/// there.
///
/// Without overlap of reading and decoding, an encoding makes a restore faster only from disks slower than
/// `decode * (1 - 1 / ratio)`, in bytes of the element type: the break-even bandwidth.
fn encoded(log: &KvLog, encoding: Encoding, name: &str) -> BenchResult<Vec<Row>> {
    let n_bytes = raw_bytes(log).len() as f64;
    let (segment, plain) = (written(log, encoding)?, written(log, Encoding::Plain)?);
    let mut numbers = vec![0.0_f32; log.layer_numbers(0)?];
    let f32_bytes = (numbers.len() * 4 * 2 * log.geometry().n_layers as usize) as f64;
    let (mut encode, mut decode, mut plain_decode) = (vec![], vec![], vec![]);
    let mut writer = SegmentWriter::new(1);
    for _ in 0..=ROUNDS {
        let (seconds, pushed) = cpu(|| writer.push(log, encoding).map(drop));
        pushed?;
        writer.drain(|_| Ok::<(), lagdb::format::FormatError>(()))?;
        encode.push(n_bytes / 1e9 / seconds);
        for (segment, speeds) in [(&segment, &mut decode), (&plain, &mut plain_decode)] {
            let view = Segment::open(segment)?.kv_log(RowGroupIndex(0))?;
            let (seconds, done) = cpu(|| read_f32(&view, &mut numbers));
            done?;
            speeds.push(f32_bytes / 1e9 / seconds);
        }
    }
    let (ratio, decode, plain_decode) = (n_bytes / segment.len() as f64, median(decode), median(plain_decode));
    let (keys, values) = errors(&segment)?;
    let f16 = log.element() == ElementType::F16;
    let (ratio_goal, decode_goal) = match encoding {
        Encoding::Int8 => (Some(if f16 { 1.9 } else { 3.8 }), Some(8.0)),
        Encoding::Int4 => (f16.then_some(3.5), Some(6.0)),
        _ => (None, None),
    };
    let break_even = decode * n_bytes / f32_bytes * (1.0 - 1.0 / ratio);
    let row = |what: &str, unit, lagdb, goal| Row {
        name: format!("{name} {what}"),
        unit,
        higher_is_better: !unit.is_empty(),
        lagdb,
        peers: Vec::new(),
        goal,
    };
    let mut rows = vec![
        row("ratio", "x", ratio, ratio_goal),
        row("encode", "GB/CPU-s", median(encode), None),
        row("verified decode to f32", "GB/CPU-s", decode, decode_goal),
        row("breaks even below a disk of", "GB/s", break_even, None),
        row("relative error of keys", "", keys, None),
        row("relative error of values", "", values, None),
    ];
    if let Some(row) = rows.get_mut(2) {
        row.peers.push(("plain", plain_decode));
    }
    Ok(rows)
}

fn read_f32(view: &lagdb::format::KvLogView<'_>, numbers: &mut [f32]) -> lagdb::format::Result<()> {
    (0..view.geometry().n_layers).try_for_each(|layer| {
        view.read_keys(layer, numbers)?;
        view.read_values(layer, numbers)
    })
}

/// Mean of the errors that the pages of a segment say, of keys and of values.
fn errors(segment: &[u8]) -> BenchResult<(f64, f64)> {
    let view = Segment::open(segment)?.kv_log(RowGroupIndex(0))?;
    let mean = |part| {
        let errors = view.pages().filter(|page| page.part == part).map(|page| f64::from(page.error.relative_l2));
        let errors: Vec<f64> = errors.collect();
        errors.iter().sum::<f64>() / errors.len() as f64
    };
    Ok((mean(Part::Keys), mean(Part::Values)))
}

/// How far int4 is off where a few channels are large, beside one scale for all numbers of a token.
fn outliers(geometry: KvGeometry, model: &str) -> BenchResult<Vec<Row>> {
    let log = synthetic::outliers(geometry, N_TOKENS, ElementType::F16)?;
    let (keys, values) = errors(&written(&log, Encoding::Int4)?)?;
    let row = |part: &str, lagdb: f64, naive: f64| Row {
        name: format!("int4 f16 {model} relative error of {part} with large channels"),
        unit: "",
        higher_is_better: false,
        lagdb,
        peers: vec![("one scale per token", naive)],
        goal: Some(naive / 3.0),
    };
    let mut numbers = vec![0.0_f32; log.layer_numbers(0)?];
    log.read_keys(0, &mut numbers)?;
    let naive_keys = one_scale_per_token(&numbers, geometry.row_width());
    log.read_values(0, &mut numbers)?;
    let naive_values = one_scale_per_token(&numbers, geometry.row_width());
    Ok(vec![row("keys", keys, naive_keys), row("values", values, naive_values)])
}

/// Relative error of four bits a number whose scale is the largest number of the token.
fn one_scale_per_token(numbers: &[f32], width: usize) -> f64 {
    let (mut differences, mut squares) = (0.0, 0.0);
    for row in numbers.chunks(width) {
        let step = row.iter().fold(0.0_f32, |most, x| most.max(x.abs())) / 7.0;
        for x in row {
            differences += f64::from(x - (x / step).round() * step).powi(2);
            squares += f64::from(*x).powi(2);
        }
    }
    (differences / squares).sqrt()
}

fn written(log: &KvLog, encoding: Encoding) -> BenchResult<Vec<u8>> {
    let mut writer = SegmentWriter::new(1);
    writer.push(log, encoding)?;
    Ok(writer.finish()?)
}

/// Checks and decodes every page to its exact bytes.
fn read(segment: &[u8]) -> BenchResult<KvLog> {
    Ok(Segment::open(segment)?.kv_log(RowGroupIndex(0))?.to_log()?)
}

fn raw_bytes(log: &KvLog) -> Vec<u8> {
    log.layers().iter().flat_map(|layer| [layer.keys.as_slice(), &layer.values].concat()).collect()
}

fn lossless(log: &KvLog, element: &str) -> BenchResult<Vec<Row>> {
    let raw = raw_bytes(log);
    let gigabytes = raw.len() as f64 / 1e9;
    let (mut encode, mut decode, mut zstd_encode, mut zstd_decode) = (vec![], vec![], vec![], vec![]);
    let segment = written(log, Encoding::ExponentHuffman)?;
    let mut zstd_stored = 0;
    // As a store writes: one writer, whose buffer is reused from log to log.
    let mut writer = SegmentWriter::new(1);
    for _ in 0..=ROUNDS {
        let (seconds, written) = cpu(|| -> lagdb::format::Result<usize> {
            writer.push(log, Encoding::ExponentHuffman)?;
            let mut n_bytes = 0;
            writer.drain(|bytes| {
                n_bytes += bytes.len();
                Ok::<(), lagdb::format::FormatError>(())
            })?;
            Ok(n_bytes)
        });
        assert!(written? > 0, "something is written");
        encode.push(gigabytes / seconds);
        let (seconds, log_read) = cpu(|| read(&segment));
        decode.push(gigabytes / seconds);
        assert!(log_read? == *log, "lossless");
        let (seconds, packed) = cpu(|| zstd::bulk::compress(&raw, 1));
        zstd_encode.push(gigabytes / seconds);
        let packed = packed?;
        zstd_stored = packed.len();
        let (seconds, unpacked) = cpu(|| zstd::bulk::decompress(&packed, raw.len()));
        zstd_decode.push(gigabytes / seconds);
        assert!(unpacked? == raw, "lossless");
    }
    let row = |what: &str, unit, lagdb, zstd| Row {
        name: format!("lossless {element} {what}"),
        unit,
        higher_is_better: true,
        lagdb,
        peers: vec![("zstd", zstd)],
        goal: None,
    };
    let n_bytes = raw.len() as f64;
    Ok(vec![
        row("ratio", "x", n_bytes / segment.len() as f64, n_bytes / zstd_stored as f64),
        row("encode", "GB/CPU-s", median(encode), median(zstd_encode)),
        row("verified decode", "GB/CPU-s", median(decode), median(zstd_decode)),
    ])
}

fn plain(log: &KvLog, element: &str) -> BenchResult<Row> {
    let raw = raw_bytes(log);
    let gigabytes = raw.len() as f64 / 1e9;
    let segment = written(log, Encoding::Plain)?;
    let (mut restore, mut copy) = (vec![], vec![]);
    let mut target = vec![0u8; raw.len()];
    let column_bytes = raw.len() / (2 * log.geometry().n_layers as usize);
    for _ in 0..4 * ROUNDS {
        let (seconds, result) = cpu(|| -> lagdb::format::Result<()> {
            let view = Segment::open(&segment)?.kv_log(RowGroupIndex(0))?;
            let mut columns = target.chunks_exact_mut(column_bytes);
            for layer in 0..view.geometry().n_layers {
                columns.next().map_or(Ok(()), |out| view.copy_keys(layer, out))?;
                columns.next().map_or(Ok(()), |out| view.copy_values(layer, out))?;
            }
            Ok(())
        });
        result?;
        assert!(target == raw, "everything is restored");
        restore.push(gigabytes / seconds);
        let (seconds, ()) = cpu(|| std::hint::black_box(&mut target).copy_from_slice(std::hint::black_box(&raw)));
        copy.push(gigabytes / seconds);
    }
    Ok(Row {
        name: format!("plain {element} verified restore"),
        unit: "GB/CPU-s",
        higher_is_better: true,
        lagdb: median(restore),
        peers: vec![("copy", median(copy))],
        goal: None,
    })
}
