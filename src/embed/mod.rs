//! Embedders that lagdb brings along.
//!
//! lagdb stores embeddings of any model; one that needs no model is built in: [`LexicalEmbedder`].

pub mod lexical;

pub use lexical::LexicalEmbedder;
