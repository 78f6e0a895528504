//! The pages of a row group one by one: for `inspect`, `verify` and copying.

use super::super::grid::Part;
use super::super::key_summary;
use super::super::layout::ALIGNMENT;
use super::super::out::Out;
use super::super::page::Page;
use super::KvLogView;
use crate::encoding::{Decoder, PageError};
use crate::{Encoding, FormatError, Result};

/// One page as `lagdb inspect` shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageInfo {
    /// 0, or more for a page that makes the numbers of level 0 more precise.
    pub level: u8,
    /// Layer, from 0.
    pub layer: u32,
    /// Keys or values.
    pub part: Part,
    /// The KV head it holds; `None` when it holds all.
    pub head: Option<u32>,
    /// Number of its first token in its column chunk.
    pub first_token: u32,
    /// Tokens in it.
    pub n_tokens: u32,
    /// How its numbers are represented.
    pub encoding: Encoding,
    /// How far they are from what was encoded.
    pub error: PageError,
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

impl KvLogView<'_> {
    /// Every page at hand, in file order, with its checksum tried.
    pub fn pages(&self) -> impl Iterator<Item = PageInfo> + '_ {
        self.all_pages().map(|page| PageInfo {
            level: page.place.level,
            layer: page.place.layer,
            part: page.place.part,
            head: self.row_group.shape.is_ragged().then_some(page.place.head),
            first_token: page.place.first_token,
            n_tokens: page.place.n_tokens,
            encoding: page.stored.encoding,
            error: page.stored.error,
            offset: page.offset,
            stored_bytes: page.stored.n_bytes,
            raw_bytes: page.place.raw_bytes as u32,
            crc: page.stored.crc,
            is_sound: page.checked().is_ok(),
        })
    }

    /// Pages of all layers.
    pub fn n_pages(&self) -> usize {
        self.directory.pages.len()
    }

    /// Checks the checksum of every page at hand, without decoding any.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] naming the first page that is damaged by its offset in the segment.
    pub fn check_pages(&self) -> Result<()> {
        self.all_pages().try_for_each(|page| page.checked().map(drop))
    }

    /// Everything that is wrong with the row group: checksums, encoded bytes, sections and padding.
    pub fn faults(&self) -> Vec<FormatError> {
        let mut decoder = Decoder::default();
        let mut raw = Vec::new();
        let mut faults = Vec::new();
        for page in self.all_pages() {
            let checked = page.checked();
            faults.extend(checked.err());
            faults.extend(self.check_padding(page.stored.range().end).err());
        }
        // Bytes that match their checksum and yet are no numbers: somebody wrote them so.
        let is_sound = faults.is_empty();
        for number in (0..self.directory.grid.pages_per_level()).filter(|_| is_sound) {
            let levels = self.levels(number);
            let Some(base) = levels.first() else { continue };
            raw.resize(base.place.raw_bytes, 0);
            let rows = 0..base.place.n_tokens as usize;
            faults.extend(Page::read_levels(&levels, &mut decoder, rows, Out::Bytes(&mut raw)).err());
        }
        let n_layers = self.row_group.shape.geometry.n_layers;
        for layer in (0..n_layers).filter(|_| is_sound) {
            if let Err(error) = self.check_summaries(layer, &mut decoder) {
                faults.push(error);
                break;
            }
        }
        if let Some(sections) = &self.directory.sections {
            let bytes = self.directory_bytes();
            faults.extend(sections.list().iter().filter_map(|section| sections.bytes(bytes, section).err()));
            faults.extend(self.probes().err());
        }
        faults.extend(self.check_padding(self.directory.range.end).err());
        faults
    }

    /// What the key summaries say of `layer` is true of its keys, at every level.
    fn check_summaries(&self, layer: u32, decoder: &mut Decoder) -> Result<()> {
        let Some(summaries) = self.key_summaries(layer)? else { return Ok(()) };
        for (number, summary) in self.part(layer, Part::Keys)?.zip(summaries) {
            let levels = self.levels(number);
            let Some(base) = levels.first() else { continue };
            let errors: Vec<_> = levels.iter().map(|level| level.stored.error).collect();
            let stored = levels.iter().map(|level| Ok((level.stored.encoding, level.encoded()?)));
            let found =
                key_summary::of_page(decoder, base.page_shape(), &stored.collect::<Result<Vec<_>>>()?, &errors)?;
            if found.len() != summary.heads.len() || !summary.heads.iter().zip(&found).all(|(said, is)| said.holds(is))
            {
                return Err(FormatError::corrupt(
                    base.offset,
                    "key summaries",
                    "do not hold for the keys of this page",
                ));
            }
        }
        Ok(())
    }

    /// The pages at hand in file order, whose checksums are tried whatever was found before.
    pub(crate) fn all_pages(&self) -> impl Iterator<Item = Page<'_>> + '_ {
        let at_hand = |page: &Page<'_>| page.stored.range().end <= self.bytes().len();
        let pages = (0..self.directory.pages.len()).filter_map(|number| self.page(number));
        pages.map(|page| Page { is_checked: false, ..page }).take_while(at_hand)
    }

    /// The page with this number.
    pub(crate) fn page(&self, number: usize) -> Option<Page<'_>> {
        let stored = self.directory.pages.get(number)?;
        Some(Page {
            address: &self.row_group.address,
            shape: &self.row_group.shape,
            place: self.directory.grid.page(number)?,
            stored,
            bytes: self.bytes(),
            offset: self.row_group.offset.saturating_add(stored.start as u64),
            is_past_caches: false,
            is_checked: self.is_checked,
        })
    }

    /// The bytes from `start` to the next aligned one are zero.
    fn check_padding(&self, start: usize) -> Result<()> {
        let end = start.next_multiple_of(ALIGNMENT);
        let padding = self.bytes().get(start..end).unwrap_or_default();
        match padding.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(i) => Err(FormatError::corrupt(self.row_group.offset + (start + i) as u64, "padding", "is not zero")),
        }
    }
}
