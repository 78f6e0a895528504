//! The built-in embedder: hashed words and character n-grams, no model, no corpus.
//!
//! A text becomes a bag of features: its words, its word pairs, and the n-grams of characters inside each padded word.
//! A feature counts `1 + ln(occurrences)` times the weight of its kind, and is added with a sign to one of
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

/// Weights of the kinds of features.
#[derive(Clone, Copy, Debug)]
struct Weights {
    word: f32,
    pair: f32,
    gram: [f32; 3],
}
