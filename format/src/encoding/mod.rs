//! How a page represents its numbers: a closed list, one file each, codes in FORMAT.md.
//!
//! An encoding sees one page: its [`PageShape`] and its numbers as little-endian bytes. It answers how far what the
//! decoder gives back is from them. It knows nothing of checksums and places; those are the page's.

mod byte_split_zstd;
mod page;
mod plain;

use crate::{FormatError, Result};
use byte_split_zstd::ByteSplitZstd;
pub use page::{PageError, PageShape};

/// How a page represents its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Encoding {
    /// The bytes as they are; read without a copy.
    Plain = 1,
    /// Lossless and smaller: first bytes, second bytes, … of all numbers apart, each compressed if that helps.
    ByteSplitZstd = 2,
}

impl Encoding {
    /// Every encoding, by code.
    pub const ALL: [Self; 2] = [Self::Plain, Self::ByteSplitZstd];

    /// The encoding with this number in FORMAT.md, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| *encoding as u8 == code)
    }

    /// The name used in FORMAT.md and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::ByteSplitZstd => "byte_split_zstd",
        }
    }

    /// Whether a page of `raw_bytes` may be stored in `stored_bytes`.
    pub(crate) fn allows(self, raw_bytes: usize, stored_bytes: usize) -> bool {
        match self {
            Self::Plain => stored_bytes == raw_bytes,
            Self::ByteSplitZstd => byte_split_zstd::allows(raw_bytes, stored_bytes),
        }
    }
}

/// Encodes pages, keeping what it needs from one page to the next.
#[derive(Default)]
pub(crate) struct Encoder {
    byte_split_zstd: ByteSplitZstd,
}

impl Encoder {
    /// Appends the stored form of `raw`, the numbers of a page of this shape; the error is measured against what
    /// [`Decoder::decode_f32`] gives back.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when `raw` has another length than the shape; `out` may then have grown.
    pub(crate) fn encode(
        &mut self,
        encoding: Encoding,
        shape: PageShape,
        raw: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<PageError> {
        shape.check_bytes(raw.len())?;
        match encoding {
            Encoding::Plain => plain::encode(raw, out),
            Encoding::ByteSplitZstd => self.byte_split_zstd.encode(shape.element, raw, out)?,
        }
        Ok(PageError::NONE)
    }
}

/// Decodes pages, keeping what it needs from one page to the next.
#[derive(Default)]
pub(crate) struct Decoder {
    byte_split_zstd: ByteSplitZstd,
    raw: Vec<u8>,
}

impl Decoder {
    /// Writes the decoded bytes of `stored` into `raw` of exactly the decoded length.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`], counted from the start of `stored`, when it does not decode to a page of this shape;
    /// [`FormatError::Invalid`] when `raw` has another length than the shape.
    pub(crate) fn decode(&mut self, encoding: Encoding, shape: PageShape, stored: &[u8], raw: &mut [u8]) -> Result<()> {
        shape.check_bytes(raw.len())?;
        match encoding {
            Encoding::Plain => plain::decode(stored, raw),
            Encoding::ByteSplitZstd => self.byte_split_zstd.decode(shape.element, stored, raw),
        }
    }

    /// Writes the numbers of `stored` into `out` of exactly that many.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub(crate) fn decode_f32(
        &mut self,
        encoding: Encoding,
        shape: PageShape,
        stored: &[u8],
        out: &mut [f32],
    ) -> Result<()> {
        let element = shape.element;
        let n_bytes = out.len() * element.n_bytes();
        shape.check_bytes(n_bytes)?;
        if encoding == Encoding::Plain {
            check_length(stored, n_bytes)?;
            return element.decode_f32(stored, out);
        }
        let mut raw = std::mem::take(&mut self.raw);
        raw.resize(n_bytes, 0);
        let decoded = self.decode(encoding, shape, stored, &mut raw);
        let decoded = decoded.and_then(|()| element.decode_f32(&raw, out));
        self.raw = raw;
        decoded
    }
}

fn check_length(stored: &[u8], n_bytes: usize) -> Result<()> {
    if stored.len() == n_bytes {
        return Ok(());
    }
    Err(FormatError::corrupt(0, "page", format!("{} bytes instead of {n_bytes}", stored.len())))
}

/// Encodes and decodes one page outside a segment: for fuzzing an encoding without the checksums around it.
#[doc(hidden)]
pub mod bare {
    use super::{Decoder, Encoder, Encoding, PageError, PageShape, Result};

    /// The stored form of `raw` and its measured error.
    ///
    /// # Errors
    /// [`FormatError::Invalid`](crate::FormatError) when `raw` does not fit the shape.
    pub fn encode(encoding: Encoding, shape: PageShape, raw: &[u8]) -> Result<(Vec<u8>, PageError)> {
        let mut stored = Vec::new();
        let error = Encoder::default().encode(encoding, shape, raw, &mut stored)?;
        Ok((stored, error))
    }

    /// Writes the decoded bytes of `stored` into `raw` of exactly that length.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`](crate::FormatError) when it does not decode to a page of this shape.
    pub fn decode(encoding: Encoding, shape: PageShape, stored: &[u8], raw: &mut [u8]) -> Result<()> {
        Decoder::default().decode(encoding, shape, stored, raw)
    }

    /// Writes the decoded numbers of `stored` into `out` of exactly that length.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode_f32(encoding: Encoding, shape: PageShape, stored: &[u8], out: &mut [f32]) -> Result<()> {
        Decoder::default().decode_f32(encoding, shape, stored, out)
    }
}
