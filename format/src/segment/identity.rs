//! What the header and the tail both say: which segment this is and which readers understand it.
//!
//! Twenty bytes at offset 8 of both. A reader that comes from the end never needs the header; one that comes
//! from the start need not seek to learn that it is too old. `verify` demands that the two agree.

use super::layout::{FIRST_VERSION, Fields, KNOWN_INCOMPATIBLE, VERSION};
use crate::{FormatError, Result};

/// Segment id and what a reader must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) segment_id: u64,
    pub(crate) version: u16,
    incompatible: u32,
    compatible: u32,
}

impl Identity {
    /// Identity of a segment that this crate writes.
    pub(crate) fn new(segment_id: u64) -> Self {
        Self { segment_id, version: VERSION, incompatible: 0, compatible: 0 }
    }

    /// Appends the twenty bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.segment_id.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.incompatible.to_le_bytes());
        out.extend_from_slice(&self.compatible.to_le_bytes());
    }

    /// Reads the twenty bytes; the caller has checked their checksum.
    ///
    /// # Errors
    /// [`FormatError::Unsupported`] for another version or an incompatible feature that is not known.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self> {
        let segment_id = fields.u64("segment id")?;
        let version = fields.u16("version")?;
        fields.take(2, "reserved")?;
        let incompatible = fields.u32("incompatible features")?;
        let compatible = fields.u32("compatible features")?;
        if !(FIRST_VERSION..=VERSION).contains(&version) {
            return Err(FormatError::Unsupported { field: "version", detail: version.to_string() });
        }
        let unknown = incompatible & !KNOWN_INCOMPATIBLE;
        if unknown != 0 {
            return Err(FormatError::Unsupported { field: "incompatible features", detail: format!("{unknown:#x}") });
        }
        Ok(Self { segment_id, version, incompatible, compatible })
    }

    /// Refuses a segment that lies under another one's name.
    pub(crate) fn expect(&self, segment_id: u64, offset: u64) -> Result<()> {
        if self.segment_id == segment_id {
            return Ok(());
        }
        let detail = format!("{} in the file, {segment_id} expected", self.segment_id);
        Err(FormatError::corrupt(offset, "segment id", detail))
    }
}
