//! The built-in embedder: hashed words and character n-grams, no model, no corpus.
//!
//! A text becomes a bag of features: its words, its pairs of neighbouring words, and the 3- to 5-grams of characters
//! inside each padded word. A feature counts `weight * (1 + ln(occurrences))` and is added, with a sign, to one of
//! [`DIM`] numbers, both taken from its hash (feature hashing: Weinberger et al., 2009,
//! <https://arxiv.org/abs/0902.2206>). The sum, normalised, is the embedding. Nothing is learned from other texts, so
//! a text has the same embedding in every database, for ever; another recipe is another space name.
//!
//! It finds texts that share words and spellings, not texts that mean the same. It is never used silently: a database
//! only has embeddings that were put.

use crate::record::{Embedding, EmbeddingSpace};
use std::collections::BTreeMap;

/// Numbers per embedding.
pub const DIM: usize = 1024;
/// The recipe, as the space is called.
pub const SPACE: &str = "lexical-1024/1";

/// Shortest and longest n-gram of characters.
const GRAMS: std::ops::RangeInclusive<usize> = 3..=5;
const WORD_WEIGHT: f32 = 1.0;
const PAIR_WEIGHT: f32 = 0.5;
const GRAM_WEIGHT: f32 = 0.3;

/// Embeds texts by their words and spellings.
#[derive(Clone, Debug)]
pub struct LexicalEmbedder {
    space: EmbeddingSpace,
}

/// Occurrences and weight of each feature, by hash.
type Features = BTreeMap<u64, (u32, f32)>;

impl LexicalEmbedder {
    /// Its embedding space.
    pub fn space(&self) -> &EmbeddingSpace {
        &self.space
    }

    /// The embedding of `text`. A text without letters and digits is embedded as "nothing", near to its like only.
    pub fn embed(&self, text: &str) -> Embedding {
        let mut sum = vec![0.0f32; DIM];
        for (hash, (n, weight)) in features(text) {
            let value = weight * (1.0 + (n as f32).ln());
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            if let Some(number) = sum.get_mut(hash as usize % DIM) {
                *number += sign * value;
            }
        }
        Embedding::new(&self.space, sum).unwrap_or_else(|_| self.of_nothing())
    }

    fn of_nothing(&self) -> Embedding {
        let mut unit = vec![0.0; DIM];
        unit.iter_mut().take(1).for_each(|x| *x = 1.0);
        Embedding::from_stored(&self.space, unit)
    }
}

impl Default for LexicalEmbedder {
    fn default() -> Self {
        Self { space: EmbeddingSpace::fixed(SPACE, DIM as u32) }
    }
}

fn features(text: &str) -> Features {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    let mut features = Features::new();
    let mut add = |kind: u8, parts: &[&[u8]], weight: f32| {
        features.entry(hash(kind, parts)).or_insert((0, weight)).0 += 1;
    };
    for word in &words {
        add(1, &[word.as_bytes()], WORD_WEIGHT);
        let padded: Vec<char> = std::iter::once(' ').chain(word.chars()).chain(std::iter::once(' ')).collect();
        for gram in GRAMS.flat_map(|n| padded.windows(n)) {
            add(3, &[gram.iter().collect::<String>().as_bytes()], GRAM_WEIGHT);
        }
    }
    for pair in words.windows(2) {
        if let [first, second] = pair {
            add(2, &[first.as_bytes(), b" ", second.as_bytes()], PAIR_WEIGHT);
        }
    }
    features
}

/// FNV-1a, mixed so that all bits depend on all bytes. Part of the recipe: it never changes.
fn hash(kind: u8, parts: &[&[u8]]) -> u64 {
    let bytes = std::iter::once(&kind).chain(parts.iter().copied().flatten());
    let fnv = bytes.fold(0xcbf2_9ce4_8422_2325u64, |h, byte| (h ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
