//! Exponent-Huffman: lossless. Signs and exponents as Huffman codes, told from what is usual in their channel; mantissas as
//! they are.
//!
//! A channel's numbers have about one size and, often, one sign, so that the exponent's distance below a reference of the
//! channel and whether the sign is the channel's are a symbol of few bits (about 3.1 of bf16's 9). Mantissas are noise. No
//! number is computed with, so every NaN comes back bit for bit.
//!
//! Codes are at most six bits, so that one byte permutation decodes 64 lanes' worth, and are dealt to 32 lanes (see
//! `simd::decode_lanes`). FORMAT.md has the layout of a page.

mod channels;
mod code;
mod lanes;
mod numbers;
mod repeats;
#[cfg(test)]
mod tests;

use super::PageShape;
use crate::simd::{self, LANES, Layout, Parts, Target};
use crate::{ElementType, FormatError, Result};
use channels::Channels;
use code::{CODE_BYTES, Code, ESCAPES};
use lanes::Lanes;
use numbers::{Cursor, n_bytes, planes};
use repeats::Repeats;

/// Numbers handled at once, in the nearest cache: whole groups of all lanes, and whole bytes of every plane.
const CHUNK: usize = 4096;
/// How a page begins whose numbers follow as they are.
const AS_THEY_ARE: u8 = 0;
/// How a page begins that is coded.
const CODED: u8 = 1;
/// Numbers as they are take no more than this beside them.
pub(super) const MOST_EXTRA_BYTES: usize = 1;
/// A symbol rarer than one in so many is stored apart: it would take room from the codes of the others.
const RARE: usize = 400;
/// Rows that repay a reference for each of their channels.
const MIN_ROWS_BY_CHANNEL: usize = 16;
/// Of the widths that a page says: rows and lanes.
const MOST_BITS: u8 = 24;

fn layout(element: ElementType) -> Layout {
    match element {
        ElementType::F32 => Layout { n_bits: 32, mantissa_bits: 23 },
        ElementType::F16 => Layout { n_bits: 16, mantissa_bits: 10 },
        ElementType::Bf16 => Layout { n_bits: 16, mantissa_bits: 7 },
    }
}

fn corrupt(detail: &str) -> FormatError {
    FormatError::corrupt(0, "exponent-huffman page", detail)
}

/// Buffers kept from one page to the next.
#[derive(Default)]
pub(super) struct Encoder {
    repeats: Repeats,
    rows: Vec<u8>,
    channels: Channels,
    symbols: Vec<u8>,
    escapes: Vec<u8>,
    lanes: Lanes,
    plane: Vec<u8>,
}

impl Encoder {
    /// Appends the stored form of `raw`, which fits the shape.
    pub(super) fn encode(&mut self, shape: PageShape, raw: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let row_bytes = shape.row_width() * shape.element.n_bytes();
        let mut rows = std::mem::take(&mut self.rows);
        let repeats = self.repeats.find(raw, row_bytes);
        if repeats {
            self.repeats.stored_rows(raw, row_bytes, &mut rows);
        }
        self.encode_rows(shape, repeats, if repeats { &rows } else { raw }, out);
        self.rows = rows;
        if out.len() - start > raw.len() {
            out.truncate(start);
            out.push(AS_THEY_ARE);
            out.extend_from_slice(raw);
        }
    }

    fn encode_rows(&mut self, shape: PageShape, repeats: bool, rows: &[u8], out: &mut Vec<u8>) {
        let layout = layout(shape.element);
        let mantissas = self.channels.find(shape, layout, rows);
        let n_zeros = mantissas.trailing_zeros().min(layout.mantissa_bits);
        self.find_symbols(shape.element, rows);
        let counts = lanes::count(&self.symbols);
        let (code, escaped) = code_of(&counts, self.symbols.len());
        self.find_escapes(shape.element, rows, escaped);
        self.lanes.write(&code, &self.symbols);
        out.extend_from_slice(&[CODED, n_zeros as u8, self.channels.reference_bits(), self.channels.largest()]);
        out.push(if repeats { self.repeats.source_bits() as u8 } else { 0 });
        let (shortest, length_bits) = self.lanes.lengths();
        out.push(length_bits);
        out.extend_from_slice(&shortest.to_le_bytes());
        out.extend_from_slice(&code.write());
        if repeats {
            self.repeats.write(out);
        }
        self.channels.write(out);
        self.lanes.append(out);
        out.extend_from_slice(&self.escapes);
        self.append_mantissas(shape.element, n_zeros, rows, out);
    }

    /// The symbol of every number.
    fn find_symbols(&mut self, element: ElementType, rows: &[u8]) {
        let (target, width) = (Target::best(), element.n_bytes());
        self.symbols.resize(rows.len() / width, 0);
        let chunks = rows.chunks(CHUNK * width).zip(self.symbols.chunks_mut(CHUNK));
        for (i, (numbers, symbols)) in chunks.enumerate() {
            let references = self.channels.of(i * CHUNK, symbols.len());
            match width {
                2 => simd::symbols_16(target, numbers.as_chunks().0, layout(element), references, symbols),
                _ => simd::symbols_32(target, numbers.as_chunks().0, layout(element), references, symbols),
            }
        }
    }

    /// Makes the symbols in `escaped` escapes; the exponents of those.
    fn find_escapes(&mut self, element: ElementType, rows: &[u8], escaped: u32) {
        let (target, layout, width) = (Target::best(), layout(element), element.n_bytes());
        if escaped != 0 {
            let place = |symbol: u8| if escaped >> symbol & 1 == 0 { symbol } else { ESCAPES[usize::from(symbol & 1)] };
            simd::replace(target, &std::array::from_fn(|i| place(i as u8 % 32)), &mut self.symbols);
        }
        self.escapes.clear();
        simd::find_marked(target, &self.symbols, ESCAPES[0], |i| {
            let number = rows.get(i * width..(i + 1) * width).unwrap_or_default();
            let bits = number.iter().rev().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
            self.escapes.push(layout.exponent(bits));
        });
    }

    /// Appends the bits of the mantissas but for the lowest `n_zeros`.
    fn append_mantissas(&mut self, element: ElementType, n_zeros: u32, rows: &[u8], out: &mut Vec<u8>) {
        let (target, layout, width) = (Target::best(), layout(element), element.n_bytes());
        self.plane.resize(CHUNK.min(rows.len() / width), 0);
        for (i, n_bits) in (0..).zip(planes(layout.mantissa_bits - n_zeros)) {
            let shift = n_zeros + 8 * i;
            for numbers in rows.chunks(CHUNK * width) {
                let plane = self.plane.get_mut(..numbers.len() / width).unwrap_or_default();
                match width {
                    2 => simd::mantissas_16(target, numbers.as_chunks().0, layout, shift, plane),
                    _ => simd::mantissas_32(target, numbers.as_chunks().0, layout, shift, plane),
                }
                simd::pack_bits(target, n_bits, plane, out);
            }
        }
    }
}

/// The code of symbols that occur so often among `n`, and the set of those that become escapes.
fn code_of(counts: &[u32; code::SYMBOLS], n: usize) -> (Code, u32) {
    let (mut kept, mut escaped) = (*counts, 0);
    for symbol in 0..code::SYMBOLS - ESCAPES.len() {
        if (1..=n / RARE).contains(&(kept[symbol] as usize)) {
            kept[usize::from(ESCAPES[symbol & 1])] += kept[symbol];
            kept[symbol] = 0;
            escaped |= 1 << symbol;
        }
    }
    (Code::of(&kept), escaped)
}

/// Buffers kept from one page to the next.
#[derive(Default)]
pub(super) struct Decoder {
    repeats: Repeats,
    channels: Channels,
    chunk: Chunk,
}

/// The parts of the numbers of a chunk.
#[derive(Default)]
struct Chunk {
    entries: Vec<u8>,
    exponents: Vec<u8>,
    signs: Vec<u8>,
    planes: [Vec<u8>; 3],
    numbers: Vec<u8>,
}

/// A coded page: what its header says, and where its parts are.
struct Page<'a> {
    layout: Layout,
    n_zeros: u32,
    has_repeats: bool,
    n_rows: usize,
    table: [u8; 64],
    /// Lanes and everything behind them.
    lanes: &'a [u8],
    /// Bits at which lanes begin, and bytes at which they end.
    positions: [u64; LANES],
    ends: [usize; LANES],
    /// Exponents stored apart, how many, and everything behind them.
    escapes: &'a [u8],
    n_escapes: usize,
    planes: [(u32, &'a [u8]); 3],
}

impl Decoder {
    /// Writes the decoded form of `stored`, which has as many bytes as the shape says.
    pub(super) fn decode(&mut self, shape: PageShape, stored: &[u8], raw: &mut [u8]) -> Result<()> {
        if let Some(numbers) = as_they_are(stored) {
            super::check_length(numbers, raw.len())?;
            raw.copy_from_slice(numbers);
            return Ok(());
        }
        let page = self.parse(shape, stored)?;
        let target = Target::best();
        match shape.element.n_bytes() {
            2 => self.fill(shape, page, raw.as_chunks_mut().0, |parts, layout, _, out| {
                simd::join_16(target, parts, layout, out);
            }),
            _ => self.fill(shape, page, raw.as_chunks_mut().0, |parts, _, _, out| {
                simd::join_32(target, parts, out);
            }),
        }
    }

    /// As [`decode`](Self::decode), widened.
    pub(super) fn decode_f32(&mut self, shape: PageShape, stored: &[u8], out: &mut [f32]) -> Result<()> {
        if let Some(numbers) = as_they_are(stored) {
            super::check_length(numbers, out.len() * shape.element.n_bytes())?;
            return shape.element.decode_f32(numbers, out);
        }
        let page = self.parse(shape, stored)?;
        let target = Target::best();
        if shape.element == ElementType::F16 {
            return self.fill(shape, page, out, |parts, layout, numbers, out| {
                numbers.resize(2 * out.len(), 0);
                let numbers = numbers.as_chunks_mut().0;
                simd::join_16(target, parts, layout, numbers);
                simd::widen_f16(target, numbers, out);
            });
        }
        // A bf16 is the upper half of an f32.
        let n_more_zeros = 23 - page.layout.mantissa_bits;
        self.fill(shape, page, out, |mut parts, _, _, out| {
            parts.n_zeros += n_more_zeros;
            simd::join_f32(target, parts, out);
        })
    }

    fn parse<'a>(&mut self, shape: PageShape, stored: &'a [u8]) -> Result<Page<'a>> {
        let layout = layout(shape.element);
        let mut cursor = Cursor(stored);
        let [form, n_zeros, reference_bits, largest, source_bits, length_bits] = cursor.array()?;
        let shortest = u32::from_le_bytes(cursor.array()?) as usize;
        let code = Code::read(&cursor.array::<CODE_BYTES>()?).ok_or_else(|| corrupt("has no prefix code"))?;
        let is_known = u32::from(n_zeros) <= layout.mantissa_bits && source_bits.max(length_bits) <= MOST_BITS;
        if form != CODED || !is_known {
            return Err(corrupt("has a header that says nothing"));
        }
        let n_rows = match source_bits {
            0 => shape.n_tokens as usize,
            _ => self.repeats.read(source_bits.into(), shape.n_tokens as usize, &mut cursor)?,
        };
        let n = n_rows * shape.row_width();
        self.channels.read(shape, reference_bits, largest, n, &mut cursor)?;
        let lengths = cursor.numbers(length_bits.into(), LANES)?;
        let lanes = cursor.0;
        let (mut positions, mut ends, mut end) = ([0; LANES], [0; LANES], 0_usize);
        for ((position, its_end), length) in positions.iter_mut().zip(&mut ends).zip(lengths) {
            *position = 8 * end as u64;
            end = end.saturating_add(shortest).saturating_add(length as usize);
            *its_end = end;
        }
        cursor.take(end)?;
        let mut widths = planes(layout.mantissa_bits - u32::from(n_zeros));
        let mut planes = [(); 3].map(|()| (widths.next().unwrap_or(0), &[][..]));
        let of_planes = planes.iter().map(|(width, _)| n_bytes(*width, n)).sum();
        let n_escapes = cursor.0.len().checked_sub(of_planes).ok_or_else(|| corrupt("ends before its mantissas do"))?;
        let escapes = cursor.0;
        cursor.take(n_escapes)?;
        for (width, plane) in &mut planes {
            *plane = cursor.take(n_bytes(*width, n))?;
        }
        let (n_zeros, has_repeats, table) = (n_zeros.into(), source_bits > 0, code.table());
        Ok(Page { layout, n_zeros, has_repeats, n_rows, table, lanes, positions, ends, escapes, n_escapes, planes })
    }

    /// Decodes chunk by chunk, handing the parts of a chunk, a buffer and the room for its numbers to `join`.
    fn fill<T: Copy>(
        &mut self,
        shape: PageShape,
        mut page: Page<'_>,
        out: &mut [T],
        join: impl Fn(Parts<'_>, Layout, &mut Vec<u8>, &mut [T]),
    ) -> Result<()> {
        let mut chunk = std::mem::take(&mut self.chunk);
        let stored = out.get_mut(..page.n_rows * shape.row_width()).unwrap_or_default();
        for (i, out) in stored.chunks_mut(CHUNK).enumerate() {
            chunk.decode(&mut page, &self.channels, i * CHUNK, out.len())?;
            let parts = Parts {
                signs: &chunk.signs,
                exponents: &chunk.exponents,
                planes: chunk.planes.each_ref().map(Vec::as_slice),
                n_zeros: page.n_zeros,
            };
            join(parts, page.layout, &mut chunk.numbers, out);
        }
        self.chunk = chunk;
        let ends = page.positions.iter().map(|position| position.div_ceil(8) as usize);
        if !ends.eq(page.ends) || page.n_escapes > 0 {
            return Err(corrupt("has codes for other numbers than there are"));
        }
        if page.has_repeats {
            self.repeats.spread(out, shape.row_width());
        }
        Ok(())
    }
}

impl Chunk {
    /// The parts of `n` numbers from number `first` on.
    fn decode(&mut self, page: &mut Page<'_>, channels: &Channels, first: usize, n: usize) -> Result<()> {
        let (target, references) = (Target::best(), channels.of(first, n));
        for part in [&mut self.entries, &mut self.exponents, &mut self.signs].into_iter().chain(&mut self.planes) {
            part.resize(n, 0);
        }
        simd::decode_lanes(target, page.lanes, &page.table, &mut page.positions, &mut self.entries);
        simd::parts_of(target, &self.entries, references, &mut self.exponents, &mut self.signs);
        let n_escapes = simd::merge_marked(target, &self.entries, ESCAPES[0] << 3, page.escapes, &mut self.exponents);
        page.escapes = page.escapes.get(n_escapes..).unwrap_or_default();
        page.n_escapes = page.n_escapes.checked_sub(n_escapes).ok_or_else(|| corrupt("has too few exponents apart"))?;
        for ((n_bits, stored), plane) in page.planes.iter_mut().zip(&mut self.planes) {
            let stored = stored.split_off(..n_bytes(*n_bits, n).min(stored.len())).unwrap_or_default();
            match *n_bits {
                // The buffer has the plane of a page before.
                0 => plane.fill(0),
                n_bits => simd::unpack_bits(target, n_bits, stored, plane),
            }
        }
        Ok(())
    }
}

/// The numbers of a page that are not coded.
fn as_they_are(stored: &[u8]) -> Option<&[u8]> {
    stored.split_first().filter(|(form, _)| **form == AS_THEY_ARE).map(|(_, numbers)| numbers)
}
