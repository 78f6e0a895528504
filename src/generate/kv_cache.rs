//! The KV cache: keys and values of the running session, one pair of buffers per layer.
//!
//! Buffers are head-major, `[n_kv_heads, capacity, head_dim]`, f32, with keys already turned by RoPE, so that the
//! rows in use are a view that attention multiplies without a copy. Capacity doubles up to the session's limit.
//!
//! Rows are first written at every layer and then [committed](KvCache::commit) together: work that fails in between
//! leaves the cache as it was, since rows beyond the committed ones are never read.

use super::heads::{HeadShape, Rows};
use super::rope::Angles;
use super::tensor;
use candle_core::{DType, Device, Result, Tensor};
use lagdb_format::KvGeometry;

/// Capacity of the first allocation, in rows.
const FIRST_CAPACITY: usize = 64;

/// Keys and values of every layer, and the position of every committed row.
#[derive(Debug)]
pub(super) struct KvCache {
    layers: Vec<LayerCache>,
    geometry: KvGeometry,
    capacity: usize,
    limit: usize,
    positions: Vec<u32>,
}

/// One half of a log at one layer.
#[derive(Clone, Copy, Debug)]
pub(super) enum LogPart<'a> {
    /// Keys before RoPE, and the angles to turn them by (none at a layer without RoPE).
    Keys(&'a [f32], Option<&'a Angles>),
    /// Values.
    Values(&'a [f32]),
}

/// Two buffers, `[n_kv_heads, capacity, head_dim]`.
#[derive(Debug)]
struct LayerCache {
    keys: Tensor,
    values: Tensor,
}

impl KvCache {
    /// An empty cache that never holds more than `limit` rows.
    pub(super) fn new(geometry: KvGeometry, limit: usize) -> Self {
        Self { layers: Vec::new(), geometry, capacity: 0, limit, positions: Vec::new() }
    }

    /// Committed rows.
    pub(super) fn n_rows(&self) -> usize {
        self.positions.len()
    }

    /// The position of each committed row.
    pub(super) fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// The most rows it may hold.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Makes room for `n_new` more rows; the caller has checked the limit.
    pub(super) fn reserve(&mut self, n_new: usize) -> Result<()> {
        let needed = self.n_rows() + n_new;
        if needed <= self.capacity {
            return Ok(());
        }
        let capacity = needed.max(2 * self.capacity).max(FIRST_CAPACITY).min(self.limit.max(needed));
        self.layers = match self.layers.is_empty() {
            true => (0..self.geometry.n_layers).map(|_| self.empty_layer(capacity)).collect::<Result<_>>()?,
            false => self.layers.iter().map(|layer| self.larger(layer, capacity)).collect::<Result<_>>()?,
        };
        self.capacity = capacity;
        Ok(())
    }

    /// Writes `keys` and `values`, each `[n_kv_heads, n_new, head_dim]`, after the committed rows of `layer`, and
    /// returns views of all rows including them.
    pub(super) fn write(&mut self, layer: usize, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let n_rows = self.n_rows() + keys.dim(1)?;
        let cache = &self.layers[layer];
        cache.keys.slice_set(keys, 1, self.n_rows())?;
        cache.values.slice_set(values, 1, self.n_rows())?;
        Ok((cache.keys.narrow(1, 0, n_rows)?, cache.values.narrow(1, 0, n_rows)?))
    }

    /// Writes token-major `keys` or `values` of a log, `[n_tokens, n_kv_heads, head_dim]`, after the committed rows of
    /// `layer`: straight to their place, since a log can be hundreds of megabytes.
    pub(super) fn write_log(&mut self, layer: usize, shape: HeadShape, part: LogPart<'_>) -> Result<()> {
        let rows = Rows { first: self.n_rows(), capacity: self.capacity };
        let cache = &self.layers[layer];
        match part {
            LogPart::Keys(keys, angles) => {
                tensor::change(&cache.keys, &|out| shape.write_rows(keys, angles, out, rows))
            }
            LogPart::Values(values) => tensor::change(&cache.values, &|out| shape.write_rows(values, None, out, rows)),
        }
    }

    /// Makes the rows written at every layer part of the cache.
    pub(super) fn commit(&mut self, positions: &[u32]) {
        self.positions.extend_from_slice(positions);
    }

    /// The values of one row at one layer for each KV head, `[n_kv_heads, n_tokens, head_dim]`.
    pub(super) fn values(&self, layer: usize, rows: std::ops::Range<usize>) -> Result<Tensor> {
        self.layers[layer].values.narrow(1, rows.start, rows.len())?.contiguous()
    }

    /// A cache with buffers of its own; `Tensor::clone` would share them.
    pub(super) fn fork(&self) -> Result<Self> {
        let copy = |layer: &LayerCache| self.larger(layer, self.capacity);
        Ok(Self {
            layers: self.layers.iter().map(copy).collect::<Result<_>>()?,
            positions: self.positions.clone(),
            ..*self
        })
    }

    fn empty_layer(&self, capacity: usize) -> Result<LayerCache> {
        let shape = (self.geometry.n_kv_heads as usize, capacity, self.geometry.head_dim as usize);
        let zeros = || Tensor::zeros(shape, DType::F32, &Device::Cpu);
        Ok(LayerCache { keys: zeros()?, values: zeros()? })
    }

    fn larger(&self, layer: &LayerCache, capacity: usize) -> Result<LayerCache> {
        let new = self.empty_layer(capacity)?;
        new.keys.slice_set(&layer.keys, 1, 0)?;
        new.values.slice_set(&layer.values, 1, 0)?;
        Ok(new)
    }
}
