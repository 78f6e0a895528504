//! How a page represents its numbers: a closed list, one file each, codes in FORMAT.md.
//!
//! An encoding sees one page: its [`PageShape`] and its numbers as little-endian bytes. It answers how far what the
//! decoder gives back is from them. It knows nothing of checksums and places; those are the page's.

mod byte_split_zstd;
mod exact_residual;
mod exponent_huffman;
mod groups;
mod int4;
mod int8;
mod int8_residual;
mod page;
mod plain;
mod quantized;
mod quantized_page;

use crate::{FormatError, Result};
use byte_split_zstd::ByteSplitZstd;
pub use page::{PageError, PageShape};
use quantized::{Dequantizer, Quantizer};
pub use quantized_page::QuantizedPage;

/// How a page represents its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Encoding {
    /// The bytes as they are; read without a copy.
    Plain = 1,
    /// Lossless and smaller: first bytes, second bytes, … of all numbers apart, each compressed if that helps.
    ByteSplitZstd = 2,
    /// Lossless and smallest: signs and exponents as Huffman codes, told from what is usual in their channel.
    ExponentHuffman = 3,
    /// Eight bits a number; off by about half a percent.
    Int8 = 4,
    /// Four bits a number; off by about a tenth.
    Int4 = 5,
    /// What an int4 page lacks to be as close as int8; not without it.
    Int8Residual = 6,
    /// What an int4 page and its int8 residual lack to be exact; not without them.
    ExactResidual = 7,
}

impl Encoding {
    /// Every encoding, by code.
    pub const ALL: [Self; 7] = [
        Self::Plain,
        Self::ByteSplitZstd,
        Self::ExponentHuffman,
        Self::Int8,
        Self::Int4,
        Self::Int8Residual,
        Self::ExactResidual,
    ];
    /// Those that give back every bit of any numbers.
    pub const LOSSLESS: [Self; 3] = [Self::Plain, Self::ByteSplitZstd, Self::ExponentHuffman];
    /// The levels of a log that serves a fast, a close and an exact reader; a prefix of them is as good.
    pub const LAYERED: [Self; 3] = [Self::Int4, Self::Int8Residual, Self::ExactResidual];

    /// Whether what is decoded (with the levels below, for a residual) is always what was encoded.
    pub fn is_lossless(self) -> bool {
        Self::LOSSLESS.contains(&self) || self == Self::ExactResidual
    }

    /// Whether pages say only what pages of the level below lack.
    pub fn is_residual(self) -> bool {
        matches!(self, Self::Int8Residual | Self::ExactResidual)
    }

    /// The encoding with this number in FORMAT.md, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| *encoding as u8 == code)
    }

    /// The name used in FORMAT.md and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::ByteSplitZstd => "byte_split_zstd",
            Self::ExponentHuffman => "exponent_huffman",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Int8Residual => "int8_residual",
            Self::ExactResidual => "exact_residual",
        }
    }

    /// Whether a page of `raw_bytes` may be stored in `stored_bytes`. Decoding checks the rest.
    pub(crate) fn allows(self, raw_bytes: usize, stored_bytes: usize) -> bool {
        match self {
            Self::Plain => stored_bytes == raw_bytes,
            Self::ByteSplitZstd | Self::ExactResidual => byte_split_zstd::allows(raw_bytes, stored_bytes),
            Self::ExponentHuffman => {
                stored_bytes > 0 && stored_bytes <= raw_bytes.saturating_add(exponent_huffman::MOST_EXTRA_BYTES)
            }
            // A range costs at most as much as two numbers of two bytes, and a code a byte.
            Self::Int8 | Self::Int4 => {
                stored_bytes > 8 && stored_bytes <= raw_bytes.saturating_mul(3).saturating_add(8)
            }
            Self::Int8Residual => stored_bytes > 0 && stored_bytes <= raw_bytes,
        }
    }
}

/// Encodes pages, keeping what it needs from one page to the next.
#[derive(Default)]
pub(crate) struct Encoder {
    byte_split_zstd: ByteSplitZstd,
    exponent_huffman: exponent_huffman::Encoder,
    quantizer: Quantizer,
}

impl Encoder {
    /// Appends the stored form of `raw`, the numbers of a page of this shape; the error is measured against what
    /// [`Decoder::decode_f32`] gives back.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when `raw` has another length than the shape, when a lossy encoding meets NaN or infinity,
    /// and for a residual; `out` may then have grown.
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
            Encoding::ExponentHuffman => self.exponent_huffman.encode(shape, raw, out),
            Encoding::Int8 => return int8::encode(&mut self.quantizer, shape, raw, out),
            Encoding::Int4 => return int4::encode(&mut self.quantizer, shape, raw, out),
            Encoding::Int8Residual | Encoding::ExactResidual => {
                return Err(FormatError::invalid("encoding", format!("{} needs the levels below", encoding.name())));
            }
        }
        Ok(PageError::NONE)
    }

    /// Appends the stored form of `raw` at each level to its own of `outs`; the errors of each level with those below it.
    /// Several levels are [`Encoding::LAYERED`] or a prefix of it.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); also [`FormatError::Invalid`] for other levels, or another number of `outs`.
    pub(crate) fn encode_levels(
        &mut self,
        levels: &[Encoding],
        shape: PageShape,
        raw: &[u8],
        outs: &mut [Vec<u8>],
    ) -> Result<Vec<PageError>> {
        if !are_levels(levels.iter().copied()) {
            return Err(FormatError::invalid("levels", format!("{levels:?}")));
        }
        let ([base, residuals @ ..], [base_out, outs @ ..]) = (levels, outs) else { return Err(no_levels()) };
        if residuals.len() != outs.len() {
            return Err(no_levels());
        }
        let start = base_out.len();
        let mut errors = vec![self.encode(*base, shape, raw, base_out)?];
        let base = base_out.get(start..).unwrap_or_default();
        if let [out, outs @ ..] = outs {
            let start = out.len();
            errors.push(int8_residual::encode(&mut self.quantizer, shape, base, out)?);
            let residual = out.get(start..).unwrap_or_default();
            if let [out] = outs {
                let mut guess = vec![0.0; raw.len() / shape.element.n_bytes()];
                int8_residual::decode(&mut Dequantizer::default(), shape, base, residual, &mut guess)?;
                exact_residual::encode(&mut self.byte_split_zstd, shape, raw, &guess, out)?;
                errors.push(PageError::NONE);
            }
        }
        Ok(errors)
    }
}

/// Whether it is one level, or the levels of a layered log or a prefix of them.
pub(crate) fn are_levels(levels: impl ExactSizeIterator<Item = Encoding> + Clone) -> bool {
    match levels.len() {
        1 => levels.clone().all(|level| !level.is_residual()),
        n => Encoding::LAYERED.get(..n).is_some_and(|layered| n > 0 && levels.eq(layered.iter().copied())),
    }
}

fn no_levels() -> FormatError {
    FormatError::invalid("levels", "one or more, as many as outputs")
}

/// Decodes pages, keeping what it needs from one page to the next.
#[derive(Default)]
pub(crate) struct Decoder {
    byte_split_zstd: ByteSplitZstd,
    exponent_huffman: exponent_huffman::Decoder,
    dequantizer: Dequantizer,
    raw: Vec<u8>,
    numbers: Vec<f32>,
}

impl Decoder {
    /// Writes the decoded bytes of `stored` into `raw` of exactly the decoded length; those of a lossy encoding are
    /// rounded to the element type.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`], counted from the start of `stored`, when it does not decode to a page of this shape;
    /// [`FormatError::Invalid`] when `raw` has another length than the shape.
    pub(crate) fn decode(&mut self, encoding: Encoding, shape: PageShape, stored: &[u8], raw: &mut [u8]) -> Result<()> {
        let n_numbers = shape.check_bytes(raw.len())?;
        match encoding {
            Encoding::Plain => plain::decode(stored, raw),
            Encoding::ByteSplitZstd => self.byte_split_zstd.decode(shape.element, stored, raw),
            Encoding::ExponentHuffman => self.exponent_huffman.decode(shape, stored, raw),
            Encoding::Int8 | Encoding::Int4 => {
                let mut numbers = std::mem::take(&mut self.numbers);
                numbers.resize(n_numbers, 0.0);
                let decoded = self.decode_f32(encoding, shape, stored, &mut numbers);
                let decoded = decoded.and_then(|()| shape.element.round_f32(&numbers, raw));
                self.numbers = numbers;
                decoded
            }
            Encoding::Int8Residual | Encoding::ExactResidual => Err(alone(encoding)),
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
        let n_bytes = out.len() * shape.element.n_bytes();
        shape.check_bytes(n_bytes)?;
        match encoding {
            Encoding::Plain => {
                check_length(stored, n_bytes)?;
                shape.element.decode_f32(stored, out)
            }
            Encoding::ByteSplitZstd => {
                self.raw.resize(n_bytes, 0);
                self.byte_split_zstd.decode(shape.element, stored, &mut self.raw)?;
                shape.element.decode_f32(&self.raw, out)
            }
            Encoding::ExponentHuffman => self.exponent_huffman.decode_f32(shape, stored, out),
            Encoding::Int8 => int8::decode(&mut self.dequantizer, shape, stored, out),
            Encoding::Int4 => int4::decode(&mut self.dequantizer, shape, stored, out),
            Encoding::Int8Residual | Encoding::ExactResidual => Err(alone(encoding)),
        }
    }

    /// Writes the numbers of a page of one or more levels, the base first, into `out` of exactly that many.
    ///
    /// # Errors
    /// As [`decode`](Self::decode); also [`FormatError::Corrupt`] for levels that are not one above the other.
    pub(crate) fn decode_levels_f32(
        &mut self,
        shape: PageShape,
        levels: &[(Encoding, &[u8])],
        out: &mut [f32],
    ) -> Result<()> {
        check_stored_levels(levels)?;
        match levels {
            [(encoding, stored)] => self.decode_f32(*encoding, shape, stored, out),
            [(_, base), (_, residual)] => {
                shape.check_bytes(out.len() * shape.element.n_bytes())?;
                int8_residual::decode(&mut self.dequantizer, shape, base, residual, out)
            }
            _ => {
                let mut raw = std::mem::take(&mut self.raw);
                raw.resize(out.len() * shape.element.n_bytes(), 0);
                let decoded = self.decode_levels(shape, levels, &mut raw);
                let decoded = decoded.and_then(|()| shape.element.decode_f32(&raw, out));
                self.raw = raw;
                decoded
            }
        }
    }

    /// Writes the decoded bytes of a page of one or more levels, the base first, into `raw` of exactly that length.
    ///
    /// # Errors
    /// As [`decode_levels_f32`](Self::decode_levels_f32).
    pub(crate) fn decode_levels(
        &mut self,
        shape: PageShape,
        levels: &[(Encoding, &[u8])],
        raw: &mut [u8],
    ) -> Result<()> {
        check_stored_levels(levels)?;
        if let [(encoding, stored)] = levels {
            return self.decode(*encoding, shape, stored, raw);
        }
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.resize(shape.check_bytes(raw.len())?, 0.0);
        let decoded = match levels {
            [base, residual, (_, exact)] => self
                .decode_levels_f32(shape, &[*base, *residual], &mut numbers)
                .and_then(|()| exact_residual::decode(&mut self.byte_split_zstd, shape, exact, &numbers, raw)),
            _ => self
                .decode_levels_f32(shape, levels, &mut numbers)
                .and_then(|()| shape.element.round_f32(&numbers, raw)),
        };
        self.numbers = numbers;
        decoded
    }
}

/// What a writer was held to.
fn check_stored_levels(levels: &[(Encoding, &[u8])]) -> Result<()> {
    if are_levels(levels.iter().map(|(encoding, _)| *encoding)) {
        return Ok(());
    }
    Err(FormatError::corrupt(0, "levels", "are not one above the other"))
}

fn alone(encoding: Encoding) -> FormatError {
    FormatError::corrupt(0, "encoding", format!("{} without the levels below", encoding.name()))
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

    /// An encoder and a decoder that keep what they had from one page to the next, as those of segments do.
    #[derive(Default)]
    pub struct Kept {
        encoder: Encoder,
        decoder: Decoder,
    }

    impl Kept {
        /// As [`encode`].
        ///
        /// # Errors
        /// As [`encode`].
        pub fn encode(&mut self, encoding: Encoding, shape: PageShape, raw: &[u8]) -> Result<Vec<u8>> {
            let mut stored = Vec::new();
            self.encoder.encode(encoding, shape, raw, &mut stored)?;
            Ok(stored)
        }

        /// As [`decode`].
        ///
        /// # Errors
        /// As [`decode`].
        pub fn decode(&mut self, encoding: Encoding, shape: PageShape, stored: &[u8], raw: &mut [u8]) -> Result<()> {
            self.decoder.decode(encoding, shape, stored, raw)
        }

        /// As [`decode_f32`].
        ///
        /// # Errors
        /// As [`decode_f32`].
        pub fn decode_f32(
            &mut self,
            encoding: Encoding,
            shape: PageShape,
            stored: &[u8],
            out: &mut [f32],
        ) -> Result<()> {
            self.decoder.decode_f32(encoding, shape, stored, out)
        }
    }

    /// The stored form of `raw` at each level, and the errors.
    ///
    /// # Errors
    /// As [`encode`]; also [`FormatError::Invalid`](crate::FormatError) for levels that are not one above the other.
    pub fn encode_levels(levels: &[Encoding], shape: PageShape, raw: &[u8]) -> Result<(Vec<Vec<u8>>, Vec<PageError>)> {
        let mut stored = vec![Vec::new(); levels.len()];
        let errors = Encoder::default().encode_levels(levels, shape, raw, &mut stored)?;
        Ok((stored, errors))
    }

    /// Writes the decoded bytes of a page of several levels into `raw` of exactly that length.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode_levels(shape: PageShape, levels: &[(Encoding, &[u8])], raw: &mut [u8]) -> Result<()> {
        Decoder::default().decode_levels(shape, levels, raw)
    }

    /// Writes the decoded numbers of a page of several levels into `out` of exactly that length.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode_levels_f32(shape: PageShape, levels: &[(Encoding, &[u8])], out: &mut [f32]) -> Result<()> {
        Decoder::default().decode_levels_f32(shape, levels, out)
    }
}
