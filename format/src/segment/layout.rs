//! The numbers of FORMAT.md that hold for the whole file: magic, version, alignment, limits.

use crate::{FormatError, Result};

/// First eight bytes of a segment: a byte that is not text, a name, and line ends that a text copy would change.
pub const MAGIC: [u8; 8] = [0x89, b'L', b'K', b'V', b'\r', b'\n', 0x1a, b'\n'];
/// Last eight bytes of a segment: [`MAGIC`] backwards, so that neither end can be taken for the other.
pub const END_MAGIC: [u8; 8] = [b'\n', 0x1a, b'\n', b'\r', b'V', b'K', b'L', 0x89];
/// The version this crate writes.
pub const VERSION: u16 = 2;
/// The first version this crate reads.
pub const FIRST_VERSION: u16 = 1;
/// Incompatible features this crate knows: none yet.
pub(super) const KNOWN_INCOMPATIBLE: u32 = 0;
/// Bytes of the header, at the start of the file.
pub const HEADER_BYTES: usize = 64;
/// Bytes of the tail, at the end of the file.
pub const TAIL_BYTES: usize = 64;
/// Pages, directories, row groups and the footer begin at multiples of this many bytes.
pub const ALIGNMENT: usize = 64;
/// A page is filled with whole tokens up to this many bytes before encoding; one token always fits.
pub const TARGET_PAGE_BYTES: usize = 256 * 1024;
/// No model has more layers than this: a log without tokens says how many it has and nothing in the file pays for them.
pub const MAX_LAYERS: u32 = 65_536;
/// No page decodes to more bytes than this, so no reader allocates more for one.
pub const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// `n_bytes` rounded up to [`ALIGNMENT`], if that fits.
pub(crate) fn aligned(n_bytes: u64) -> Option<u64> {
    n_bytes.checked_next_multiple_of(ALIGNMENT as u64)
}

/// Adds zeros to `out` until its length is a multiple of [`ALIGNMENT`].
pub(crate) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

/// The little-endian fields of a fixed layout, taken front to back.
///
/// Past the end it answers [`FormatError::Corrupt`] with the name of the field that was wanted.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    offset: u64,
}

impl<'a> Fields<'a> {
    /// The fields of `bytes`, which lie at `offset` in the segment.
    pub(crate) fn new(bytes: &'a [u8], offset: u64) -> Self {
        Self { bytes, offset }
    }

    /// Bytes not yet taken.
    pub(crate) fn n_left(&self) -> usize {
        self.bytes.len()
    }

    /// The next `n_bytes` bytes.
    pub(crate) fn take(&mut self, n_bytes: usize, field: &'static str) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(n_bytes)
            .ok_or_else(|| FormatError::corrupt(self.offset, field, format!("{n_bytes} bytes do not fit")))?;
        self.bytes = rest;
        self.offset += n_bytes as u64;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let offset = self.offset;
        self.take(N, field)?.try_into().map_err(|_| FormatError::corrupt(offset, field, "too short"))
    }

    /// The next byte.
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8> {
        self.array(field).map(|[byte]| byte)
    }

    /// The next `N` bytes as they are.
    pub(crate) fn bytes<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        self.array(field)
    }

    /// The next f32.
    pub(crate) fn f32(&mut self, field: &'static str) -> Result<f32> {
        self.array(field).map(f32::from_le_bytes)
    }

    /// The next u16.
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16> {
        self.array(field).map(u16::from_le_bytes)
    }

    /// The next u32.
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32> {
        self.array(field).map(u32::from_le_bytes)
    }

    /// The next u64.
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// The next `n` u32s.
    pub(crate) fn u32s(&mut self, n: usize, field: &'static str) -> Result<Vec<u32>> {
        let n_bytes = n.checked_mul(4).ok_or_else(|| FormatError::corrupt(self.offset, field, "too many"))?;
        Ok(self.take(n_bytes, field)?.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect())
    }

    /// What comes next cannot be here.
    pub(crate) fn refuse<T>(&self, field: &'static str, detail: &str) -> Result<T> {
        Err(FormatError::corrupt(self.offset, field, detail))
    }

    /// Nothing may follow the last field.
    pub(crate) fn finish(&self, field: &'static str) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(FormatError::corrupt(self.offset, field, format!("{} bytes too many", self.bytes.len())))
    }
}
