//! What can be known of pages before they are decoded: key summaries, and the scores that their keys cannot exceed.

use super::super::directory::kind;
use super::super::grid::Part;
use super::super::key_summary::KeySummary;
use super::super::layout::Fields;
use super::KvLogView;
use crate::{FormatError, Result};
use std::ops::Range;

/// The keys of one layer in one page.
#[derive(Clone, Debug, PartialEq)]
pub struct PageSummary {
    /// Number of its first row: of a token of the log, or of one that `head` keeps.
    pub first_row: u32,
    /// Rows in it; of the last page of a [prefix](KvLogView::prefix), those that the prefix has.
    pub n_rows: u32,
    /// The KV head it holds; `None` when it holds all.
    pub head: Option<u32>,
    /// One per KV head in it.
    pub heads: Vec<KeySummary>,
}

/// How high the keys of each page of a layer can score with each query head.
#[derive(Clone, Debug, PartialEq)]
pub struct PageBounds {
    n_heads: usize,
    /// `[n_pages, n_heads]`.
    bounds: Vec<f32>,
    rows: Vec<Range<u32>>,
}

impl PageBounds {
    /// One list per page, in file order: for each query head the score, before the scale of attention, that no key of
    /// the page exceeds. Minus infinity where the page has no key of the head.
    pub fn pages(&self) -> impl Iterator<Item = &[f32]> {
        self.bounds.chunks_exact(self.n_heads)
    }

    /// Which rows each page has: of the log's tokens, or of those that its one KV head keeps.
    pub fn rows(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        self.rows.iter().cloned()
    }
}

impl KvLogView<'_> {
    /// The summaries of the key pages of `layer`, in file order; `None` when the log was written without. A page of a
    /// [prefix](Self::prefix) is summarized as it is stored, with the rows behind the prefix.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such layer, [`FormatError::Corrupt`] when the section is wrong.
    pub fn key_summaries(&self, layer: u32) -> Result<Option<Vec<PageSummary>>> {
        let wanted = self.part_pages(layer, Part::Keys)?;
        let Some((bytes, offset)) = self.checked_summaries()? else { return Ok(None) };
        let (grid, shape) = (&self.directory.grid, self.row_group.shape);
        let head_dim = shape.geometry.head_dim;
        // The key pages of the layers before.
        let layers_before = (0..layer).filter_map(|layer| grid.part_pages(layer, Part::Keys));
        let n_before: usize = layers_before.map(|pages| pages.len()).sum();
        let mut fields = Fields::new(bytes, offset);
        fields.take(n_before * shape.summary_bytes(), "key summaries")?;
        let mut summaries = Vec::new();
        for page in wanted.filter_map(|number| grid.page(number)) {
            let heads = (0..shape.heads_per_page()).map(|_| KeySummary::read(&mut fields, head_dim));
            let heads = heads.collect::<Result<_>>()?;
            let n_rows = self.rows_read(&page);
            if n_rows > 0 {
                let head = shape.is_ragged().then_some(page.head);
                summaries.push(PageSummary { first_row: page.first_token, n_rows, head, heads });
            }
        }
        Ok(Some(summaries))
    }

    /// The section of all summaries, whose checksum is tried the first time that it is wanted: a decoder asks for bounds
    /// at every step, and a copy of a few per cent of the keys costs less than to check it each time.
    fn checked_summaries(&self) -> Result<Option<(&[u8], u64)>> {
        let Some(sections) = &self.directory.sections else { return Ok(None) };
        if let Some((bytes, offset)) = self.directory.summaries.get() {
            return Ok(Some((bytes, *offset)));
        }
        let Some((bytes, offset)) = sections.get(self.directory_bytes(), kind::KEY_SUMMARIES)? else { return Ok(None) };
        let (grid, shape) = (&self.directory.grid, self.row_group.shape);
        let all = (0..shape.geometry.n_layers).filter_map(|layer| grid.part_pages(layer, Part::Keys));
        if shape.summary_bytes().checked_mul(all.map(|pages| pages.len()).sum()) != Some(bytes.len()) {
            return Err(FormatError::corrupt(offset, "key summaries", "are not one per page and head"));
        }
        let (bytes, offset) = self.directory.summaries.get_or_init(|| (bytes.to_vec(), offset));
        Ok(Some((bytes, *offset)))
    }

    /// How high the keys of each page of `layer` can score with `query`, `[n_heads, head_dim]` before or after RoPE;
    /// `None` when the log was written without summaries. A page whose bound is too low need not be decoded.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such layer or the query is not of whole heads, a multiple of the KV
    /// heads; [`FormatError::Corrupt`] when the section is wrong.
    pub fn page_bounds(&self, layer: u32, query: &[f32]) -> Result<Option<PageBounds>> {
        let geometry = self.row_group.shape.geometry;
        let (head_dim, n_kv_heads) = (geometry.head_dim as usize, geometry.n_kv_heads as usize);
        let n_heads = query.len() / head_dim;
        if n_heads == 0 || n_heads * head_dim != query.len() || !n_heads.is_multiple_of(n_kv_heads) {
            return Err(FormatError::invalid("query", format!("{} numbers", query.len())));
        }
        let Some(pages) = self.key_summaries(layer)? else { return Ok(None) };
        let group = n_heads / n_kv_heads;
        let bound = |page: &PageSummary, (head, query): (usize, &[f32])| {
            let kv_head = head / group;
            let place = page.head.map_or(Some(kv_head), |only| (only as usize == kv_head).then_some(0));
            place.and_then(|place| page.heads.get(place)).map_or(f32::NEG_INFINITY, |keys| keys.score_bound(query))
        };
        let heads = || query.chunks_exact(head_dim).enumerate();
        let bounds = pages.iter().flat_map(|page| heads().map(move |head| bound(page, head))).collect();
        let rows = pages.iter().map(|page| page.first_row..page.first_row + page.n_rows).collect();
        Ok(Some(PageBounds { n_heads, bounds, rows }))
    }
}
