//! Doors to decoders that are otherwise private, for the fuzz targets; no part of what is promised.

use crate::catalog::{Table, value};
use crate::index::{bitmaps, vector};
use crate::record::{Record, Strategy, Trajectory, codec};

/// Decodes bytes as every record; what decodes must survive being encoded and decoded again.
///
/// # Panics
/// When it does not: that is what fuzzing looks for.
pub fn record_decode(schema: u16, bytes: &[u8]) {
    survives(Trajectory::decode(schema, bytes));
    survives(Strategy::decode(schema, bytes));
    if let Ok(exposures) = codec::decode_exposures(schema, bytes) {
        let again = codec::encode_exposures(&exposures);
        let again = again.bytes.ok().and_then(|bytes| codec::decode_exposures(again.schema, &bytes).ok());
        // Their numbers may be NaN here.
        assert_eq!(again.map(|exposures| exposures.len()), Some(exposures.len()));
    }
    if let Ok(counters) = codec::decode_counters(schema, bytes) {
        let again = codec::encode_counters(&counters);
        let again = again.bytes.ok().and_then(|bytes| codec::decode_counters(again.schema, &bytes).ok());
        assert_eq!(again, Some(counters));
    }
    if let Ok(judgment) = codec::decode_judgment(schema, bytes) {
        let again = codec::encode_judgment(&judgment);
        let again = again.bytes.ok().and_then(|bytes| codec::decode_judgment(again.schema, &bytes).ok());
        // A score may be NaN here, which is not equal to itself.
        assert_eq!(again.map(|judgment| judgment.rationale), Some(judgment.rationale));
    }
}

fn survives<R: Record + PartialEq + std::fmt::Debug>(decoded: Result<R, codec::Undecodable>) {
    let Ok(record) = decoded else { return };
    let again = record.encode();
    let again = again.bytes.ok().and_then(|bytes| R::decode(again.schema, &bytes).ok());
    assert_eq!(again, Some(record));
}

/// Opens bytes as a catalog value, and bytes with a right checksum as a bitmap.
///
/// # Panics
/// When a value that was sealed does not open, or opens under another key.
pub fn catalog_value(key: &[u8], bytes: &[u8]) {
    for table in Table::ALL {
        // Nothing to hope for but that it returns.
        drop(value::open(table, key, bytes));
    }
    let sealed = value::seal(Table::Bitmaps, key, 1, bytes);
    let other_key = [key, b"x"].concat();
    assert!(value::open(Table::Bitmaps, &other_key, &sealed).is_err());
    match value::open(Table::Bitmaps, key, &sealed) {
        Ok(opened) => drop(bitmaps::parse(key, opened)),
        Err(error) => panic!("a sealed value does not open: {error}"),
    }
}

/// Reads bytes as a generation of the vector index, also with a right digest.
///
/// # Panics
/// When a generation that was read does not give the same bytes again.
pub fn index_generation(bytes: &[u8]) {
    vector::fuzz(bytes);
}

/// Reads bytes as what a model wrote when it was asked for lessons, and keeps of it what holds up.
///
/// # Panics
/// When an item is kept that should not be, or is not read again after it was written down.
pub fn agent_items(bytes: &[u8]) {
    crate::agent::fuzz(&String::from_utf8_lossy(bytes));
}
