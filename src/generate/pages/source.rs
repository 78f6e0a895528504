//! What is held of logs that were attached by their pages: views of their bytes, and the key summaries where pages are chosen.

use super::PagePolicy;
use crate::error::{Error, Result};
use lagdb_format::{FormatError, KeySummary, KvGeometry, KvLogView, KvRead, Part, QuantizedPage};

/// The logs of one call.
#[derive(Debug)]
pub(in crate::generate) struct PageSource {
    logs: Vec<KvLogView<'static>>,
    /// The same for the keys and values of every layer.
    pub(super) pages: Vec<PagePlace>,
    /// For each layer, page and KV head in turn; empty where every page is read.
    summaries: Vec<Vec<KeySummary>>,
    n_kv_heads: usize,
    pub(super) policy: PagePolicy,
    /// Of all tokens.
    pub(super) position: u32,
    /// The first row of the session that comes after it.
    pub(super) first_row: usize,
}

/// A page of one of the logs.
#[derive(Clone, Copy, Debug)]
pub(super) struct PagePlace {
    log: usize,
    number: usize,
    pub(super) n_tokens: usize,
}

impl PageSource {
    /// Checks every page of every log, which fits the model of this geometry.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a page is damaged; [`Error::Invalid`] when a log cannot be attached by its pages, or has no
    /// summaries to choose pages by.
    pub(in crate::generate) fn new(
        logs: &[KvLogView<'static>],
        geometry: KvGeometry,
        policy: PagePolicy,
        position: u32,
        first_row: usize,
    ) -> Result<Self> {
        let logs = logs.iter().map(|log| log.clone().into_checked().map_err(refused)).collect::<Result<Vec<_>>>()?;
        let mut pages = Vec::new();
        for (log, view) in logs.iter().enumerate() {
            for layer in 0..geometry.n_layers {
                let values = n_tokens_of_pages(view, layer, Part::Values)?;
                if n_tokens_of_pages(view, layer, Part::Keys)? != values {
                    return Err(Error::invalid("KV log", format!("pages of layer {layer} are not alike")));
                }
                if layer == 0 {
                    let place = |(number, n_tokens)| PagePlace { log, number, n_tokens };
                    pages.extend(values.into_iter().enumerate().map(place));
                }
            }
        }
        let layers = if policy.chooses() { geometry.n_layers } else { 0 };
        let summaries = (0..layers).map(|layer| summaries_of(&logs, layer)).collect::<Result<Vec<_>>>()?;
        let n_kv_heads = geometry.n_kv_heads as usize;
        if summaries.iter().any(|layer| layer.len() != pages.len() * n_kv_heads) {
            return Err(Error::invalid("KV log", "its key summaries are not one per page and KV head"));
        }
        Ok(Self { logs, pages, summaries, n_kv_heads, policy, position, first_row })
    }

    /// Tokens of all logs.
    pub(in crate::generate) fn n_tokens(&self) -> usize {
        self.logs.iter().map(|log| log.n_tokens()).sum()
    }

    /// Pages of the keys of one layer.
    pub(in crate::generate) fn n_pages(&self) -> usize {
        self.pages.len()
    }

    /// Bytes of the logs in their segments.
    pub(in crate::generate) fn n_bytes(&self) -> u64 {
        self.logs.iter().map(|log| log.row_group().range()).map(|range| range.end - range.start).sum()
    }

    /// What is said of the keys of a KV head at `layer`, page after page.
    pub(super) fn summaries(&self, layer: usize, kv_head: usize) -> impl Iterator<Item = &KeySummary> {
        let of_layer = self.summaries.get(layer).map(Vec::as_slice).unwrap_or_default();
        of_layer.iter().skip(kv_head).step_by(self.n_kv_heads)
    }

    /// The codes of a page.
    ///
    /// # Errors
    /// [`Error::Corrupt`], which [`new`](Self::new) would have been.
    pub(super) fn page(&self, place: PagePlace, layer: usize, part: Part) -> Result<QuantizedPage<'_>> {
        let page = self.logs[place.log].quantized_page(layer as u32, part, place.number).map_err(refused)?;
        page.ok_or_else(|| Error::invalid("KV log", format!("it has no page {} at layer {layer}", place.number)))
    }
}

/// Tokens of each page, all of which are read once.
fn n_tokens_of_pages(log: &KvLogView<'_>, layer: u32, part: Part) -> Result<Vec<usize>> {
    let mut n_tokens = Vec::new();
    while let Some(page) = log.quantized_page(layer, part, n_tokens.len()).map_err(refused)? {
        n_tokens.push(page.n_tokens());
    }
    Ok(n_tokens)
}

fn summaries_of(logs: &[KvLogView<'_>], layer: u32) -> Result<Vec<KeySummary>> {
    let mut summaries = Vec::new();
    for log in logs {
        let Some(pages) = log.key_summaries(layer).map_err(refused)? else {
            let detail = "it was written without key summaries, by which pages are chosen; see Options::key_summaries";
            return Err(Error::invalid("KV log", detail));
        };
        summaries.extend(pages.into_iter().flat_map(|page| page.heads));
    }
    Ok(summaries)
}

/// What the format says of a log, and what there is to do where its pages are of another kind.
fn refused(error: FormatError) -> Error {
    match error {
        FormatError::Invalid { what: "pages", detail } => {
            let advice = "attach_all takes it, or write it as int8 (KvStorage::Encoding(Encoding::Int8))";
            Error::invalid("KV log", format!("it cannot be attached by its pages: {detail}; {advice}"))
        }
        error => Error::from_format(error, "KV log"),
    }
}
