//! The header: the first 64 bytes, for readers that come from the front and for people with a hex editor.
//!
//! Nothing is found through it; the tail is where opening begins.

use super::identity::Identity;
use super::layout::{Fields, HEADER_BYTES, MAGIC};
use crate::{FormatError, Result};

const CRC_OFFSET: usize = HEADER_BYTES - 4;

/// The header of a segment.
pub(crate) fn write(identity: Identity, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    identity.write(out);
    out.resize(start + CRC_OFFSET, 0);
    let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
}

/// What the header says.
///
/// # Errors
/// [`FormatError::Corrupt`] for wrong bytes, [`FormatError::Unsupported`] for a newer segment.
pub(crate) fn read(segment: &[u8]) -> Result<Identity> {
    let mut fields = Fields::new(segment, 0);
    let header = fields.take(HEADER_BYTES, "header")?;
    let (covered, crc) = header.split_at(CRC_OFFSET);
    let mut fields = Fields::new(covered, 0);
    if fields.bytes::<8>("magic")? != MAGIC {
        return Err(FormatError::corrupt(0, "magic", "not a segment"));
    }
    if crc != crc32c::crc32c(covered).to_le_bytes() {
        return Err(FormatError::corrupt(CRC_OFFSET as u64, "header checksum", "does not match"));
    }
    Identity::read(&mut fields)
}
