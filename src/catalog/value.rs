//! A catalog value: checksum, schema, payload.
//!
//! ```text
//! 0      4       6
//! | crc  | schema | payload …
//! ```
//!
//! `crc` is the CRC-32C of table name, length of the key (u32), key, schema and payload, little-endian. A value that was
//! damaged, or that stands under another key or in another table than the one it was written to, is noticed.

use super::{CATALOG, Table};
use crate::{Error, Result};

const HEADER_BYTES: usize = 6;

/// What a value holds, once its checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened<'a> {
    /// Which form the payload has.
    pub(crate) schema: u16,
    /// The payload.
    pub(crate) payload: &'a [u8],
}

/// The value to write under `key` in `table`.
pub(crate) fn seal(table: Table, key: &[u8], schema: u16, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER_BYTES + payload.len());
    value.extend_from_slice(&checksum(table, key, schema, payload).to_le_bytes());
    value.extend_from_slice(&schema.to_le_bytes());
    value.extend_from_slice(payload);
    value
}

/// What stands in `value`, read under `key` in `table`.
///
/// # Errors
/// [`Error::Corrupt`] naming table and key when the checksum is wrong.
pub(crate) fn open<'a>(table: Table, key: &[u8], value: &'a [u8]) -> Result<Opened<'a>> {
    let parts = value.split_first_chunk::<4>().and_then(|(crc, rest)| Some((crc, rest.split_first_chunk::<2>()?)));
    let Some((crc, (schema, payload))) = parts else {
        return Err(corrupt(table, key, format!("a value of {} bytes", value.len())));
    };
    let schema = u16::from_le_bytes(*schema);
    if u32::from_le_bytes(*crc) != checksum(table, key, schema, payload) {
        return Err(corrupt(table, key, "the checksum does not match"));
    }
    Ok(Opened { schema, payload })
}

/// [`Error::Corrupt`] of the row under `key` in `table`.
pub(crate) fn corrupt(table: Table, key: &[u8], what: impl std::fmt::Display) -> Error {
    let what = format!("{}[{}]: {what}", table.name(), super::Key::of(key));
    Error::Corrupt { file: CATALOG.into(), offset: None, what }
}

fn checksum(table: Table, key: &[u8], schema: u16, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(table.name().as_bytes());
    let crc = crc32c::crc32c_append(crc, &(key.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(crc, key);
    let crc = crc32c::crc32c_append(crc, &schema.to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_where_it_was_sealed_and_nowhere_else() {
        let value = seal(Table::Meta, b"key", 3, b"payload");
        let opened = open(Table::Meta, b"key", &value).unwrap();
        assert_eq!((opened.schema, opened.payload), (3, b"payload".as_slice()));
        assert!(open(Table::Meta, b"kez", &value).is_err());
        assert!(open(Table::Scopes, b"key", &value).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let value = seal(Table::Meta, b"key", 3, b"payload");
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(Table::Meta, b"key", &damaged).is_err(), "bit {bit}");
        }
        for len in 0..value.len() {
            assert!(open(Table::Meta, b"key", &value[..len]).is_err(), "length {len}");
        }
    }
}
