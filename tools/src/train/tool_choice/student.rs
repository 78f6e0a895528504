//! A model as it speaks of the tool-choice world: which of its tokens is which word.
//!
//! In the model of this world alone a word's number is its token; a model of both worlds has a vocabulary in which this one's
//! words have other places.

use crate::tool_choice::{N_TOOLS, N_WORDS, Word};
use crate::train::model::Model;
use candle_core::{Device, Result, Tensor};

/// The token of every word. Tools are neighbours, in their order.
#[derive(Clone, Debug)]
pub(crate) struct WordTokens([u32; N_WORDS]);

impl WordTokens {
    /// Of a vocabulary of this world alone.
    pub(crate) fn alone() -> Self {
        Self(std::array::from_fn(|number| number as u32))
    }

    /// Of a vocabulary in which `token` tells the place of a word.
    pub(crate) fn placed(token: impl Fn(Word) -> u32) -> Self {
        let tokens = Self(std::array::from_fn(|number| Word::from_id(number as u32).map_or(0, &token)));
        debug_assert!(Word::tools().zip(tokens.first_tool()..).all(|(tool, token)| tokens.of(tool) == token));
        tokens
    }

    pub(crate) fn of(&self, word: Word) -> u32 {
        self.0[word.id() as usize]
    }

    /// The token of the first tool; the others follow it.
    pub(crate) fn first_tool(&self) -> u32 {
        Word::tool(0).map_or(0, |tool| self.of(tool))
    }

    /// The word of a token, or `None` where it is not of this world.
    fn word(&self, token: u32) -> Option<Word> {
        self.0.iter().position(|own| *own == token).and_then(|number| Word::from_id(number as u32))
    }
}

/// A model, and how it names the words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Student<'a> {
    pub(crate) model: &'a Model,
    pub(crate) tokens: &'a WordTokens,
}

impl Student<'_> {
    /// Token ids of sequences, `[n_rows, len]`, padded on the right.
    pub(crate) fn rows(self, rows: &[&[Word]]) -> Result<Tensor> {
        let len = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * len);
        for row in rows {
            ids.extend(row.iter().map(|word| self.tokens.of(*word)));
            ids.resize(ids.len() + len - row.len(), self.tokens.of(Word::PAD));
        }
        Tensor::from_vec(ids, (rows.len(), len), &Device::Cpu)
    }

    /// The shares of the tools among all words, of which `shares` has every one.
    pub(crate) fn tools(self, shares: &[f32]) -> &[f32] {
        &shares[self.tokens.first_tool() as usize..][..N_TOOLS]
    }

    /// The word of a token; what is not of this world counts as padding.
    pub(crate) fn word(self, token: u32) -> Word {
        self.tokens.word(token).unwrap_or(Word::PAD)
    }
}
