//! Embedders that lagdb brings along.
//!
//! lagdb stores embeddings of any model; one that needs no model is built in: [`LexicalEmbedder`].

pub mod lexical;

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

impl<F: Fn(&str) -> Result<Embedding> + Send + Sync> Embedder for F {
    fn embed(&self, text: &str) -> Result<Embedding> {
        self(text)
    }
}
