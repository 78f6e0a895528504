//! Reading the numbers of a layer: page by page, in one thread or dealt out to several.

use super::super::grid::{GridPage, Part};
use super::super::out::Out;
use super::super::page::Page;
use super::KvLogView;
use crate::encoding::Decoder;
use crate::{Encoding, FormatError, KvRead, Result};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Some rows of a page and the room for them.
struct Work<'a> {
    /// Its levels, the base first.
    page: Vec<Page<'a>>,
    rows: Range<usize>,
    out: Out<'a>,
}

impl KvLogView<'_> {
    pub(super) fn raw(&self, layer: u32, part: Part) -> Result<Cow<'_, [u8]>> {
        let mut pages = self.part(layer, part)?.filter_map(|number| self.page(number));
        if let (Some(page), None) = (pages.next(), pages.next())
            && page.stored.encoding == Encoding::Plain
            && self.is_whole()
        {
            return page.encoded().map(Cow::Borrowed);
        }
        let mut raw = vec![0; self.layer_numbers(layer)? * self.element().n_bytes()];
        self.copy(layer, part, &mut raw)?;
        Ok(Cow::Owned(raw))
    }

    pub(super) fn copy(&self, layer: u32, part: Part, out: &mut [u8]) -> Result<()> {
        let wanted = self.layer_numbers(layer)? * self.element().n_bytes();
        if out.len() != wanted {
            return Err(FormatError::invalid("out", format!("{} bytes instead of {wanted}", out.len())));
        }
        self.read_pages(layer, part, Out::Bytes(out))
    }

    pub(super) fn read(&self, layer: u32, part: Part, out: &mut [f32]) -> Result<()> {
        let wanted = self.layer_numbers(layer)?;
        if out.len() != wanted {
            return Err(FormatError::invalid("out", format!("{} numbers instead of {wanted}", out.len())));
        }
        self.read_pages(layer, part, Out::Numbers(out))
    }

    fn read_pages<'a>(&'a self, layer: u32, part: Part, mut out: Out<'a>) -> Result<()> {
        let row_numbers = self.row_group.shape.row_bytes() / self.element().n_bytes();
        let mut works = Vec::new();
        for number in self.part(layer, part)? {
            let Some(page) = self.page(number) else { continue };
            let n_rows = self.rows_read(&page.place) as usize;
            if n_rows > 0 {
                let out = out.take(n_rows * row_numbers, self.element())?;
                works.push(Work { page: self.levels(number), rows: 0..n_rows, out });
            }
        }
        run(works, self.n_threads)
    }

    /// How many rows of a page are read: all, but for the last ones of a prefix.
    pub(super) fn rows_read(&self, page: &GridPage) -> u32 {
        let wanted = match self.heads() {
            Some(heads) => heads.n_tokens_of(page.layer, page.head),
            // Of those that a u32 counts.
            None => self.n_tokens as u32,
        };
        wanted.saturating_sub(page.first_token).min(page.n_tokens)
    }

    /// The levels that are read of a page, the base, `number`, first.
    pub(super) fn levels(&self, number: usize) -> Vec<Page<'_>> {
        let per_level = self.directory.grid.pages_per_level();
        (0..self.n_levels).filter_map(|level| self.page(number + level * per_level)).collect()
    }

    /// The numbers of the pages of one layer's keys or values.
    pub(super) fn part(&self, layer: u32, part: Part) -> Result<Range<usize>> {
        let grid = &self.directory.grid;
        let n_layers = grid.shape.geometry.n_layers;
        grid.part_pages(layer, part).ok_or_else(|| FormatError::invalid("layer", format!("{layer} of {n_layers}")))
    }
}

/// Does all of it, dealt out in runs of neighbours to at most `n_threads` threads; the first error in page order. What
/// no thread can be had for is done here.
fn run(works: Vec<Work<'_>>, n_threads: usize) -> Result<()> {
    let n_threads = n_threads.min(works.len());
    if n_threads <= 1 {
        return run_here(works);
    }
    let share = works.len().div_ceil(n_threads);
    let mut rest = works.into_iter();
    let shares = std::iter::from_fn(|| Some(rest.by_ref().take(share).collect::<Vec<_>>()).filter(|s| !s.is_empty()));
    let shares: Vec<_> = shares.map(|share| Mutex::new(Some(share))).collect();
    let take = |share: &Mutex<Option<Vec<Work<'_>>>>| {
        let taken = share.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.map_or(Ok(()), run_here)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            shares.iter().skip(1).map(|share| Builder::new().spawn_scoped(scope, move || take(share)).ok()).collect();
        shares.first().map_or(Ok(()), take)?;
        threads.into_iter().zip(shares.iter().skip(1)).try_for_each(|(thread, share)| match thread {
            None => take(share),
            Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        })
    })
}

fn run_here(works: Vec<Work<'_>>) -> Result<()> {
    let mut decoder = Decoder::default();
    works.into_iter().try_for_each(|Work { page, rows, out }| Page::read_levels(&page, &mut decoder, rows, out))
}
