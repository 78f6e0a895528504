//! The tail: the last 64 bytes, where opening a segment begins. It says where the footer lies.

use super::header;
use super::identity::Identity;
use super::layout::{ALIGNMENT, END_MAGIC, Fields, HEADER_BYTES, TAIL_BYTES};
use crate::{FormatError, Result};
use std::ops::Range;

const CRC_OFFSET: usize = 52;

/// Where the footer of a segment lies, as its tail says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FooterRange {
    pub(crate) identity: Identity,
    pub(crate) offset: u64,
    pub(crate) n_bytes: u32,
    pub(crate) crc: u32,
}

impl FooterRange {
    /// The bytes of the file that [`Footer::parse`](crate::Footer::parse) wants; they lie inside the file.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.n_bytes)
    }

    /// The segment that the file says it is.
    pub fn segment_id(&self) -> u64 {
        self.identity.segment_id
    }

    /// Whether the front of the file, `front`, is the header of the same segment.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] for wrong bytes and for another segment's, [`FormatError::Unsupported`] for a newer
    /// segment.
    pub fn check_header(&self, front: &[u8]) -> Result<()> {
        if header::read(front)? == self.identity {
            return Ok(());
        }
        Err(FormatError::corrupt(8, "header", "differs from the tail"))
    }

    /// Appends the tail.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.offset.to_le_bytes());
        self.identity.write(out);
        out.extend_from_slice(&self.n_bytes.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.resize(start + CRC_OFFSET, 0);
        let crc = crc32c::crc32c(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&END_MAGIC);
    }

    /// Reads the tail, the last [`TAIL_BYTES`] of a file of `file_bytes`.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when `tail` has another length; [`FormatError::Corrupt`] for wrong bytes or a
    /// footer that does not end where the tail begins; [`FormatError::Unsupported`] for a newer segment.
    pub(crate) fn read(tail: &[u8], file_bytes: u64) -> Result<Self> {
        let offset = file_bytes
            .checked_sub(TAIL_BYTES as u64)
            .filter(|offset| *offset >= HEADER_BYTES as u64)
            .ok_or_else(|| FormatError::corrupt(0, "tail", format!("a segment has more than {file_bytes} bytes")))?;
        if tail.len() != TAIL_BYTES {
            return Err(FormatError::invalid("tail", format!("{} bytes instead of {TAIL_BYTES}", tail.len())));
        }
        check_frame(tail, offset)?;
        let mut fields = Fields::new(tail, offset);
        let footer_offset = fields.u64("footer offset")?;
        let identity = Identity::read(&mut fields)?;
        let n_bytes = fields.u32("footer bytes")?;
        let crc = fields.u32("footer checksum")?;
        let end = footer_offset.checked_add(u64::from(n_bytes));
        if end != Some(offset) || footer_offset < HEADER_BYTES as u64 || !footer_offset.is_multiple_of(ALIGNMENT as u64)
        {
            let detail = format!("{n_bytes} bytes at {footer_offset} do not end at {offset}");
            return Err(FormatError::corrupt(offset, "footer offset", detail));
        }
        Ok(Self { identity, offset: footer_offset, n_bytes, crc })
    }
}

/// Magic and checksum, before any field is believed.
fn check_frame(tail: &[u8], offset: u64) -> Result<()> {
    let mut fields = Fields::new(tail, offset);
    let covered = fields.take(CRC_OFFSET, "tail")?;
    let crc = fields.u32("tail checksum")?;
    if fields.bytes::<8>("end magic")? != END_MAGIC {
        return Err(FormatError::corrupt(offset, "end magic", "not a segment, or cut short"));
    }
    if crc != crc32c::crc32c(covered) {
        return Err(FormatError::corrupt(offset, "tail checksum", "does not match"));
    }
    Ok(())
}
