//! Embedders that lagdb brings along, each with an embedding space of its own.
//!
//! lagdb stores embeddings of any model. [`LexicalEmbedder`] needs no model: it finds shared words and spellings.
//! `BertEmbedder` (feature `generate`) loads a sentence embedder from a local directory: it finds shared meaning. A
//! generator's own hidden states are embeddings too, by `HiddenEmbedder` of `agent`. None stands in for another: vectors of
//! two spaces are never compared.

#[cfg(feature = "generate")]
pub mod bert;
pub mod lexical;

#[cfg(feature = "generate")]
pub use bert::BertEmbedder;
pub use lexical::LexicalEmbedder;

use crate::Result;
use crate::record::Embedding;

/// Turns texts into embeddings of one space; a closure is one too.
pub trait Embedder: Send + Sync {
    /// The embedding of a text.
    ///
    /// # Errors
    /// When the model behind it cannot be asked.
    fn embed(&self, text: &str) -> Result<Embedding>;
}

impl Embedder for LexicalEmbedder {
    fn embed(&self, text: &str) -> Result<Embedding> {
        Ok(self.embed(text))
    }
}

#[cfg(feature = "generate")]
impl Embedder for BertEmbedder {
    fn embed(&self, text: &str) -> Result<Embedding> {
        self.embed(text)
    }
}

impl<F: Fn(&str) -> Result<Embedding> + Send + Sync> Embedder for F {
    fn embed(&self, text: &str) -> Result<Embedding> {
        self(text)
    }
}
