//! How the tokens of one KV log fall into pages: a column chunk is cut every `tokens_per_page` tokens.
//!
//! Pages are ordered by layer, keys before values, then by token. A page's number alone therefore says its
//! layer, part and tokens; nothing of that is stored, so nothing of it can contradict.

use super::layout::{MAX_PAGE_BYTES, PAGE_ENTRY_BYTES};
use crate::encoding::PageShape;
use crate::{ElementType, KvGeometry};
use std::ops::Range;

/// Keys or values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Part {
    /// What queries are compared with.
    Keys = 1,
    /// What attention returns.
    Values = 2,
}

/// The pages of one row group. Constructed only when every size below fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageGrid {
    pub(crate) n_layers: u32,
    pub(crate) n_tokens: u32,
    pub(crate) tokens_per_page: u32,
    row_bytes: usize,
    pages_per_chunk: usize,
    n_pages: usize,
    directory_bytes: usize,
}

/// One page of a [`PageGrid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GridPage {
    pub(crate) layer: u32,
    pub(crate) part: Part,
    pub(crate) first_token: u32,
    pub(crate) n_tokens: u32,
    pub(crate) raw_bytes: usize,
}

impl PageGrid {
    /// Checks the sizes; answers what is wrong with them.
    pub(crate) fn new(
        geometry: KvGeometry,
        element: ElementType,
        n_tokens: u32,
        tokens_per_page: u32,
    ) -> Result<Self, &'static str> {
        let row_bytes = row_bytes(geometry, element)?;
        let page_bytes = row_bytes.checked_mul(tokens_per_page as usize);
        if tokens_per_page == 0 || page_bytes.is_none_or(|n_bytes| n_bytes > MAX_PAGE_BYTES) {
            return Err("a page holds at least one token and at most 1 MiB");
        }
        let pages_per_chunk = n_tokens.div_ceil(tokens_per_page) as usize;
        let n_pages = (geometry.n_layers as usize).checked_mul(2).and_then(|n| n.checked_mul(pages_per_chunk));
        let directory_bytes = n_pages.and_then(|n| directory_bytes(n_tokens, n));
        let decoded_bytes = n_pages.and_then(|n| n.checked_mul(MAX_PAGE_BYTES));
        match (n_pages, directory_bytes, decoded_bytes) {
            (Some(n_pages), Some(directory_bytes), Some(_)) => Ok(Self {
                n_layers: geometry.n_layers,
                n_tokens,
                tokens_per_page,
                row_bytes,
                pages_per_chunk,
                n_pages,
                directory_bytes,
            }),
            _ => Err("too many pages"),
        }
    }

    /// The grid of a log about to be written: pages of about `page_bytes`.
    pub(crate) fn for_writing(
        geometry: KvGeometry,
        element: ElementType,
        n_tokens: u32,
        page_bytes: usize,
    ) -> Result<Self, &'static str> {
        let tokens_per_page = (page_bytes / row_bytes(geometry, element)?).max(1);
        Self::new(geometry, element, n_tokens, u32::try_from(tokens_per_page).unwrap_or(u32::MAX))
    }

    /// All pages of the row group.
    pub(crate) fn n_pages(&self) -> usize {
        self.n_pages
    }

    /// Bytes of the directory, without padding.
    pub(crate) fn directory_bytes(&self) -> usize {
        self.directory_bytes
    }

    /// Bytes of the keys (or values) of one layer, decoded.
    pub(crate) fn chunk_bytes(&self) -> usize {
        self.row_bytes * self.n_tokens as usize
    }

    /// The page numbers of one column chunk; `None` when there is no such layer.
    pub(crate) fn chunk(&self, layer: u32, part: Part) -> Option<Range<usize>> {
        let chunk = layer as usize * 2 + (part as usize - 1);
        (layer < self.n_layers).then(|| chunk * self.pages_per_chunk..(chunk + 1) * self.pages_per_chunk)
    }

    /// The page with this number, in file order.
    pub(crate) fn page(&self, number: usize) -> Option<GridPage> {
        if number >= self.n_pages {
            return None;
        }
        let (chunk, within) = (number / self.pages_per_chunk, number % self.pages_per_chunk);
        let first_token = u32::try_from(within).ok()? * self.tokens_per_page;
        let n_tokens = self.tokens_per_page.min(self.n_tokens - first_token);
        Some(GridPage {
            layer: u32::try_from(chunk / 2).ok()?,
            part: if chunk % 2 == 0 { Part::Keys } else { Part::Values },
            first_token,
            n_tokens,
            raw_bytes: n_tokens as usize * self.row_bytes,
        })
    }

    /// Where the page's bytes lie within the decoded column chunk.
    pub(crate) fn raw_range(&self, page: &GridPage) -> Range<usize> {
        let start = page.first_token as usize * self.row_bytes;
        start..start + page.raw_bytes
    }
}

impl GridPage {
    /// What an encoding sees of the page.
    pub(crate) fn shape(&self, geometry: KvGeometry, element: ElementType) -> PageShape {
        let KvGeometry { n_kv_heads, head_dim, .. } = geometry;
        PageShape { element, part: self.part, n_tokens: self.n_tokens, n_kv_heads, head_dim }
    }
}

/// Bytes of one token's keys (or values) at one layer.
fn row_bytes(geometry: KvGeometry, element: ElementType) -> Result<usize, &'static str> {
    let KvGeometry { n_layers, n_kv_heads, head_dim } = geometry;
    let row_bytes = (n_kv_heads as usize).checked_mul(head_dim as usize).and_then(|n| n.checked_mul(element.n_bytes()));
    match row_bytes {
        Some(n_bytes) if n_layers > 0 && n_bytes > 0 && n_bytes <= MAX_PAGE_BYTES => Ok(n_bytes),
        _ => Err("layers, KV heads and head width are not zero and one token's row is at most 1 MiB"),
    }
}

/// Token ids, positions, page entries and the checksum.
fn directory_bytes(n_tokens: u32, n_pages: usize) -> Option<usize> {
    let tokens = (n_tokens as usize).checked_mul(8)?;
    n_pages.checked_mul(PAGE_ENTRY_BYTES)?.checked_add(tokens)?.checked_add(4)
}
