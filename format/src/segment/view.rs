//! A KV log in a segment, decoded layer by layer when it is read.
//!
//! Every page's checksum is checked each time the page is read, so what comes back is what was written.

use super::bytes::Bytes;
use super::directory::{Directory, StoredPage, directory_range};
use super::footer::RowGroup;
use super::grid::{GridPage, Part};
use crate::encoding::Decoder;
use crate::{ElementType, Encoding, FormatError, KvLayer, KvLog, KvRead, ModelFingerprint, Result};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// One row group of a segment, read in place. Cloning is cheap; with owned bytes it is `KvLogView<'static>`.
#[derive(Clone)]
pub struct KvLogView<'a> {
    row_group: RowGroup,
    directory: Arc<Directory>,
    bytes: Bytes<'a>,
}

/// One page as `lagdb inspect` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageInfo {
    /// Layer, from 0.
    pub layer: u32,
    /// Keys or values.
    pub part: Part,
    /// Number of its first token in the log.
    pub first_token: u32,
    /// Tokens in it.
    pub n_tokens: u32,
    /// How its numbers are represented.
    pub encoding: Encoding,
    /// Where it begins in the segment; a multiple of 64.
    pub offset: u64,
    /// Bytes in the file, without padding.
    pub stored_bytes: u32,
    /// Bytes of its numbers, decoded.
    pub raw_bytes: u32,
    /// Its checksum, as the directory has it.
    pub crc: u32,
    /// Whether the bytes match the checksum.
    pub is_sound: bool,
}

impl<'a> KvLogView<'a> {
    /// The KV log of `row_group`, whose bytes (its [`range`](RowGroup::range) of the file) are `bytes`.
    ///
    /// Reads the directory; pages are checked when they are read.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when `bytes` has another length, [`FormatError::Corrupt`] when the directory is
    /// wrong, [`FormatError::Unsupported`] when a page has an encoding that is not known.
    pub fn new(row_group: &RowGroup, bytes: impl Into<Bytes<'a>>) -> Result<Self> {
        let bytes = bytes.into();
        let n_bytes = bytes.as_slice().len();
        if n_bytes as u64 != row_group.n_bytes {
            return Err(FormatError::invalid("bytes", format!("{n_bytes} instead of {}", row_group.n_bytes)));
        }
        let directory = Arc::new(Directory::read(row_group, bytes.as_slice())?);
        Ok(Self { row_group: row_group.clone(), directory, bytes })
    }

    /// What the footer says of the log.
    pub fn row_group(&self) -> &RowGroup {
        &self.row_group
    }

    /// The keys of `layer` as they were written, `[n_tokens, n_kv_heads, head_dim]` numbers of the log's element
    /// type; borrowed when they are one plain page.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such layer, [`FormatError::Corrupt`] when the bytes are wrong.
    pub fn keys_raw(&self, layer: u32) -> Result<Cow<'_, [u8]>> {
        self.raw(layer, Part::Keys)
    }

    /// The values of `layer`; otherwise as [`keys_raw`](Self::keys_raw).
    ///
    /// # Errors
    /// As [`keys_raw`](Self::keys_raw).
    pub fn values_raw(&self, layer: u32) -> Result<Cow<'_, [u8]>> {
        self.raw(layer, Part::Values)
    }

    /// Writes the keys of `layer` as they were written into `out` of exactly that many bytes.
    ///
    /// # Errors
    /// As [`keys_raw`](Self::keys_raw); also [`FormatError::Invalid`] when `out` has another length.
    pub fn copy_keys(&self, layer: u32, out: &mut [u8]) -> Result<()> {
        self.copy(layer, Part::Keys, out)
    }

    /// Writes the values of `layer`; otherwise as [`copy_keys`](Self::copy_keys).
    ///
    /// # Errors
    /// As [`copy_keys`](Self::copy_keys).
    pub fn copy_values(&self, layer: u32, out: &mut [u8]) -> Result<()> {
        self.copy(layer, Part::Values, out)
    }

    /// The whole log in memory, byte for byte what was written.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] when the bytes are wrong.
    pub fn to_log(&self) -> Result<KvLog> {
        let layer = |layer| {
            let (keys, values) = (self.keys_raw(layer)?.into_owned(), self.values_raw(layer)?.into_owned());
            Ok(KvLayer { keys, values })
        };
        let layers = (0..self.row_group.grid.n_layers).map(layer).collect::<Result<_>>()?;
        let Directory { token_ids, positions, .. } = &*self.directory;
        KvLog::new(*self.fingerprint(), self.element(), token_ids.clone(), positions.clone(), layers)
    }

    /// Every page, in file order, with its checksum tried.
    pub fn pages(&self) -> impl Iterator<Item = PageInfo> + '_ {
        self.all_pages().map(|(page, stored)| PageInfo {
            layer: page.layer,
            part: page.part,
            first_token: page.first_token,
            n_tokens: page.n_tokens,
            encoding: stored.encoding,
            offset: self.offset_of(stored),
            stored_bytes: stored.n_bytes,
            raw_bytes: page.raw_bytes as u32,
            crc: stored.crc,
            is_sound: self.page_bytes(&page, stored).is_ok(),
        })
    }

    /// Checks the checksum of every page, without decoding any.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] naming the first page that is damaged by its offset in the segment.
    pub fn check_pages(&self) -> Result<()> {
        self.all_pages().try_for_each(|(page, stored)| self.page_bytes(&page, stored).map(drop))
    }

    /// Everything that is wrong with the row group: checksums, encoded bytes and padding.
    pub(crate) fn faults(&self) -> Vec<FormatError> {
        let mut decoder = Decoder::default();
        let mut raw = Vec::new();
        let mut faults = Vec::new();
        for (page, stored) in self.all_pages() {
            raw.resize(page.raw_bytes, 0);
            faults.extend(self.decode(&mut decoder, &page, stored, &mut raw).err());
            faults.extend(self.check_padding(stored.range().end).err());
        }
        faults.extend(directory_range(&self.row_group).and_then(|range| self.check_padding(range.end).err()));
        faults
    }

    /// The pages with their numbers, in file order.
    pub(crate) fn all_pages(&self) -> impl Iterator<Item = (GridPage, &StoredPage)> + '_ {
        let grid = &self.row_group.grid;
        self.directory.pages.iter().enumerate().filter_map(|(number, stored)| Some((grid.page(number)?, stored)))
    }

    /// The stored bytes of a page, after their checksum matched.
    pub(crate) fn page_bytes(&self, page: &GridPage, stored: &StoredPage) -> Result<&[u8]> {
        let bytes = self.unchecked_bytes(stored)?;
        self.check(stored, self.row_group.address.page_crc(page, stored.encoding, bytes))?;
        Ok(bytes)
    }

    /// Hands on the stored bytes of a page block by block; what came of them counts only if this returns `Ok`.
    fn page_blocks(&self, page: &GridPage, stored: &StoredPage, hand_on: impl FnMut(&[u8])) -> Result<()> {
        let bytes = self.unchecked_bytes(stored)?;
        self.check(stored, self.row_group.address.page_crc_by_block(page, stored.encoding, bytes, hand_on))
    }

    fn unchecked_bytes(&self, stored: &StoredPage) -> Result<&[u8]> {
        let outside = || FormatError::corrupt(self.offset_of(stored), "stored bytes", "lie outside the row group");
        self.bytes.as_slice().get(stored.range()).ok_or_else(outside)
    }

    fn check(&self, stored: &StoredPage, crc: u32) -> Result<()> {
        if crc == stored.crc {
            return Ok(());
        }
        Err(FormatError::corrupt(self.offset_of(stored), "page checksum", "does not match"))
    }

    fn offset_of(&self, stored: &StoredPage) -> u64 {
        self.row_group.offset.saturating_add(stored.start as u64)
    }

    fn decode(&self, decoder: &mut Decoder, page: &GridPage, stored: &StoredPage, raw: &mut [u8]) -> Result<()> {
        if stored.encoding == Encoding::Plain {
            let mut rest = raw;
            return self.page_blocks(page, stored, |block| {
                if let Some(here) = rest.split_off_mut(..block.len()) {
                    here.copy_from_slice(block);
                }
            });
        }
        let bytes = self.page_bytes(page, stored)?;
        let decoded = decoder.decode(stored.encoding, page.shape(self.geometry(), self.element()), bytes, raw);
        decoded.map_err(|error| error.at(self.offset_of(stored)))
    }

    fn decode_f32(&self, decoder: &mut Decoder, page: &GridPage, stored: &StoredPage, out: &mut [f32]) -> Result<()> {
        let element = self.element();
        if stored.encoding == Encoding::Plain {
            let (mut rest, mut decoded) = (out, Ok(()));
            self.page_blocks(page, stored, |block| {
                if let Some(here) = rest.split_off_mut(..block.len() / element.n_bytes()) {
                    decoded = std::mem::replace(&mut decoded, Ok(())).and(element.decode_f32(block, here));
                }
            })?;
            return decoded;
        }
        let bytes = self.page_bytes(page, stored)?;
        let decoded = decoder.decode_f32(stored.encoding, page.shape(self.geometry(), element), bytes, out);
        decoded.map_err(|error| error.at(self.offset_of(stored)))
    }

    /// The bytes from `start` to the next aligned one are zero.
    fn check_padding(&self, start: usize) -> Result<()> {
        let end = start.next_multiple_of(super::layout::ALIGNMENT);
        let padding = self.bytes.as_slice().get(start..end).unwrap_or_default();
        match padding.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(i) => Err(FormatError::corrupt(self.row_group.offset + (start + i) as u64, "padding", "is not zero")),
        }
    }

    /// The pages of one column chunk.
    fn chunk(&self, layer: u32, part: Part) -> Result<impl Iterator<Item = (GridPage, &StoredPage)> + '_> {
        let grid = &self.row_group.grid;
        let numbers = grid
            .chunk(layer, part)
            .ok_or_else(|| FormatError::invalid("layer", format!("{layer} of {}", grid.n_layers)))?;
        let stored = self.directory.pages.get(numbers.clone()).unwrap_or_default();
        Ok(numbers.filter_map(|number| grid.page(number)).zip(stored))
    }

    fn raw(&self, layer: u32, part: Part) -> Result<Cow<'_, [u8]>> {
        let mut pages = self.chunk(layer, part)?;
        if let (Some((page, stored)), None) = (pages.next(), pages.next())
            && stored.encoding == Encoding::Plain
        {
            return self.page_bytes(&page, stored).map(Cow::Borrowed);
        }
        let mut raw = vec![0; self.row_group.grid.chunk_bytes()];
        self.copy(layer, part, &mut raw)?;
        Ok(Cow::Owned(raw))
    }

    fn copy(&self, layer: u32, part: Part, out: &mut [u8]) -> Result<()> {
        let wanted = self.row_group.grid.chunk_bytes();
        if out.len() != wanted {
            return Err(FormatError::invalid("out", format!("{} bytes instead of {wanted}", out.len())));
        }
        let mut decoder = Decoder::default();
        let mut rest = out;
        for (page, stored) in self.chunk(layer, part)? {
            let (here, after) = split(rest, page.raw_bytes)?;
            self.decode(&mut decoder, &page, stored, here)?;
            rest = after;
        }
        Ok(())
    }

    fn read(&self, layer: u32, part: Part, out: &mut [f32]) -> Result<()> {
        let n_bytes = self.element().n_bytes();
        let wanted = self.row_group.grid.chunk_bytes() / n_bytes;
        if out.len() != wanted {
            return Err(FormatError::invalid("out", format!("{} numbers instead of {wanted}", out.len())));
        }
        let mut decoder = Decoder::default();
        let mut rest = out;
        for (page, stored) in self.chunk(layer, part)? {
            let (here, after) = split(rest, page.raw_bytes / n_bytes)?;
            self.decode_f32(&mut decoder, &page, stored, here)?;
            rest = after;
        }
        Ok(())
    }
}

fn split<T>(rest: &mut [T], n: usize) -> Result<(&mut [T], &mut [T])> {
    let n_left = rest.len();
    rest.split_at_mut_checked(n).ok_or_else(|| FormatError::invalid("out", format!("{n_left} left of {n}")))
}

impl fmt::Debug for KvLogView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KvLogView").field("row_group", &self.row_group).finish_non_exhaustive()
    }
}

impl KvRead for KvLogView<'_> {
    fn fingerprint(&self) -> &ModelFingerprint {
        self.row_group.fingerprint()
    }

    fn element(&self) -> ElementType {
        self.row_group.element()
    }

    fn token_ids(&self) -> &[u32] {
        &self.directory.token_ids
    }

    fn positions(&self) -> &[u32] {
        &self.directory.positions
    }

    fn read_keys(&self, layer: u32, out: &mut [f32]) -> Result<()> {
        self.read(layer, Part::Keys, out)
    }

    fn read_values(&self, layer: u32, out: &mut [f32]) -> Result<()> {
        self.read(layer, Part::Values, out)
    }
}
