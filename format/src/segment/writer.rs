//! Writes a segment front to back: header, row groups, footer, tail. Nothing written is ever changed.

use super::address::RowGroupAddress;
use super::directory::{Directory, StoredPage};
use super::footer::{FooterV1, RowGroupIndex, RowGroupV1};
use super::grid::{GridPage, PageGrid, Part};
use super::header;
use super::identity::Identity;
use super::layout::{ALIGNMENT, HEADER_BYTES, TAIL_BYTES, TARGET_PAGE_BYTES, pad};
use super::tail::FooterRange;
use super::view::KvLogView;
use crate::encoding::Encoder;
use crate::{Encoding, FormatError, KvLog, KvRead, ModelFingerprint, Result};

/// A segment being written into memory.
///
/// Large segments need not stay there: [`take`](Self::take) hands over what is finished.
pub struct SegmentWriter {
    identity: Identity,
    out: Vec<u8>,
    taken_bytes: u64,
    fingerprints: Vec<ModelFingerprint>,
    row_groups: Vec<RowGroupV1>,
    encoder: Encoder,
    page_bytes: usize,
}

impl SegmentWriter {
    /// A segment without row groups. The id is part of every checksum: it must be the one the segment is found by.
    pub fn new(segment_id: u64) -> Self {
        let identity = Identity::new(segment_id);
        let mut out = Vec::new();
        header::write(identity, &mut out);
        let (fingerprints, row_groups, encoder) = Default::default();
        Self { identity, out, taken_bytes: 0, fingerprints, row_groups, encoder, page_bytes: TARGET_PAGE_BYTES }
    }

    /// Fills pages up to `page_bytes` only, so that tests have many pages in few bytes.
    #[doc(hidden)]
    pub fn with_page_bytes(mut self, page_bytes: usize) -> Self {
        self.page_bytes = page_bytes.min(TARGET_PAGE_BYTES);
        self
    }

    /// Adds a KV log as the next row group.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when the log has a size that the format cannot say (no layers, a token's row above
    /// 1 MiB, 2³² tokens); the segment is then as it was before.
    pub fn push(&mut self, log: &KvLog, encoding: Encoding) -> Result<RowGroupIndex> {
        let n_tokens = u32::try_from(log.n_tokens()).map_err(|_| FormatError::invalid("log", "2^32 tokens or more"))?;
        let grid = PageGrid::for_writing(log.geometry(), log.element(), n_tokens, self.page_bytes)
            .map_err(|detail| FormatError::invalid("log", detail))?;
        if encoding == Encoding::Plain {
            let chunk_bytes = grid.chunk_bytes().saturating_add(ALIGNMENT);
            self.out.reserve(chunk_bytes.saturating_mul(2 * log.layers().len()));
        }
        self.push_pages(log, grid, |encoder, number, out| {
            let page = grid.page(number).ok_or_else(|| FormatError::invalid("page", number))?;
            let shape = page.shape(log.geometry(), log.element());
            encoder.encode(encoding, shape, raw_page(log, &grid, &page)?, out)?;
            Ok(encoding)
        })
    }

    /// Adds a KV log of another segment as the next row group, its pages as they are stored there.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] when a page of `view` is wrong; the segment is then as it was before.
    pub fn push_view(&mut self, view: &KvLogView<'_>) -> Result<RowGroupIndex> {
        let mut pages = view.all_pages();
        self.out.reserve(usize::try_from(view.row_group().encoded_bytes()).unwrap_or(0));
        self.push_pages(view, view.row_group().grid, |_, number, out| {
            let (page, stored) = pages.next().ok_or_else(|| FormatError::invalid("page", number))?;
            out.extend_from_slice(view.page_bytes(&page, stored)?);
            Ok(stored.encoding)
        })
    }

    /// Bytes of the segment so far, including those taken.
    pub fn n_bytes(&self) -> u64 {
        self.taken_bytes + self.out.len() as u64
    }

    /// Row groups so far.
    pub fn n_row_groups(&self) -> usize {
        self.row_groups.len()
    }

    /// Takes the bytes written since the last call; they are final. [`finish`](Self::finish) returns the rest.
    pub fn take(&mut self) -> Vec<u8> {
        self.taken_bytes = self.n_bytes();
        std::mem::take(&mut self.out)
    }

    /// Hands the bytes written since the last call to `write` and keeps their memory for what comes next; otherwise
    /// as [`take`](Self::take).
    ///
    /// # Errors
    /// Those of `write`; the bytes are then not taken.
    pub fn drain<E>(&mut self, write: impl FnOnce(&[u8]) -> std::result::Result<(), E>) -> std::result::Result<(), E> {
        write(&self.out)?;
        self.taken_bytes = self.n_bytes();
        self.out.clear();
        Ok(())
    }

    /// Adds footer and tail and returns all bytes not yet taken.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when the footer would be too large.
    pub fn finish(self) -> Result<Vec<u8>> {
        let offset = self.n_bytes();
        let fingerprints = self.fingerprints.iter().map(Into::into).collect();
        let footer = FooterV1 { segment_id: self.identity.segment_id, fingerprints, row_groups: self.row_groups };
        let footer = footer.write()?;
        let n_bytes = u32::try_from(footer.len()).map_err(|_| FormatError::invalid("segment", "footer above 4 GiB"))?;
        let crc = crc32c::crc32c(&footer);
        let mut out = self.out;
        out.reserve_exact(footer.len() + TAIL_BYTES);
        out.extend_from_slice(&footer);
        FooterRange { identity: self.identity, offset, n_bytes, crc }.write(&mut out);
        Ok(out)
    }

    /// One row group whose pages come from `write_page`, or nothing at all.
    fn push_pages(
        &mut self,
        log: &dyn KvRead,
        grid: PageGrid,
        write_page: impl FnMut(&mut Encoder, usize, &mut Vec<u8>) -> Result<Encoding>,
    ) -> Result<RowGroupIndex> {
        let row_group = u32::try_from(self.row_groups.len()).map_err(|_| FormatError::invalid("segment", "is full"))?;
        let address = RowGroupAddress { segment_id: self.identity.segment_id, row_group, element: log.element() };
        let start = self.out.len();
        let pages = self.write_pages(address, grid, write_page).inspect_err(|_| self.out.truncate(start))?;
        let directory = Directory { token_ids: log.token_ids().into(), positions: log.positions().into(), pages };
        directory.write(|bytes| address.directory_crc(&grid, bytes), &mut self.out);
        let entry = RowGroupV1 {
            n_bytes: (self.out.len() - start) as u64,
            n_tokens: grid.n_tokens,
            tokens_per_page: grid.tokens_per_page,
            fingerprint: self.fingerprint_number(log.fingerprint()),
            element: log.element() as u8,
        };
        self.row_groups.push(entry);
        Ok(RowGroupIndex(row_group))
    }

    fn write_pages(
        &mut self,
        address: RowGroupAddress,
        grid: PageGrid,
        mut write_page: impl FnMut(&mut Encoder, usize, &mut Vec<u8>) -> Result<Encoding>,
    ) -> Result<Vec<StoredPage>> {
        debug_assert_eq!((self.n_bytes() - HEADER_BYTES as u64) % ALIGNMENT as u64, 0);
        let row_group_start = self.out.len();
        let mut pages = Vec::with_capacity(grid.n_pages());
        for number in 0..grid.n_pages() {
            let start = self.out.len();
            let encoding = write_page(&mut self.encoder, number, &mut self.out)?;
            let stored = self.out.get(start..).unwrap_or_default();
            let page = grid.page(number).ok_or_else(|| FormatError::invalid("page", number))?;
            let crc = address.page_crc(&page, encoding, stored);
            let n_bytes = u32::try_from(stored.len()).map_err(|_| FormatError::invalid("page", "above 4 GiB"))?;
            pages.push(StoredPage { start: start - row_group_start, n_bytes, crc, encoding });
            pad(&mut self.out);
        }
        Ok(pages)
    }

    /// Number of the fingerprint in the footer's table, added when it is new.
    fn fingerprint_number(&mut self, fingerprint: &ModelFingerprint) -> u32 {
        let known = self.fingerprints.iter().position(|known| known == fingerprint);
        let number = known.unwrap_or_else(|| {
            self.fingerprints.push(*fingerprint);
            self.fingerprints.len() - 1
        });
        // There are at most as many fingerprints as row groups, and those fit.
        number as u32
    }
}

/// The bytes of one page of a log in memory.
fn raw_page<'a>(log: &'a KvLog, grid: &PageGrid, page: &GridPage) -> Result<&'a [u8]> {
    let layer = log.layers().get(page.layer as usize);
    let chunk = layer.map(|layer| match page.part {
        Part::Keys => &layer.keys,
        Part::Values => &layer.values,
    });
    chunk
        .and_then(|chunk| chunk.get(grid.raw_range(page)))
        .ok_or_else(|| FormatError::invalid("layer", format!("{} is too short", page.layer)))
}
