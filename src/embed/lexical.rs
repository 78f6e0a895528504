//! The built-in embedder: hashed words and character n-grams, no model, no corpus.
//!
//! A text becomes a bag of features: its words, its pairs of neighbouring words, and the 4- to 6-grams of characters
//! inside each padded word. A feature counts `weight * length^0.8 * (1 + ln(occurrences))`, where the length is that of
//! its (longer) word: long words say more than short ones, and no corpus is needed to know it. The count is added, with
//! a sign, to one of [`DIM`] numbers, both taken from the feature's hash (feature hashing: Weinberger et al., 2009,
//! <https://arxiv.org/abs/0902.2206>). The sum, normalised, is the embedding. Nothing is learned from other texts, so a
//! text has the same embedding in every database; another recipe is another space name.
//!
//! What to embed: of a trajectory its task, of a strategy title and description. Measured on the 200 first user
//! messages of tau-bench airline (50 tasks, four trials each): another trial of the same task comes first in 0.725 of
//! the cases and is among the first three in 0.84; without the weight of length it is 0.69 and 0.805.
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
const GRAMS: std::ops::RangeInclusive<usize> = 4..=6;
/// How much longer words weigh more.
const LENGTH_EXPONENT: f32 = 0.8;
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
        add(1, &[word.as_bytes()], WORD_WEIGHT * weight_of(word));
        let padded: Vec<char> = std::iter::once(' ').chain(word.chars()).chain(std::iter::once(' ')).collect();
        for gram in GRAMS.flat_map(|n| padded.windows(n)) {
            add(3, &[gram.iter().collect::<String>().as_bytes()], GRAM_WEIGHT * weight_of(word));
        }
    }
    for pair in words.windows(2) {
        if let [first, second] = pair {
            let weight = PAIR_WEIGHT * weight_of(first).max(weight_of(second));
            add(2, &[first.as_bytes(), b" ", second.as_bytes()], weight);
        }
    }
    features
}

fn weight_of(word: &str) -> f32 {
    (word.chars().count() as f32).powf(LENGTH_EXPONENT)
}

/// FNV-1a, mixed so that all bits depend on all bytes. Part of the recipe: it never changes.
fn hash(kind: u8, parts: &[&[u8]]) -> u64 {
    let bytes = std::iter::once(&kind).chain(parts.iter().copied().flatten());
    let fnv = bytes.fold(0xcbf2_9ce4_8422_2325u64, |h, byte| (h ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(a: &str, b: &str) -> f32 {
        let embedder = LexicalEmbedder::default();
        embedder.embed(a).similarity(&embedder.embed(b)).unwrap()
    }

    #[test]
    fn texts_that_share_words_are_near() {
        let near = similarity("book a flight to Seattle", "I'd like to book two flights to Seattle");
        let far = similarity("book a flight to Seattle", "cancel my hotel reservation");
        assert!(near > 0.4 && far < 0.15, "{near} {far}");
        assert!(similarity("Hello, world!", "hello world") > 0.999);
    }

    #[test]
    fn a_text_without_words_is_embedded_too() {
        assert!(similarity("", "?!") > 0.999);
        assert!(similarity("", "word") < 0.5);
    }

    #[test]
    fn the_recipe_is_the_one_of_the_space() {
        let embedding = LexicalEmbedder::default().embed("the same for ever");
        assert_eq!((embedding.space().name(), embedding.space().dim()), (SPACE, DIM));
        let coarse = |x: &f32| (x * 100.0).round() as i8;
        let print: Vec<_> = embedding.as_slice().iter().map(coarse).enumerate().filter(|(_, x)| x.abs() > 20).collect();
        assert_eq!(print, GOLDEN);
    }

    const GOLDEN: [(usize, i8); 7] = [(482, 33), (615, -21), (621, 42), (698, -33), (860, -21), (893, 42), (923, 33)];
}
