//! The pages of a log in memory, encoded one after the other in the order in which they are written.
//!
//! All levels of a page are encoded together and written apart: the higher ones are held until their turn comes, which is
//! after the last page of the level below.

use crate::encoding::{Decoder, Encoder, PageError, PageShape};
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

/// How a page is encoded at one level, the stored form, and its error with the levels below.
type EncodedLevel = (Encoding, Vec<u8>, PageError);

/// How the pages of a log are encoded.
#[derive(Clone, Copy)]
pub(super) enum Choice<'a> {
    /// All alike, in levels.
    Levels(&'a [Encoding]),
    /// By layer and part, and held to the error that is planned.
    Plan(&'a Plan),
}

impl<'a> Choice<'a> {
    /// Encodes a page; how, its levels one by one with their errors.
    ///
    /// # Errors
    /// Those of the encoding; [`FormatError::Invalid`] when nothing that is planned comes near enough.
    fn encode(self, encoder: &mut Encoder, page: &GridPage, shape: PageShape, raw: &[u8]) -> Result<Vec<EncodedLevel>> {
        match self {
            Self::Levels(levels) => {
                let mut stored = vec![Vec::new(); levels.len()];
                let errors = encoder.encode_levels(levels, shape, raw, &mut stored)?;
                Ok(levels
                    .iter()
                    .copied()
                    .zip(stored)
                    .zip(errors)
                    .map(|((e, stored), error)| (e, stored, error))
                    .collect())
            }
            Self::Plan(plan) if plan.n_levels() > 1 => {
                Self::Levels(&Encoding::LAYERED).encode(encoder, page, shape, raw)
            }
            Self::Plan(plan) => {
                let ladder = plan.ladder(page.layer, page.part).ok_or_else(no_levels)?;
                let mut refused = no_levels();
                for &encoding in ladder {
                    let mut stored = Vec::new();
                    match encoder.encode(encoding, shape, raw, &mut stored) {
                        Ok(error) if error.relative_l2 <= plan.most_error() => {
                            return Ok(vec![(encoding, stored, error)]);
                        }
                        Ok(error) => {
                            refused = FormatError::invalid("plan", format!("a page is {} off", error.relative_l2))
                        }
                        Err(error @ FormatError::Invalid { what: "numbers", .. }) => refused = error,
                        Err(error) => return Err(error),
                    }
                }
                Err(refused)
            }
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
    held: Vec<VecDeque<EncodedLevel>>,
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
        let shape = self.shape.page_shape(page);
        let levels = self.choice.encode(encoder, page, shape, self.raw(page)?)?;
        let mut summaries = Vec::new();
        if self.summarizes_keys && page.part == Part::Keys {
            let stored: Vec<_> = levels.iter().map(|(encoding, stored, _)| (*encoding, stored.as_slice())).collect();
            let errors: Vec<_> = levels.iter().map(|(_, _, error)| *error).collect();
            summaries = key_summary::of_page(&mut self.decoder, shape, &stored, &errors)?;
        }
        let mut levels = levels.into_iter();
        let (encoding, base, error) = levels.next().ok_or_else(no_levels)?;
        out.extend_from_slice(&base);
        self.held.iter_mut().zip(levels).for_each(|(held, level)| held.push_back(level));
        Ok(EncodedPage { encoding, error, summaries })
    }

    /// The next page of a higher level.
    fn take_held(&mut self, page: &GridPage, out: &mut Vec<u8>) -> Result<EncodedPage> {
        let held = usize::from(page.level).checked_sub(1).and_then(|held| self.held.get_mut(held));
        let (encoding, stored, error) = held.and_then(VecDeque::pop_front).ok_or_else(no_levels)?;
        out.extend_from_slice(&stored);
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
