//! The KV cache: keys and values of the running session, one pair of buffers per layer.
//!
//! Buffers are head-major, `[n_kv_heads, capacity, head_dim]`, with keys already turned by RoPE. f32 is the reference: rows
//! are tensors that candle multiplies. f16 is half of the bytes, and attention over many rows is as slow as its bytes; rows
//! of f16 are padded to whole vectors. Memory is zeroed when it is first touched, so room for rows to come costs nothing.
//!
//! Rows are first written at every layer and then committed together: work that fails in between
//! leaves the cache as it was, since rows beyond the committed ones are never read.

use super::heads::{HeadShape, Rows};
use super::rope::Angles;
use super::simd::{Halves, LANES, Target, narrow_heads};
use super::tensor;
use candle_core::{DType, Device, Error, Result, Tensor};
use half::f16;
use half::slice::HalfFloatSliceExt;
use lagdb_format::KvGeometry;
use std::ops::Range;

/// The least room for rows to come.
const HEADROOM: usize = 512;

/// How keys and values of a running session are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvNumbers {
    /// f32, the reference.
    F32,
    /// f16: half of the memory. Logits change by some thousandths; a key or value beyond f16 is an error.
    F16,
}

/// Keys and values of every layer, and the position of every committed row.
#[derive(Debug)]
pub(super) struct KvCache {
    layers: Vec<LayerCache>,
    geometry: KvGeometry,
    numbers: KvNumbers,
    capacity: usize,
    limit: usize,
    positions: Vec<u32>,
}

/// One half of some rows at one layer, token-major, `[n_tokens, n_kv_heads, head_dim]`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// Keys before RoPE, and the angles to turn them by (none at a layer without RoPE).
    Keys(&'a [f32], Option<&'a Angles>),
    /// Values.
    Values(&'a [f32]),
}

/// Two buffers, `[n_kv_heads, capacity, head_dim]`.
#[derive(Debug)]
enum LayerCache {
    Float { keys: Tensor, values: Tensor },
    Half { keys: Vec<Halves>, values: Vec<Halves> },
}

/// The rows of one layer.
#[derive(Debug)]
pub(super) enum LayerRows<'a> {
    /// Views of keys and values, `[n_kv_heads, n_rows, head_dim]`.
    Float(Tensor, Tensor),
    Half(HalfRows<'a>),
}

/// Keys and values as `[n_kv_heads, capacity, width]` vectors, of which `n_rows` rows are in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct HalfRows<'a> {
    pub(super) keys: &'a [Halves],
    pub(super) values: &'a [Halves],
    /// A multiple of [`LANES`].
    pub(super) capacity: usize,
    pub(super) n_rows: usize,
    pub(super) width: usize,
}

impl KvCache {
    /// An empty cache that never holds more than `limit` rows.
    pub(super) fn new(geometry: KvGeometry, numbers: KvNumbers, limit: usize) -> Self {
        Self { layers: Vec::new(), geometry, numbers, capacity: 0, limit, positions: Vec::new() }
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
        let capacity = (needed + (needed / 2).max(HEADROOM)).min(self.limit.max(needed)).next_multiple_of(LANES);
        self.layers = match self.layers.is_empty() {
            true => (0..self.geometry.n_layers).map(|_| self.empty_layer(capacity)).collect::<Result<_>>()?,
            false => self.layers.iter().map(|layer| self.larger(layer, capacity)).collect::<Result<_>>()?,
        };
        self.capacity = capacity;
        Ok(())
    }

    /// Writes `part` after the committed rows of `layer`, straight to its place: a log can be hundreds of megabytes.
    pub(super) fn write(&mut self, layer: usize, shape: HeadShape, part: Part<'_>) -> Result<()> {
        let rows = Rows { first: self.n_rows(), capacity: self.capacity };
        let (numbers, angles) = match part {
            Part::Keys(keys, angles) => (keys, angles),
            Part::Values(values) => (values, None),
        };
        match (&mut self.layers[layer], part) {
            (LayerCache::Float { keys: buffer, .. }, Part::Keys(..))
            | (LayerCache::Float { values: buffer, .. }, Part::Values(..)) => {
                tensor::change(buffer, &|out| shape.write_rows(numbers, angles, out, rows))
            }
            (LayerCache::Half { keys: buffer, .. }, Part::Keys(..))
            | (LayerCache::Half { values: buffer, .. }, Part::Values(..)) => {
                let mut fits = true;
                narrow_heads(Target::best(), numbers, shape, angles, buffer, rows, &mut fits);
                let problem =
                    || Error::Msg(format!("layer {layer}: a key or value is no finite f16; KvNumbers::F32 holds it"));
                fits.then_some(()).ok_or_else(problem)
            }
        }
    }

    /// The rows of `layer`, the committed ones and `n_new` that were written after them.
    pub(super) fn rows(&self, layer: usize, n_new: usize) -> Result<LayerRows<'_>> {
        let n_rows = self.n_rows() + n_new;
        Ok(match &self.layers[layer] {
            LayerCache::Float { keys, values } => {
                LayerRows::Float(keys.narrow(1, 0, n_rows)?, values.narrow(1, 0, n_rows)?)
            }
            LayerCache::Half { keys, values } => {
                LayerRows::Half(HalfRows { keys, values, capacity: self.capacity, n_rows, width: self.width() })
            }
        })
    }

    /// Makes the rows written at every layer part of the cache.
    pub(super) fn commit(&mut self, positions: &[u32]) {
        self.positions.extend_from_slice(positions);
    }

    /// The values of some rows at one layer for each KV head, `[n_kv_heads, n_tokens, head_dim]`.
    pub(super) fn values(&self, layer: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        match &self.layers[layer] {
            LayerCache::Float { values, .. } => {
                let rows = values.narrow(1, rows.start, rows.len())?.contiguous()?;
                tensor::read(&rows, <[f32]>::to_vec)
            }
            LayerCache::Half { values, .. } => {
                let (d, width) = (self.geometry.head_dim as usize, self.width());
                let mut numbers = Vec::with_capacity(self.geometry.n_kv_heads as usize * rows.len() * d);
                for head in values.chunks_exact(self.capacity * width) {
                    for row in head[rows.start * width..rows.end * width].chunks_exact(width) {
                        let start = numbers.len();
                        numbers.resize(start + d, 0.0);
                        let bits: Vec<f16> = row.as_flattened()[..d].iter().map(|&bits| f16::from_bits(bits)).collect();
                        bits.convert_to_f32_slice(&mut numbers[start..]);
                    }
                }
                Ok(numbers)
            }
        }
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

    /// Vectors of a row of f16.
    fn width(&self) -> usize {
        (self.geometry.head_dim as usize).div_ceil(LANES)
    }

    fn empty_layer(&self, capacity: usize) -> Result<LayerCache> {
        let (n_heads, head_dim) = (self.geometry.n_kv_heads as usize, self.geometry.head_dim as usize);
        Ok(match self.numbers {
            KvNumbers::F32 => {
                let zeros = || Tensor::zeros((n_heads, capacity, head_dim), DType::F32, &Device::Cpu);
                LayerCache::Float { keys: zeros()?, values: zeros()? }
            }
            KvNumbers::F16 => {
                let zeros = || vec![[0; LANES]; n_heads * capacity * self.width()];
                LayerCache::Half { keys: zeros(), values: zeros() }
            }
        })
    }

    /// The committed rows of `layer` in buffers of `capacity` rows.
    fn larger(&self, layer: &LayerCache, capacity: usize) -> Result<LayerCache> {
        let mut new = self.empty_layer(capacity)?;
        match (&mut new, layer) {
            (LayerCache::Float { keys, values }, LayerCache::Float { keys: old_keys, values: old_values }) => {
                for (new, old) in [(&*keys, old_keys), (&*values, old_values)] {
                    let rows = old.narrow(1, 0, self.n_rows())?;
                    if self.n_rows() > 0 {
                        new.slice_set(&rows.contiguous()?, 1, 0)?;
                    }
                }
            }
            (LayerCache::Half { keys, values }, LayerCache::Half { keys: old_keys, values: old_values }) => {
                let n = self.n_rows() * self.width();
                for (new, old) in [(keys, old_keys), (values, old_values)] {
                    let heads = new.chunks_exact_mut(capacity * self.width());
                    for (new, old) in heads.zip(old.chunks_exact(self.capacity * self.width())) {
                        new[..n].copy_from_slice(&old[..n]);
                    }
                }
            }
            _ => return Err(Error::Msg("layers of one cache hold one type of number".to_owned())),
        }
        Ok(new)
    }
}
