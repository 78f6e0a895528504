//! A KV log in a segment, decoded layer by layer when it is read.
//!
//! Every page's checksum is checked each time the page is read, so what comes back is what was written; unless the view says
//! that it [was checked](KvLogView::into_checked) as a whole.
//!
//! - How is less than all of a row group read from its file? [`front`].
//! - How are the numbers of a layer read, in one thread or several? [`read`].
//! - How are the numbers of some tokens read? [`gather`].
//! - How is attention computed without decoding them? [`codes`].
//! - What can be known of pages before they are decoded? [`summaries`].
//! - What does `lagdb inspect` see, and what is wrong with a row group? [`pages`].

mod codes;
mod front;
mod gather;
mod pages;
mod read;
mod summaries;

use super::bytes::Bytes;
use super::directory::{Directory, read_probes};
use super::footer::RowGroup;
use super::grid::Part;
use crate::{
    ElementType, FormatError, HeadTokens, KvLog, KvRead, KvRun, ModelFingerprint, PageError, ProbeQueries, Result,
    RunNumbers,
};
pub use pages::PageInfo;
pub use read::PageNumbers;
use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
pub use summaries::{PageBounds, PageSummary};

/// One row group of a segment, read in place. Cloning is cheap; with owned bytes it is `KvLogView<'static>`.
#[derive(Clone)]
pub struct KvLogView<'a> {
    row_group: RowGroup,
    directory: Arc<Directory>,
    /// From the start of the row group; all of it, or some of its [`front`].
    bytes: Bytes<'a>,
    /// Where they are not in `bytes`.
    directory_bytes: Option<Bytes<'a>>,
    /// The first tokens, which alone are read.
    n_tokens: usize,
    /// Of these tokens, where the heads keep tokens of their own.
    heads: Option<Arc<HeadTokens>>,
    n_threads: usize,
    /// Levels that are read.
    n_levels: usize,
    /// Most bytes that one call returns.
    limit: u64,
    /// The checksum of every page at hand matched.
    is_checked: bool,
}

/// Unless the caller says otherwise, a call returns this many bytes, or [`LIMIT_TIMES`] those of the row group.
const LIMIT_BYTES: u64 = 64 * 1024 * 1024;
/// Real keys and values are rarely a fourth of their size without loss, a sixteenth with; zeros are thousands of times smaller.
const LIMIT_TIMES: u64 = 64;

/// How much of a log in levels is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Precision {
    /// The first level: fewest bytes.
    Base,
    /// Two levels: as near as int8.
    Int8,
    /// All there are.
    Exact,
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
        let directory = row_group.directory().and_then(|range| bytes.as_slice().get(range)).unwrap_or_default();
        let directory = Directory::read(row_group, directory)?;
        Ok(Self::of_parts(row_group, directory, bytes, None))
    }

    fn of_parts(
        row_group: &RowGroup,
        directory: Directory,
        bytes: Bytes<'a>,
        directory_bytes: Option<Bytes<'a>>,
    ) -> Self {
        let n_levels = usize::from(row_group.shape.n_levels);
        let (n_tokens, heads) = (directory.token_ids.len(), directory.heads.clone().map(Arc::new));
        let limit = row_group.n_bytes.saturating_mul(LIMIT_TIMES).max(LIMIT_BYTES);
        let (row_group, directory) = (row_group.clone(), Arc::new(directory));
        Self {
            row_group,
            directory,
            bytes,
            directory_bytes,
            n_tokens,
            heads,
            n_threads: 1,
            n_levels,
            limit,
            is_checked: false,
        }
    }

    /// The same log, after the checksum of every page at hand matched. They are not checked again when they are read: the bytes
    /// are the view's own, or borrowed, and do not change.
    ///
    /// # Errors
    /// As [`check_pages`](Self::check_pages).
    pub fn into_checked(self) -> Result<Self> {
        if self.is_checked {
            return Ok(self);
        }
        self.check_pages()?;
        Ok(Self { is_checked: true, ..self })
    }

    /// What the footer says of the log.
    pub fn row_group(&self) -> &RowGroup {
        &self.row_group
    }

    /// The same log, its pages decoded by up to `n_threads` threads at once. They live as long as one call that reads:
    /// worth it for pages that take time to decode, not for plain ones.
    pub fn with_threads(self, n_threads: usize) -> Self {
        Self { n_threads: n_threads.max(1), ..self }
    }

    /// The same log, of which a call returns at most `n_bytes` bytes that it allocates. Otherwise 64 MiB, or 64 times the
    /// bytes that the log takes in its file: whoever made the file does not say how much memory it takes to read.
    pub fn with_limit(self, n_bytes: u64) -> Self {
        Self { limit: n_bytes, ..self }
    }

    /// The same log read with this precision, where it was written in levels; another log is as it is.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { n_levels: self.levels_of(precision), ..self }
    }

    fn levels_of(&self, precision: Precision) -> usize {
        let most = usize::from(self.row_group.shape.n_levels);
        match precision {
            Precision::Base => 1,
            Precision::Int8 => most.min(2),
            Precision::Exact => most,
        }
    }

    /// The log of the first `n_tokens` tokens alone; with [`importance`](KvRead::importance), the most important ones.
    ///
    /// Reading it checks and decodes the pages of these tokens and no others; of a plain page, their rows.
    pub fn prefix(&self, n_tokens: usize) -> Self {
        let n_tokens = n_tokens.min(self.n_tokens);
        let geometry = self.row_group.shape.geometry;
        // Never more than there are, and those are counted by a u32.
        let heads = self.heads.as_ref().map(|heads| Arc::new(heads.first(geometry, n_tokens as u32)));
        Self { n_tokens, heads, ..self.clone() }
    }

    /// The keys of `layer` as they were written, numbers of the log's element type in the order of
    /// [`KvLayer`](crate::KvLayer); borrowed when they are one plain page.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such layer, or it is above the [limit](Self::with_limit);
    /// [`FormatError::Corrupt`] when the bytes are wrong.
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

    /// The whole log in memory: byte for byte what was written, where the encodings are lossless.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] when the bytes are wrong; [`FormatError::Invalid`] when it is above the
    /// [limit](Self::with_limit).
    pub fn to_log(&self) -> Result<KvLog> {
        let n_layers = self.row_group.shape.geometry.n_layers;
        let numbers = (0..n_layers).try_fold(0_u64, |sum, layer| Ok(sum + self.layer_numbers(layer)? as u64))?;
        self.check_limit(numbers.saturating_mul(2 * self.element().n_bytes() as u64))?;
        let layer = |layer| {
            let (keys, values) = (self.keys_raw(layer)?.into_owned(), self.values_raw(layer)?.into_owned());
            Ok(crate::KvLayer { keys, values })
        };
        let layers = (0..n_layers).map(layer).collect::<Result<_>>()?;
        KvLog::of_view(self, layers)
    }

    /// Queries kept to score the keys again, if there are any.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] when their section is wrong.
    pub fn probes(&self) -> Result<Option<ProbeQueries>> {
        let Some(sections) = &self.directory.sections else { return Ok(None) };
        read_probes(&self.row_group, sections, self.directory_bytes())
    }

    /// The bytes of the directory.
    pub(crate) fn directory_bytes(&self) -> &[u8] {
        match &self.directory_bytes {
            Some(apart) => apart.as_slice(),
            None => self.bytes().get(self.directory.range.clone()).unwrap_or_default(),
        }
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Whether it is all of its tokens.
    pub(crate) fn has_every_token(&self) -> bool {
        self.n_tokens == self.directory.token_ids.len()
    }

    /// Whether it is all of its row group.
    pub(crate) fn is_whole(&self) -> bool {
        self.has_every_token() && self.directory_bytes.is_none()
    }
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
        self.directory.token_ids.get(..self.n_tokens).unwrap_or_default()
    }

    fn positions(&self) -> &[u32] {
        self.directory.positions.get(..self.n_tokens).unwrap_or_default()
    }

    fn heads(&self) -> Option<&HeadTokens> {
        self.heads.as_deref()
    }

    fn importance(&self) -> Option<&[f32]> {
        self.directory.importance.as_ref().and_then(|scores| scores.get(..self.n_tokens))
    }

    fn is_approximate(&self) -> bool {
        // A page's error is that of all levels up to it: the last one that is read counts.
        let per_level = self.directory.grid.pages_per_level();
        let last = self.directory.pages.iter().skip((self.n_levels - 1) * per_level).take(per_level);
        self.row_group.is_approximate || last.map(|page| page.error).any(|error| error != PageError::NONE)
    }

    fn each_run(&self, layer: u32, part: Part, each: &mut dyn FnMut(KvRun<'_>) -> ControlFlow<()>) -> Result<()> {
        if self.n_threads == 1 {
            return self.runs(layer, part, each);
        }
        let mut numbers = vec![0.0; self.layer_numbers(layer)?];
        self.read(layer, part, &mut numbers)?;
        let _ = each(KvRun { first_row: 0, numbers: RunNumbers::Single(&numbers) });
        Ok(())
    }

    fn read_keys(&self, layer: u32, out: &mut [f32]) -> Result<()> {
        self.read(layer, Part::Keys, out)
    }

    fn read_values(&self, layer: u32, out: &mut [f32]) -> Result<()> {
        self.read(layer, Part::Values, out)
    }
}
