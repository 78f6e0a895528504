//! Rows that are those of an earlier token again, stored once: the first layer's keys and values depend on the token alone,
//! and texts repeat their words.

use super::corrupt;
use super::numbers::{self, Cursor};
use crate::Result;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Rows with another beginning differ; it is compared before the rest is.
const BEGINNING: usize = 16;

/// Which rows are stored, and where the others are.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// For each row 1 if it is one of those before.
    is_repeat: Vec<u8>,
    /// For each row that is, which of the stored rows it is.
    sources: Vec<u32>,
}

impl Repeats {
    /// Finds the rows of `row_bytes` that are earlier ones again; whether there are any. Shorter ones than a beginning are not
    /// worth it.
    pub(super) fn find(&mut self, raw: &[u8], row_bytes: usize) -> bool {
        self.is_repeat.clear();
        self.sources.clear();
        if row_bytes < BEGINNING {
            return false;
        }
        let mut known: HashMap<[u8; BEGINNING], (u32, &[u8])> = HashMap::with_capacity(raw.len() / row_bytes);
        let mut n_stored = 0;
        for row in raw.chunks_exact(row_bytes.max(1)) {
            let mut beginning = [0; BEGINNING];
            beginning.iter_mut().zip(row).for_each(|(known, byte)| *known = *byte);
            let source = match known.entry(beginning) {
                Entry::Occupied(entry) => {
                    Some(*entry.get()).filter(|(_, known)| *known == row).map(|(source, _)| source)
                }
                Entry::Vacant(entry) => {
                    entry.insert((n_stored, row));
                    None
                }
            };
            self.is_repeat.push(source.is_some().into());
            match source {
                Some(source) => self.sources.push(source),
                None => n_stored += 1,
            }
        }
        !self.sources.is_empty()
    }

    /// The rows that are stored, one after the other.
    pub(super) fn stored_rows(&self, raw: &[u8], row_bytes: usize, out: &mut Vec<u8>) {
        out.clear();
        let rows = raw.chunks_exact(row_bytes.max(1)).zip(&self.is_repeat);
        rows.filter(|(_, is_repeat)| **is_repeat == 0).for_each(|(row, _)| out.extend_from_slice(row));
    }

    /// Bits of the number of a stored row.
    pub(super) fn source_bits(&self) -> u32 {
        32 - self.sources.iter().fold(1, |all, source| all | source).leading_zeros()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        numbers::append(1, self.is_repeat.iter().map(|is| u32::from(*is)), out);
        numbers::append(self.source_bits(), self.sources.iter().copied(), out);
    }

    /// Reads those of `n_rows` rows; how many rows are stored.
    pub(super) fn read(&mut self, source_bits: u32, n_rows: usize, cursor: &mut Cursor<'_>) -> Result<usize> {
        self.is_repeat.clear();
        self.is_repeat.extend(cursor.numbers(1, n_rows)?.into_iter().map(|is| is as u8));
        let n_repeats = self.is_repeat.iter().map(|is| usize::from(*is)).sum();
        self.sources = cursor.numbers(source_bits, n_repeats)?;
        let (mut sources, mut n_stored) = (self.sources.iter(), 0);
        for is_repeat in &self.is_repeat {
            if *is_repeat == 0 {
                n_stored += 1;
            } else if sources.next().is_none_or(|source| *source >= n_stored) {
                return Err(corrupt("repeats a row that is not before it"));
            }
        }
        Ok(n_stored as usize)
    }

    /// Moves the stored rows, which `numbers` begins with, to their places and repeats them. The last row comes first: no row
    /// stands behind its own place, so none is overwritten before it was moved.
    pub(super) fn spread<T: Copy>(&self, numbers: &mut [T], row_width: usize) {
        let (mut n_stored, mut sources) = (self.is_repeat.len() - self.sources.len(), self.sources.iter().rev());
        for (row, is_repeat) in self.is_repeat.iter().enumerate().rev() {
            let source = match is_repeat {
                0 => {
                    n_stored -= 1;
                    n_stored
                }
                _ => sources.next().map_or(0, |source| *source as usize),
            };
            numbers.copy_within(source * row_width..(source + 1) * row_width, row * row_width);
        }
    }
}
