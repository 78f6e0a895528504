//! Writes a segment front to back: header, row groups, footer, tail. Nothing written is ever changed.

mod log_pages;

use super::address::RowGroupAddress;
use super::directory::{self, StoredPage};
use super::footer::{self, Entries, Entry, EntryRest, RowGroupIndex};
use super::grid::{GridPage, GridShape, PageGrid};
use super::header;
use super::identity::Identity;
use super::key_summary::KeySummary;
use super::layout::{ALIGNMENT, HEADER_BYTES, TAIL_BYTES, TARGET_PAGE_BYTES, VERSION, pad};
use super::sections::NewSection;
use super::tail::FooterRange;
use super::view::KvLogView;
use crate::encoding::Encoder;
use crate::planner::Plan;
use crate::{Digest, Encoding, FormatError, KvLog, KvRead, ModelFingerprint, Result, crc};
use log_pages::{Choice, EncodedPage, LogPages};

/// A segment being written into memory.
///
/// Large segments need not stay there: [`take`](Self::take) hands over what is finished.
pub struct SegmentWriter {
    identity: Identity,
    out: Vec<u8>,
    taken_bytes: u64,
    entries: Entries,
    encoder: Encoder,
    page_bytes: usize,
    summarizes_keys: bool,
}

/// Pages that were written, and what is known of those of keys.
#[derive(Default)]
struct Written {
    pages: Vec<StoredPage>,
    summaries: Vec<KeySummary>,
}

impl SegmentWriter {
    /// A segment without row groups. The id is part of every checksum: it must be the one the segment is found by.
    pub fn new(segment_id: u64) -> Self {
        let identity = Identity::new(segment_id);
        let mut out = Vec::new();
        header::write(identity, &mut out);
        let (entries, encoder) = Default::default();
        Self { identity, out, taken_bytes: 0, entries, encoder, page_bytes: TARGET_PAGE_BYTES, summarizes_keys: false }
    }

    /// Keeps a [`KeySummary`] per KV head of every page of keys, so that attention can skip pages; costs 7 bytes per
    /// page and number of a token's keys.
    pub fn with_key_summaries(mut self) -> Self {
        self.summarizes_keys = true;
        self
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
    /// 1 MiB, 2³² tokens) or numbers that the encoding cannot; the segment is then as it was before.
    pub fn push(&mut self, log: &KvLog, encoding: Encoding) -> Result<RowGroupIndex> {
        self.push_levels(log, &[encoding])
    }

    /// Adds a KV log as the next row group, its pages in levels: [`Encoding::LAYERED`] or the first of it. One log then
    /// serves a reader that is in a hurry and one that is not; see [`KvLogView::with_precision`].
    ///
    /// # Errors
    /// As [`push`](Self::push); [`FormatError::Invalid`] for other levels.
    pub fn push_levels(&mut self, log: &KvLog, levels: &[Encoding]) -> Result<RowGroupIndex> {
        let n_levels = u8::try_from(levels.len()).map_err(|_| FormatError::invalid("log", "256 levels or more"))?;
        self.push_log(log, n_levels, Choice::Levels(levels))
    }

    /// Adds a KV log as the next row group, its keys and values of each layer encoded as planned.
    ///
    /// # Errors
    /// As [`push`](Self::push); [`FormatError::Invalid`] for a plan of another number of layers.
    pub fn push_plan(&mut self, log: &KvLog, plan: &Plan) -> Result<RowGroupIndex> {
        if !plan.is_for(log.geometry().n_layers) {
            return Err(FormatError::invalid("plan", "is for another number of layers"));
        }
        self.push_log(log, plan.n_levels(), Choice::Plan(plan))
    }

    fn push_log(&mut self, log: &KvLog, n_levels: u8, choice: Choice<'_>) -> Result<RowGroupIndex> {
        let too_many = |what: &'static str| FormatError::invalid("log", what);
        let n_tokens = u32::try_from(log.n_tokens()).map_err(|_| too_many("2^32 tokens or more"))?;
        let n_rows = log.heads().map(crate::HeadTokens::n_rows);
        let shape = GridShape::for_writing(log.geometry(), log.element(), n_tokens, n_levels, n_rows, self.page_bytes)
            .map_err(|detail| FormatError::invalid("log", detail))?;
        if log.fingerprint().adapters == Some(Digest([0; 32])) {
            return Err(FormatError::invalid("adapters", "the digest of zeros means that there are none"));
        }
        if self.summarizes_keys && !log.geometry().head_dim.is_multiple_of(2) {
            return Err(FormatError::invalid("log", "key summaries are of pairs, its head width is odd"));
        }
        let grid = PageGrid::new(shape, log.heads());
        if matches!(choice, Choice::Levels([Encoding::Plain])) {
            let padding = grid.n_pages().saturating_mul(ALIGNMENT);
            self.out.reserve(usize::try_from(shape.decoded_bytes()).unwrap_or(0).saturating_add(padding));
        }
        let mut pages = LogPages::new(log, shape, choice, self.summarizes_keys);
        let sections = directory::sections_of(log);
        self.push_pages(log, log.is_approximate(), &grid, sections, |encoder, page, out| {
            pages.encode(encoder, page, out)
        })
    }

    /// Adds a KV log of another segment as the next row group, its pages as they are stored there.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] when a page of `view` is wrong; [`FormatError::Invalid`] when it is not all of a row
    /// group; the segment is then as it was before.
    pub fn push_view(&mut self, view: &KvLogView<'_>) -> Result<RowGroupIndex> {
        if !view.is_whole() {
            return Err(FormatError::invalid("view", "is a part of a log; read it and write that"));
        }
        let sections = directory::sections_of_view(view)?;
        let mut pages = view.all_pages();
        self.out.reserve(usize::try_from(view.row_group().encoded_bytes()).unwrap_or(0));
        // What its pages lose is in their entries, which are copied with them.
        let is_approximate = view.row_group().is_approximate;
        self.push_pages(view, is_approximate, &view.directory().grid, sections, |_, place, out| {
            let page = pages.next().ok_or_else(|| FormatError::invalid("page", place.first_token))?;
            out.extend_from_slice(page.encoded()?);
            Ok(EncodedPage { encoding: page.stored.encoding, error: page.stored.error, summaries: Vec::new() })
        })
    }

    /// Bytes of the segment so far, including those taken.
    pub fn n_bytes(&self) -> u64 {
        self.taken_bytes + self.out.len() as u64
    }

    /// Row groups so far.
    pub fn n_row_groups(&self) -> usize {
        self.entries.row_groups.len()
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
        let mut out = self.out;
        let start = out.len();
        footer::write(self.identity.segment_id, &self.entries, &mut out);
        let footer = out.get(start..).unwrap_or_default();
        let n_bytes = u32::try_from(footer.len()).map_err(|_| FormatError::invalid("segment", "footer above 4 GiB"))?;
        let crc = crc32c::crc32c(footer);
        out.reserve_exact(TAIL_BYTES);
        FooterRange { identity: self.identity, offset, n_bytes, crc }.write(&mut out);
        Ok(out)
    }

    /// One row group whose pages come from `encode_page`, or nothing at all.
    fn push_pages(
        &mut self,
        log: &dyn KvRead,
        is_approximate: bool,
        grid: &PageGrid,
        mut sections: Vec<NewSection>,
        encode_page: impl FnMut(&mut Encoder, &GridPage, &mut Vec<u8>) -> Result<EncodedPage>,
    ) -> Result<RowGroupIndex> {
        let row_group = u32::try_from(self.n_row_groups()).ok().filter(|n| *n < u32::MAX);
        let row_group = row_group.ok_or_else(|| FormatError::invalid("segment", "is full"))?;
        let segment_id = self.identity.segment_id;
        let address = RowGroupAddress { version: VERSION, segment_id, row_group, element: log.element() };
        let start = self.out.len();
        let written = self.write_pages(&address, grid, encode_page);
        let Written { pages, summaries } = written.inspect_err(|_| self.out.truncate(start))?;
        if !summaries.is_empty() {
            sections.push(directory::key_summaries(&summaries));
        }
        let directory_bytes = directory::write(address.sections(), &pages, sections, &mut self.out) as u64;
        let GridShape { n_tokens, tokens_per_page, n_levels, n_rows, .. } = grid.shape;
        let entry = Entry {
            n_bytes: (self.out.len() - start) as u64,
            n_tokens,
            tokens_per_page,
            fingerprint: self.fingerprint_number(log.fingerprint()),
            element: log.element() as u8,
            rest: Some(EntryRest { directory_bytes, n_rows, n_levels, is_approximate }),
        };
        self.entries.row_groups.push(entry);
        Ok(RowGroupIndex(row_group))
    }

    fn write_pages(
        &mut self,
        address: &RowGroupAddress,
        grid: &PageGrid,
        mut encode_page: impl FnMut(&mut Encoder, &GridPage, &mut Vec<u8>) -> Result<EncodedPage>,
    ) -> Result<Written> {
        debug_assert_eq!((self.n_bytes() - HEADER_BYTES as u64) % ALIGNMENT as u64, 0);
        let row_group_start = self.out.len();
        let mut written = Written { pages: Vec::with_capacity(grid.n_pages()), summaries: Vec::new() };
        for number in 0..grid.n_pages() {
            let start = self.out.len();
            let page = grid.page(number).ok_or_else(|| FormatError::invalid("page", number))?;
            let EncodedPage { encoding, error, summaries } = encode_page(&mut self.encoder, &page, &mut self.out)?;
            written.summaries.extend(summaries);
            let row_bytes = address.has_row_table(encoding).then_some(grid.shape.row_bytes());
            let (crc, row_table_bytes) = seal(address, &page, encoding, row_bytes, start, &mut self.out);
            let n_bytes = self.out.len() - start;
            let n_bytes = u32::try_from(n_bytes).map_err(|_| FormatError::invalid("page", "above 4 GiB"))?;
            written.pages.push(StoredPage {
                start: start - row_group_start,
                n_bytes,
                crc,
                encoding,
                row_table_bytes,
                error,
            });
            pad(&mut self.out);
        }
        Ok(written)
    }

    /// Number of the fingerprint in the footer's table, added when it is new.
    fn fingerprint_number(&mut self, fingerprint: &ModelFingerprint) -> u32 {
        let fingerprints = &mut self.entries.fingerprints;
        let known = fingerprints.iter().position(|known| known == fingerprint);
        let number = known.unwrap_or_else(|| {
            fingerprints.push(*fingerprint);
            fingerprints.len() - 1
        });
        // There are at most as many fingerprints as row groups, and those fit.
        number as u32
    }
}

/// The checksum of the page whose encoded numbers begin at `start` of `out`, after its row table is added where it has
/// one; and the bytes of that.
fn seal(
    address: &RowGroupAddress,
    page: &GridPage,
    encoding: Encoding,
    row_bytes: Option<usize>,
    start: usize,
    out: &mut Vec<u8>,
) -> (u32, usize) {
    let Some(row_bytes) = row_bytes else {
        return (address.page_crc(page, encoding, out.get(start..).unwrap_or_default()), 0);
    };
    let mut table = Vec::new();
    crc::append_of_rows(out.get(start..).unwrap_or_default(), row_bytes, &mut table);
    out.extend_from_slice(&table);
    (address.page_crc(page, encoding, &table), table.len())
}
