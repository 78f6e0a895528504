//! The bytes a view reads from: borrowed, or shared with whoever keeps them in memory.

use std::sync::Arc;

/// Bytes that are borrowed (`'a`) or owned (`'static`). Cloning never copies them.
#[derive(Clone)]
pub enum Bytes<'a> {
    /// Someone else's bytes.
    Borrowed(&'a [u8]),
    /// Bytes kept as long as anyone reads them: a vector, a mapped file, a cache entry.
    Shared(Arc<dyn AsRef<[u8]> + Send + Sync>),
}

impl Bytes<'_> {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => (**bytes).as_ref(),
        }
    }
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl From<Vec<u8>> for Bytes<'static> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Shared(Arc::new(bytes))
    }
}

impl From<Arc<[u8]>> for Bytes<'static> {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Shared(Arc::new(bytes))
    }
}
