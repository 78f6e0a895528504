//! A generator's own hidden states as embeddings: no second model, and a text that is read anyway is embedded for nothing more.
//!
//! A text's embedding is the mean of the hidden states after the last norm, or the last of them, in a space that is named by
//! the generator's fingerprint. Hidden states of a causal model lie in a narrow cone (Ethayarajh, 2019,
//! <https://arxiv.org/abs/1909.00512>): similarities are all high, and only their order says something. How good that order is
//! depends on the model and was not measured here; a model trained to embed is the better choice where there is one.

use crate::generate::{Generator, SessionOptions};
use crate::{Embedder, Embedding, EmbeddingSpace, Result};

/// Hexadecimal digits of the fingerprint in the name of a space.
const ID_LEN: usize = 16;

/// Which hidden states stand for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenPooling {
    /// The mean over all tokens of the text, without what the tokenizer puts before it.
    Mean,
    /// That of the last token, which has seen all others.
    Last,
}

/// Embeds texts by what a generator thinks of them.
#[derive(Clone, Debug)]
pub struct HiddenEmbedder {
    generator: Generator,
    pooling: HiddenPooling,
    space: EmbeddingSpace,
}

impl HiddenEmbedder {
    /// The embedder of `generator`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when its hidden states are wider than embeddings may be.
    pub fn new(generator: Generator, pooling: HiddenPooling) -> Result<Self> {
        let id = Generator::fingerprint(&generator).id().to_string();
        let kind = match pooling {
            HiddenPooling::Mean => "mean",
            HiddenPooling::Last => "last",
        };
        let name = format!("hidden-{kind}/{}", id.get(..ID_LEN).unwrap_or(&id));
        let space = EmbeddingSpace::new(name, generator.config().hidden_size)?;
        Ok(Self { generator, pooling, space })
    }

    /// Its embedding space.
    pub fn space(&self) -> &EmbeddingSpace {
        &self.space
    }

    /// The embedding of `text`.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) when the generator has no tokenizer;
    /// [`Error::ContextLimit`](crate::Error::ContextLimit) when the text is longer than it can read;
    /// [`Error::Invalid`](crate::Error::Invalid) when the text has no token.
    pub fn embed(&self, text: &str) -> Result<Embedding> {
        let options = SessionOptions { capture: false, ..SessionOptions::default() };
        let mut session = self.generator.session(options)?;
        // What the tokenizer puts before a text is read first, and says nothing of it.
        if session.n_tokens() == 0 {
            let (whole, plain) = (self.generator.encode(text, true)?, self.generator.encode(text, false)?);
            let n_before = (0..whole.len()).find(|&n| whole[n..].starts_with(&plain)).unwrap_or(0);
            session.feed_for_hidden(&whole[..n_before])?;
        }
        let states = session.feed_for_hidden(&self.generator.encode(text, false)?)?;
        let width = self.space.dim();
        let mut rows = states.chunks_exact(width);
        let pooled = match self.pooling {
            HiddenPooling::Last => rows.next_back().unwrap_or_default().to_vec(),
            HiddenPooling::Mean => {
                let mut sum = vec![0.0; width];
                rows.for_each(|row| sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
                sum
            }
        };
        Embedding::new(&self.space, pooled)
    }
}

impl Embedder for HiddenEmbedder {
    fn embed(&self, text: &str) -> Result<Embedding> {
        self.embed(text)
    }
}
