//! Reading the numbers of a layer: page by page, in one thread or dealt out to several.

use super::super::grid::{GridPage, Part};
use super::super::out::Out;
use super::super::page::Page;
use super::KvLogView;
use crate::encoding::Decoder;
use crate::{ElementType, FormatError, KvRead, KvRun, Result, RunNumbers};
use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// So much is not kept in the caches while it is copied: half of what many cores have to themselves. Ordinary stores first read
/// what they overwrite.
const LEAST_BYTES_PAST_CACHES: usize = 1 << 19;

/// Some rows of a page and the room for them.
struct Work<'a> {
    /// Its levels, the base first.
    page: Vec<Page<'a>>,
    rows: Range<usize>,
    out: Out<'a>,
}

/// The numbers of one page, or of the rows of it that a [prefix](KvLogView::prefix) has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageNumbers<'a> {
    /// The KV head it holds; `None` when it holds all.
    pub head: Option<u32>,
    /// Number of its first row: of a token of the log, or of one that `head` keeps.
    pub first_row: u32,
    /// Rows in it.
    pub n_rows: u32,
    /// Numbers of the log's element type, little-endian, `[n_rows, n_kv_heads, head_dim]`, or `[n_rows, head_dim]` of
    /// one head.
    pub bytes: Cow<'a, [u8]>,
}

impl KvLogView<'_> {
    /// The pages of the keys or values of `layer` one by one, each checked and decoded when it is asked for; the numbers of
    /// plain pages are borrowed.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such layer; of each page, [`FormatError::Corrupt`] when it is wrong.
    pub fn layer_pages(&self, layer: u32, part: Part) -> Result<impl Iterator<Item = Result<PageNumbers<'_>>>> {
        let mut decoder = Decoder::default();
        let wanted = self.part(layer, part)?.filter_map(|number| Some((number, self.page(number)?)));
        let wanted = wanted.filter(|(_, page)| self.rows_read(&page.place) > 0);
        Ok(wanted.map(move |(number, page)| self.page_numbers(number, page, &mut decoder)))
    }

    fn page_numbers<'v>(&'v self, number: usize, page: Page<'v>, decoder: &mut Decoder) -> Result<PageNumbers<'v>> {
        let n_rows = self.rows_read(&page.place);
        let rows = 0..n_rows as usize;
        let head = self.row_group.shape.is_ragged().then_some(page.place.head);
        let bytes = match page.borrowed_rows(rows.clone())? {
            Some(bytes) => Cow::Borrowed(bytes),
            None => {
                let mut raw = vec![0; rows.len() * self.row_group.shape.row_bytes()];
                Page::read_levels(&self.levels(number), decoder, rows, Out::Bytes(&mut raw))?;
                Cow::Owned(raw)
            }
        };
        Ok(PageNumbers { head, first_row: page.place.first_token, n_rows, bytes })
    }

    pub(super) fn raw(&self, layer: u32, part: Part) -> Result<Cow<'_, [u8]>> {
        let pages = self.part(layer, part)?;
        if pages.len() == 1
            && let Some(page) = self.page(pages.start)
            && let Some(borrowed) = page.borrowed_rows(0..self.rows_read(&page.place) as usize)?
        {
            return Ok(Cow::Borrowed(borrowed));
        }
        let mut raw = self.room(self.layer_numbers(layer)? * self.element().n_bytes())?;
        self.copy(layer, part, &mut raw)?;
        Ok(Cow::Owned(raw))
    }

    /// Zeros for what a call returns, unless they are more than the [limit](KvLogView::with_limit).
    pub(super) fn room(&self, n_bytes: usize) -> Result<Vec<u8>> {
        self.check_limit(n_bytes as u64)?;
        let mut room = Vec::new();
        let none = |_| FormatError::invalid("limit", format!("there is no memory for {n_bytes} bytes"));
        room.try_reserve_exact(n_bytes).map_err(none)?;
        room.resize(n_bytes, 0);
        Ok(room)
    }

    pub(super) fn check_limit(&self, n_bytes: u64) -> Result<()> {
        if n_bytes <= self.limit {
            return Ok(());
        }
        Err(FormatError::invalid("limit", format!("the log is {n_bytes} bytes decoded, {} are allowed", self.limit)))
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

    /// The pages of one layer's keys or values one after the other, decoded into one place that stays in the caches; the
    /// numbers of plain pages of f16 where they lie.
    pub(super) fn runs(
        &self,
        layer: u32,
        part: Part,
        each: &mut dyn FnMut(KvRun<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let row = self.row_group.shape.row_bytes() / self.element().n_bytes();
        let (mut decoder, mut numbers, mut first_row) = (Decoder::default(), Vec::new(), 0);
        for number in self.part(layer, part)? {
            let Some(page) = self.page(number) else { continue };
            let n_rows = self.rows_read(&page.place) as usize;
            if n_rows == 0 {
                continue;
            }
            let is_half = self.element() == ElementType::F16;
            let borrowed = if is_half && self.n_levels == 1 { page.borrowed_rows(0..n_rows)? } else { None };
            let numbers = match borrowed {
                Some(bytes) => RunNumbers::Half(bytes.as_chunks().0),
                None => {
                    numbers.resize(n_rows * row, 0.0);
                    Page::read_levels(&self.levels(number), &mut decoder, 0..n_rows, Out::Numbers(&mut numbers))?;
                    RunNumbers::Single(&numbers)
                }
            };
            if each(KvRun { first_row, numbers }).is_break() {
                break;
            }
            first_row += n_rows;
        }
        Ok(())
    }

    fn read_pages<'a>(&'a self, layer: u32, part: Part, mut out: Out<'a>) -> Result<()> {
        let row_numbers = self.row_group.shape.row_bytes() / self.element().n_bytes();
        let is_past_caches = matches!(&out, Out::Bytes(bytes) if bytes.len() >= LEAST_BYTES_PAST_CACHES);
        let mut works = Vec::new();
        for number in self.part(layer, part)? {
            let Some(page) = self.page(number) else { continue };
            let n_rows = self.rows_read(&page.place) as usize;
            if n_rows > 0 {
                let out = out.take(n_rows * row_numbers, self.element())?;
                let mut page = self.levels(number);
                page.iter_mut().for_each(|page| page.is_past_caches = is_past_caches);
                works.push(Work { page, rows: 0..n_rows, out });
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

    /// The numbers of the pages of one layer's keys or values, which are at hand.
    pub(super) fn part(&self, layer: u32, part: Part) -> Result<Range<usize>> {
        let pages = self.part_pages(layer, part)?;
        self.check_at_hand(&pages)?;
        Ok(pages)
    }

    /// As [`part`](Self::part), of a layer whose pages may not be at hand.
    pub(super) fn part_pages(&self, layer: u32, part: Part) -> Result<Range<usize>> {
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
