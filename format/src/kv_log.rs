//! A KV log in memory, and the one way to read any KV log.

use crate::{ElementType, FormatError, KvGeometry, ModelFingerprint, Result};

/// Keys and values of one layer, token-major: each is `[n_tokens, n_kv_heads, head_dim]`, little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvLayer {
    /// Keys before RoPE.
    pub keys: Vec<u8>,
    /// Values.
    pub values: Vec<u8>,
}

/// Keys and values of selected tokens at every layer, in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvLog {
    fingerprint: ModelFingerprint,
    element: ElementType,
    token_ids: Vec<u32>,
    positions: Vec<u32>,
    layers: Vec<KvLayer>,
}

/// What every KV log answers, whether it lies in memory or in a segment.
///
/// Reading goes layer by layer so that a decoder can start before the whole log is decoded.
pub trait KvRead {
    /// The model that made the log.
    fn fingerprint(&self) -> &ModelFingerprint;
    /// Type of the stored numbers.
    fn element(&self) -> ElementType;
    /// Vocabulary ids of the kept tokens, in order.
    fn token_ids(&self) -> &[u32];
    /// RoPE position each token had when it was captured; strictly increasing.
    fn positions(&self) -> &[u32];
    /// Writes the keys of `layer` as f32, `[n_tokens, n_kv_heads, head_dim]`, into `out` of exactly that length.
    ///
    /// # Errors
    /// [`FormatError`] when `layer` or `out.len()` is wrong or the bytes are corrupt.
    fn read_keys(&self, layer: u32, out: &mut [f32]) -> Result<()>;
    /// Writes the values of `layer`; the same shape and errors as [`read_keys`](Self::read_keys).
    ///
    /// # Errors
    /// As [`read_keys`](Self::read_keys).
    fn read_values(&self, layer: u32, out: &mut [f32]) -> Result<()>;
    /// Layers, KV heads and head width.
    fn geometry(&self) -> KvGeometry {
        self.fingerprint().geometry
    }
    /// Kept tokens.
    fn n_tokens(&self) -> usize {
        self.token_ids().len()
    }
}

impl KvLog {
    /// A KV log of one layer entry per layer of `fingerprint.geometry`.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when the lengths disagree or positions do not strictly increase.
    pub fn new(
        fingerprint: ModelFingerprint,
        element: ElementType,
        token_ids: Vec<u32>,
        positions: Vec<u32>,
        layers: Vec<KvLayer>,
    ) -> Result<Self> {
        let geometry = fingerprint.geometry;
        let column_bytes = token_ids.len() * geometry.row_width() * element.n_bytes();
        if positions.len() != token_ids.len() {
            return Err(FormatError::invalid("positions", "one per token is needed"));
        }
        if !positions.is_sorted_by(|a, b| a < b) {
            return Err(FormatError::invalid("positions", "must strictly increase"));
        }
        if layers.len() != geometry.n_layers as usize {
            return Err(FormatError::invalid("layers", format!("{} of {}", layers.len(), geometry.n_layers)));
        }
        if layers.iter().any(|l| l.keys.len() != column_bytes || l.values.len() != column_bytes) {
            return Err(FormatError::invalid("layers", format!("keys and values of a layer are {column_bytes} bytes")));
        }
        Ok(Self { fingerprint, element, token_ids, positions, layers })
    }

    /// The stored layers, first to last.
    pub fn layers(&self) -> &[KvLayer] {
        &self.layers
    }

    fn layer(&self, layer: u32) -> Result<&KvLayer> {
        self.layers
            .get(layer as usize)
            .ok_or_else(|| FormatError::invalid("layer", format!("{layer} of {}", self.layers.len())))
    }
}

impl KvRead for KvLog {
    fn fingerprint(&self) -> &ModelFingerprint {
        &self.fingerprint
    }

    fn element(&self) -> ElementType {
        self.element
    }

    fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    fn positions(&self) -> &[u32] {
        &self.positions
    }

    fn read_keys(&self, layer: u32, out: &mut [f32]) -> Result<()> {
        self.element.decode_f32(&self.layer(layer)?.keys, out)
    }

    fn read_values(&self, layer: u32, out: &mut [f32]) -> Result<()> {
        self.element.decode_f32(&self.layer(layer)?.values, out)
    }
}
