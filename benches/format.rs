//! How fast segments are written and read back verified, and how small they are.
//!
//! Peers, on the same bytes in the same round: zstd (level 1) for the lossless encoding, a copy for the plain one.

mod report;
mod synthetic;

use lagdb::format::{ElementType, Encoding, KvLog, KvRead, RowGroupIndex, Segment, SegmentWriter};
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
    rows.push(report::memory());
    report::print(&rows);
    Ok(())
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
    let segment = written(log, Encoding::ByteSplitZstd)?;
    let mut zstd_stored = 0;
    // As a store writes: one writer, whose buffer is reused from log to log.
    let mut writer = SegmentWriter::new(1);
    for _ in 0..=ROUNDS {
        let (seconds, written) = cpu(|| -> lagdb::format::Result<usize> {
            writer.push(log, Encoding::ByteSplitZstd)?;
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
