//! How the tokens of one KV log fall into pages: a column chunk is cut every `tokens_per_page` tokens.
//!
//! A chunk is the keys or the values of one layer, or of one KV head of one layer where the heads keep tokens of their
//! own. Pages are ordered by level, layer, keys before values, KV head, then token. A page's number alone therefore says
//! its place; nothing of that is stored, so nothing of it can contradict.

use super::key_summary;
use super::layout::{MAX_LAYERS, MAX_PAGE_BYTES};
use crate::encoding::PageShape;
use crate::{ElementType, HeadTokens, KvGeometry};
use std::ops::Range;
use std::sync::Arc;

/// Keys or values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Part {
    /// What queries are compared with.
    Keys = 1,
    /// What attention returns.
    Values = 2,
}

/// The sizes of a row group, as the footer has them. Constructed only when every size below fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GridShape {
    pub(crate) geometry: KvGeometry,
    pub(crate) element: ElementType,
    pub(crate) n_tokens: u32,
    pub(crate) tokens_per_page: u32,
    /// Pages that describe the same numbers, each more precisely than those before.
    pub(crate) n_levels: u8,
    /// Kept tokens over all layers and KV heads; fewer than `n_tokens` each where the heads keep tokens of their own.
    pub(crate) n_rows: u64,
}

/// The pages of one row group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageGrid {
    pub(crate) shape: GridShape,
    /// Pages of a chunk where every chunk has as many tokens.
    pages_per_chunk: usize,
    /// Where the heads keep tokens of their own: the tokens of each layer and head, and the number of the first page of
    /// each chunk within its level, and of the end.
    chunks: Option<Arc<[RaggedChunk]>>,
    pages_per_level: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RaggedChunk {
    first_page: usize,
    n_tokens: u32,
}

/// One page of a [`PageGrid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GridPage {
    pub(crate) level: u8,
    pub(crate) layer: u32,
    pub(crate) part: Part,
    /// The KV head, where a page holds one; else 0.
    pub(crate) head: u32,
    /// Number of its first row in its chunk.
    pub(crate) first_token: u32,
    pub(crate) n_tokens: u32,
    pub(crate) raw_bytes: usize,
}

impl GridShape {
    /// Checks the sizes; answers what is wrong with them.
    pub(crate) fn new(
        geometry: KvGeometry,
        element: ElementType,
        n_tokens: u32,
        tokens_per_page: u32,
        n_levels: u8,
        n_rows: u64,
    ) -> Result<Self, &'static str> {
        let shape = Self { geometry, element, n_tokens, tokens_per_page, n_levels, n_rows };
        shape.check_row()?;
        let page_bytes = shape.row_bytes().checked_mul(tokens_per_page as usize);
        if tokens_per_page == 0 || page_bytes.is_none_or(|n_bytes| n_bytes > MAX_PAGE_BYTES) {
            return Err("a page holds at least one token and at most 1 MiB");
        }
        if n_levels == 0 || n_levels > MAX_LEVELS {
            return Err("there are one to three levels");
        }
        if all_rows(geometry, n_tokens).is_none_or(|all| n_rows > all) {
            return Err("more rows than every head has with every token");
        }
        // Every chunk ends with a page that may not be full.
        let n_chunks = u64::from(geometry.n_layers).checked_mul(2 * u64::from(geometry.n_kv_heads));
        let most = n_chunks.and_then(|n| n.checked_mul(u64::from(n_tokens.div_ceil(tokens_per_page))));
        let most = most.and_then(|n| n.checked_mul(u64::from(n_levels)));
        let most_bytes = most.and_then(|n| n.checked_mul(MAX_PAGE_BYTES as u64));
        if most_bytes.is_none_or(|n_bytes| usize::try_from(n_bytes).is_err()) {
            return Err("too many pages");
        }
        Ok(shape)
    }

    /// The shape of a log whose heads all keep every token, in pages of one level.
    pub(crate) fn uniform(
        geometry: KvGeometry,
        element: ElementType,
        n_tokens: u32,
        tokens_per_page: u32,
    ) -> Result<Self, &'static str> {
        let n_rows = all_rows(geometry, n_tokens).ok_or("too many rows")?;
        Self::new(geometry, element, n_tokens, tokens_per_page, 1, n_rows)
    }

    /// The shape of a log about to be written: pages of about `page_bytes`.
    pub(crate) fn for_writing(
        geometry: KvGeometry,
        element: ElementType,
        n_tokens: u32,
        n_levels: u8,
        n_rows: Option<u64>,
        page_bytes: usize,
    ) -> Result<Self, &'static str> {
        let n_rows = n_rows.or_else(|| all_rows(geometry, n_tokens)).ok_or("too many rows")?;
        let shape = Self { geometry, element, n_tokens, tokens_per_page: 1, n_levels, n_rows };
        shape.check_row()?;
        let tokens_per_page = u32::try_from((page_bytes / shape.row_bytes()).max(1)).unwrap_or(u32::MAX);
        Self::new(geometry, element, n_tokens, tokens_per_page, n_levels, n_rows)
    }

    /// Whether the heads keep tokens of their own.
    pub(crate) fn is_ragged(&self) -> bool {
        all_rows(self.geometry, self.n_tokens) != Some(self.n_rows)
    }

    /// KV heads in one page.
    pub(crate) fn heads_per_page(&self) -> u32 {
        if self.is_ragged() { 1 } else { self.geometry.n_kv_heads }
    }

    /// Bytes of one token in one page, decoded.
    pub(crate) fn row_bytes(&self) -> usize {
        (self.heads_per_page() as usize)
            .saturating_mul(self.geometry.head_dim as usize)
            .saturating_mul(self.element.n_bytes())
    }

    /// Bytes of the key summaries of one page.
    pub(crate) fn summary_bytes(&self) -> usize {
        (self.heads_per_page() as usize).saturating_mul(key_summary::n_bytes(self.geometry.head_dim))
    }

    /// Bytes of the keys and values of all layers, decoded.
    pub(crate) fn decoded_bytes(&self) -> u64 {
        let row = u64::from(self.geometry.head_dim).saturating_mul(self.element.n_bytes() as u64);
        self.n_rows.saturating_mul(2).saturating_mul(row)
    }

    /// What an encoding sees of a page.
    pub(crate) fn page_shape(&self, page: &GridPage) -> PageShape {
        let (n_kv_heads, head_dim) = (self.heads_per_page(), self.geometry.head_dim);
        PageShape { element: self.element, part: page.part, n_tokens: page.n_tokens, n_kv_heads, head_dim }
    }

    fn check_row(&self) -> Result<(), &'static str> {
        let KvGeometry { n_layers, n_kv_heads, head_dim } = self.geometry;
        let row_bytes =
            (n_kv_heads as usize).checked_mul(head_dim as usize).and_then(|n| n.checked_mul(self.element.n_bytes()));
        match row_bytes {
            _ if n_layers > MAX_LAYERS => Err("there are at most 65536 layers"),
            Some(n_bytes) if n_layers > 0 && n_bytes > 0 && n_bytes <= MAX_PAGE_BYTES => Ok(()),
            _ => Err("layers, KV heads and head width are not zero and one token's row is at most 1 MiB"),
        }
    }
}

/// The most levels a page may have.
pub(crate) const MAX_LEVELS: u8 = 3;

/// Rows when every head of every layer keeps every token.
fn all_rows(geometry: KvGeometry, n_tokens: u32) -> Option<u64> {
    let heads = u64::from(geometry.n_layers).checked_mul(u64::from(geometry.n_kv_heads))?;
    heads.checked_mul(u64::from(n_tokens))
}

impl PageGrid {
    /// The pages of a row group of this shape; `heads` are given exactly where it is ragged, and have its rows.
    pub(crate) fn new(shape: GridShape, heads: Option<&HeadTokens>) -> Self {
        let pages_of = |n_tokens: u32| n_tokens.div_ceil(shape.tokens_per_page) as usize;
        let pages_per_chunk = pages_of(shape.n_tokens);
        let n_layers = shape.geometry.n_layers as usize;
        let Some(heads) = heads else {
            let pages_per_level = 2 * n_layers * pages_per_chunk;
            return Self { shape, pages_per_chunk, chunks: None, pages_per_level };
        };
        let (mut chunks, mut first_page) = (Vec::new(), 0);
        for layer in 0..shape.geometry.n_layers {
            for _part in [Part::Keys, Part::Values] {
                for head in 0..shape.geometry.n_kv_heads {
                    let n_tokens = heads.n_tokens_of(layer, head);
                    chunks.push(RaggedChunk { first_page, n_tokens });
                    first_page += pages_of(n_tokens);
                }
            }
        }
        Self { shape, pages_per_chunk, chunks: Some(chunks.into()), pages_per_level: first_page }
    }

    /// All pages of the row group.
    pub(crate) fn n_pages(&self) -> usize {
        self.pages_per_level * usize::from(self.shape.n_levels)
    }

    /// Pages of one level: the same page of the next level comes so many pages later.
    pub(crate) fn pages_per_level(&self) -> usize {
        self.pages_per_level
    }

    /// The pages of level 0 of the keys (or values) of one layer; `None` when there is no such layer.
    pub(crate) fn part_pages(&self, layer: u32, part: Part) -> Option<Range<usize>> {
        let heads = self.shape.geometry.n_kv_heads;
        let (first, last) = (self.chunk_pages(layer, part, 0)?, self.chunk_pages(layer, part, heads - 1)?);
        Some(first.start..last.end)
    }

    /// The pages of level 0 of one chunk; where a chunk holds all heads, every head names it.
    pub(crate) fn chunk_pages(&self, layer: u32, part: Part, head: u32) -> Option<Range<usize>> {
        let KvGeometry { n_layers, n_kv_heads, .. } = self.shape.geometry;
        if layer >= n_layers || head >= n_kv_heads {
            return None;
        }
        let column = layer as usize * 2 + (part as usize - 1);
        let Some(chunks) = &self.chunks else {
            return Some(column * self.pages_per_chunk..(column + 1) * self.pages_per_chunk);
        };
        let number = column * n_kv_heads as usize + head as usize;
        let end = chunks.get(number + 1).map_or(self.pages_per_level, |next| next.first_page);
        Some(chunks.get(number)?.first_page..end)
    }

    /// The page with this number, in file order.
    pub(crate) fn page(&self, number: usize) -> Option<GridPage> {
        if number >= self.n_pages() {
            return None;
        }
        let (level, number) = (number / self.pages_per_level, number % self.pages_per_level);
        let (column, head, within, chunk_tokens) = match &self.chunks {
            None => (number / self.pages_per_chunk, 0, number % self.pages_per_chunk, self.shape.n_tokens),
            Some(chunks) => {
                // The last chunk that begins here: chunks without tokens have no page.
                let chunk = chunks.partition_point(|chunk| chunk.first_page <= number).checked_sub(1)?;
                let n_heads = self.shape.geometry.n_kv_heads as usize;
                let RaggedChunk { first_page, n_tokens } = *chunks.get(chunk)?;
                (chunk / n_heads, chunk % n_heads, number - first_page, n_tokens)
            }
        };
        let first_token = u32::try_from(within).ok()? * self.shape.tokens_per_page;
        let n_tokens = self.shape.tokens_per_page.min(chunk_tokens - first_token);
        Some(GridPage {
            level: u8::try_from(level).ok()?,
            layer: u32::try_from(column / 2).ok()?,
            part: if column.is_multiple_of(2) { Part::Keys } else { Part::Values },
            head: u32::try_from(head).ok()?,
            first_token,
            n_tokens,
            raw_bytes: n_tokens as usize * self.shape.row_bytes(),
        })
    }
}
