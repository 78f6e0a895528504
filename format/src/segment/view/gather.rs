//! Gathering: the numbers of some tokens, without reading the pages around them where rows can be checked alone.

use super::super::grid::Part;
use super::super::out::Out;
use super::super::page::Page;
use super::KvLogView;
use crate::encoding::Decoder;
use crate::{FormatError, KvRead, Result};
use std::ops::Range;

/// A page whose row table was checked: its numbers, and a checksum for each row.
type Checked<'a> = (&'a [u8], &'a [[u8; 4]]);

impl KvLogView<'_> {
    /// Writes the keys or values of `tokens`, in that order, `[tokens.len(), n_kv_heads, head_dim]`, into `out`: bytes
    /// (`&mut [u8]`) or f32 (`&mut [f32]`). How many bytes of the segment were read for it.
    ///
    /// Of plain pages the rows of these tokens are read and checked, and the row table; other pages are decoded whole,
    /// each once.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such layer or token, `out` has another length, or the heads keep tokens
    /// of their own ([`gather_head`](Self::gather_head) then); [`FormatError::Corrupt`] when the bytes are wrong.
    pub fn gather<'o>(&self, layer: u32, part: Part, tokens: &[u32], out: impl Into<Out<'o>>) -> Result<u64> {
        if self.heads.is_some() {
            return Err(FormatError::invalid("tokens", "each head keeps its own"));
        }
        self.gather_rows(self.part(layer, part)?, self.n_tokens, tokens, out.into())
    }

    /// As [`gather`](Self::gather), of one KV head of a log whose heads keep tokens of their own: `rows` counts the
    /// tokens that it keeps, `out` is `[rows.len(), head_dim]`.
    ///
    /// # Errors
    /// As [`gather`](Self::gather); [`FormatError::Invalid`] when every head keeps every token.
    pub fn gather_head<'o>(
        &self,
        layer: u32,
        part: Part,
        head: u32,
        rows: &[u32],
        out: impl Into<Out<'o>>,
    ) -> Result<u64> {
        let no_head = || FormatError::invalid("head", format!("{head} of layer {layer} has no tokens of its own"));
        let heads = self.heads.as_ref().ok_or_else(no_head)?;
        let pages = self.directory.grid.chunk_pages(layer, part, head).ok_or_else(no_head)?;
        self.check_at_hand(&pages)?;
        self.gather_rows(pages, heads.n_tokens_of(layer, head) as usize, rows, out.into())
    }

    /// Gathers from the column chunk of these pages, of whose rows the first `n_rows` count.
    fn gather_rows(&self, pages: Range<usize>, n_rows: usize, rows: &[u32], out: Out<'_>) -> Result<u64> {
        let element = self.element();
        let wanted = rows.len() * self.row_group.shape.row_bytes() / element.n_bytes();
        if out.n_numbers(element) != wanted {
            return Err(FormatError::invalid("out", format!("{} numbers, not {wanted}", out.n_numbers(element))));
        }
        if let Some(row) = rows.iter().find(|row| **row as usize >= n_rows) {
            return Err(FormatError::invalid("tokens", format!("{row} of {n_rows}")));
        }
        let found: Vec<Page<'_>> = pages.clone().filter_map(|number| self.page(number)).collect();
        if found.iter().all(|page| page.stored.row_table_bytes > 0) {
            self.gather_by_row(&found, rows, out)
        } else {
            self.gather_by_page(pages.start, rows, out)
        }
    }

    fn gather_by_row(&self, pages: &[Page<'_>], rows: &[u32], mut out: Out<'_>) -> Result<u64> {
        let (element, row_bytes) = (self.element(), self.row_group.shape.row_bytes());
        let mut checked: Vec<Option<Checked<'_>>> = vec![None; pages.len()];
        let mut n_read = (rows.len() * row_bytes) as u64;
        let mut find = |row: u32| {
            let (page, row) = self.place(row);
            let missing = || FormatError::invalid("tokens", "are in no page");
            let (Some(page), Some(known)) = (pages.get(page), checked.get_mut(page)) else { return Err(missing()) };
            let (numbers, table) = match *known {
                Some(checked) => checked,
                None => {
                    n_read += page.stored.row_table_bytes as u64;
                    *known.insert(page.checked_row_table()?)
                }
            };
            let numbers = numbers.get(row * row_bytes..(row + 1) * row_bytes).ok_or_else(missing)?;
            Ok((page, numbers, table.get(row).ok_or_else(missing)?))
        };
        let mut take = |numbers| out.take(row_bytes / element.n_bytes(), element)?.fill(element, numbers);
        let (threes, rest) = rows.as_chunks::<3>();
        for [a, b, c] in threes {
            let found = [find(*a)?, find(*b)?, find(*c)?];
            let [(page, a, crc_a), (_, b, crc_b), (_, c, crc_c)] = found;
            if page.check_each([a, b, c], [crc_a, crc_b, crc_c]).is_err() {
                // Again one by one, for the error to name the right page.
                found.iter().try_for_each(|(page, row, crc)| page.check_each([row], [crc]))?;
            }
            [a, b, c].into_iter().try_for_each(&mut take)?;
        }
        for row in rest {
            let (page, numbers, crc) = find(*row)?;
            page.check_each([numbers], [crc])?;
            take(numbers)?;
        }
        Ok(n_read)
    }

    fn gather_by_page(&self, first_page: usize, rows: &[u32], mut out: Out<'_>) -> Result<u64> {
        let row_numbers = self.row_group.shape.row_bytes() / self.element().n_bytes();
        // Each row and where it goes, in the order of the pages.
        let mut wanted: Vec<(usize, usize, Out<'_>)> = Vec::with_capacity(rows.len());
        for row in rows {
            let (page, row) = self.place(*row);
            wanted.push((page, row, out.take(row_numbers, self.element())?));
        }
        wanted.sort_by_key(|(page, _, _)| *page);
        let mut page = DecodedPage::default();
        let mut n_read = 0;
        for rows in wanted.chunk_by_mut(|(a, _, _), (b, _, _)| a == b) {
            let Some((number, _, _)) = rows.first() else { continue };
            let levels = self.levels(first_page + number);
            n_read += levels.iter().map(|level| u64::from(level.stored.n_bytes)).sum::<u64>();
            page.gather(&levels, row_numbers, rows)?;
        }
        Ok(n_read)
    }

    /// The page of a chunk that has this row, and the row in it.
    fn place(&self, row: u32) -> (usize, usize) {
        let tokens_per_page = self.row_group.shape.tokens_per_page;
        ((row / tokens_per_page) as usize, (row % tokens_per_page) as usize)
    }
}

/// A page decoded whole, as bytes or as f32.
#[derive(Default)]
struct DecodedPage {
    decoder: Decoder,
    raw: Vec<u8>,
    numbers: Vec<f32>,
}

impl DecodedPage {
    /// Writes some rows of a page to their places, which all want bytes or all want f32.
    fn gather(&mut self, levels: &[Page<'_>], row_numbers: usize, rows: &mut [(usize, usize, Out<'_>)]) -> Result<()> {
        let Some(base) = levels.first() else { return Ok(()) };
        let all = 0..base.place.n_tokens as usize;
        let row_bytes = base.shape.row_bytes();
        if let Some((_, _, Out::Bytes(_))) = rows.first() {
            self.raw.resize(base.place.raw_bytes, 0);
            Page::read_levels(levels, &mut self.decoder, all, Out::Bytes(&mut self.raw))?;
        } else {
            self.numbers.resize(all.len() * row_numbers, 0.0);
            Page::read_levels(levels, &mut self.decoder, all, Out::Numbers(&mut self.numbers))?;
        }
        for (_, row, out) in rows {
            let missing = || FormatError::invalid("tokens", "are in no page");
            match out {
                Out::Bytes(out) => {
                    let found = self.raw.get(*row * row_bytes..(*row + 1) * row_bytes);
                    out.copy_from_slice(found.ok_or_else(missing)?);
                }
                Out::Numbers(out) => {
                    let found = self.numbers.get(*row * row_numbers..(*row + 1) * row_numbers);
                    out.copy_from_slice(found.ok_or_else(missing)?);
                }
            }
        }
        Ok(())
    }
}
