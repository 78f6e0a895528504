//! The pages of a log in memory, encoded one after the other in the order in which they are written.
//!
//! All levels of a page are encoded together and written apart: the higher ones are held until their turn comes, which is
//! after the last page of the level below.

use crate::encoding::{Decoder, Encoder, PageError};
use crate::planner::Plan;
use crate::segment::grid::{GridPage, GridShape, Part};
use crate::segment::key_summary::{self, KeySummary};
use crate::{Encoding, FormatError, KvLog, Result};
use std::collections::VecDeque;

/// A page that was encoded.
pub(super) struct EncodedPage {
    pub(super) encoding: Encoding,
    pub(super) error: PageError,
    /// One per KV head, where they were asked for.
    pub(super) summaries: Vec<KeySummary>,
}

/// How the pages of a log are encoded.
#[derive(Clone, Copy)]
pub(super) enum Choice<'a> {
    /// All alike, in levels.
    Levels(&'a [Encoding]),
    /// In one level, by layer and part.
    Plan(&'a Plan),
}

impl<'a> Choice<'a> {
    fn levels(self, page: &GridPage) -> Result<&'a [Encoding]> {
        match self {
            Self::Levels(levels) => Ok(levels),
            Self::Plan(plan) => plan.levels(page.layer, page.part).ok_or_else(no_levels),
        }
    }
}

/// Encodes the pages of one log.
pub(super) struct LogPages<'a> {
    log: &'a KvLog,
    shape: GridShape,
    choice: Choice<'a>,
    summarizes_keys: bool,
    /// The column of the last page, and what is left of it.
    column: Option<(u32, Part)>,
    rest: &'a [u8],
    /// Stored pages of each higher level, from level 1.
    held: Vec<VecDeque<(Vec<u8>, PageError)>>,
    decoder: Decoder,
}

impl<'a> LogPages<'a> {
    pub(super) fn new(log: &'a KvLog, shape: GridShape, choice: Choice<'a>, summarizes_keys: bool) -> Self {
        let held = vec![VecDeque::new(); usize::from(shape.n_levels.saturating_sub(1))];
        let decoder = Decoder::default();
        Self { log, shape, choice, summarizes_keys, column: None, rest: &[], held, decoder }
    }

    /// Appends the stored form of the next page, `page`.
    ///
    /// # Errors
    /// Those of the encoding.
    pub(super) fn encode(&mut self, encoder: &mut Encoder, page: &GridPage, out: &mut Vec<u8>) -> Result<EncodedPage> {
        if page.level > 0 {
            return self.take_held(page, out);
        }
        let levels = self.choice.levels(page)?;
        let shape = self.shape.page_shape(page);
        let raw = self.raw(page)?;
        let mut stored = vec![Vec::new(); levels.len()];
        let errors = encoder.encode_levels(levels, shape, raw, &mut stored)?;
        let is_summarized = self.summarizes_keys && page.part == Part::Keys;
        let mut summaries = Vec::new();
        if is_summarized {
            let stored: Vec<_> = levels.iter().copied().zip(stored.iter().map(Vec::as_slice)).collect();
            summaries = key_summary::of_page(&mut self.decoder, shape, &stored, &errors)?;
        }
        let mut pages = stored.into_iter().zip(errors);
        let (base, error) = pages.next().ok_or_else(no_levels)?;
        out.extend_from_slice(&base);
        self.held.iter_mut().zip(pages).for_each(|(held, page)| held.push_back(page));
        let encoding = *levels.first().ok_or_else(no_levels)?;
        Ok(EncodedPage { encoding, error, summaries })
    }

    /// The next page of a higher level.
    fn take_held(&mut self, page: &GridPage, out: &mut Vec<u8>) -> Result<EncodedPage> {
        let held = usize::from(page.level).checked_sub(1).and_then(|held| self.held.get_mut(held));
        let (stored, error) = held.and_then(VecDeque::pop_front).ok_or_else(no_levels)?;
        out.extend_from_slice(&stored);
        let encoding = *self.choice.levels(page)?.get(usize::from(page.level)).ok_or_else(no_levels)?;
        Ok(EncodedPage { encoding, error, summaries: Vec::new() })
    }

    /// The bytes of a page. The pages of a column come one behind the other, as its bytes do.
    fn raw(&mut self, page: &GridPage) -> Result<&'a [u8]> {
        if self.column.replace((page.layer, page.part)) != Some((page.layer, page.part)) {
            let layer = self.log.layers().get(page.layer as usize);
            self.rest = layer.map_or(&[], |layer| match page.part {
                Part::Keys => &layer.keys,
                Part::Values => &layer.values,
            });
        }
        let short = || FormatError::invalid("layer", format!("{} is too short", page.layer));
        self.rest.split_off(..page.raw_bytes).ok_or_else(short)
    }
}

fn no_levels() -> FormatError {
    FormatError::invalid("levels", "there are none")
}
