//! Pages of int8 as they are stored, for attention that compares with codes.

use super::super::grid::Part;
use super::KvLogView;
use crate::encoding::QuantizedPage;
use crate::{Encoding, FormatError, KvRead, Result};

impl KvLogView<'_> {
    /// Page `number`, from 0, of the keys or values of `layer` as it is stored, all heads in it; `None` behind the last one.
    /// Its checksum is tried, unless the view [was checked](Self::into_checked).
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such layer, the page is not int8 of one level, the heads keep tokens of their
    /// own, or the view is of [some tokens](Self::prefix) only; [`FormatError::Corrupt`] when the bytes are wrong.
    pub fn quantized_page(&self, layer: u32, part: Part, number: usize) -> Result<Option<QuantizedPage<'_>>> {
        let refused = |detail: String| Err(FormatError::invalid("pages", detail));
        if self.heads().is_some() {
            return refused("each head keeps its own tokens".to_owned());
        }
        if !self.has_every_token() {
            return refused("some of the log's tokens were left out".to_owned());
        }
        let pages = self.part(layer, part)?;
        let Some(page) = pages.clone().nth(number).and_then(|number| self.page(number)) else { return Ok(None) };
        let encoding = page.stored.encoding;
        if encoding != Encoding::Int8 {
            return refused(format!("those of layer {layer} are {} and not int8", encoding.name()));
        }
        let found = page
            .encoded()
            .and_then(|stored| QuantizedPage::parse(page.page_shape(), stored).map_err(|error| error.at(page.offset)));
        found.map(Some)
    }
}
