//! The KV cache: keys and values of the running session, one pair of buffers per layer.
//!
//! Buffers are head-major, `[n_kv_heads, capacity, head_dim]`, with keys already turned by RoPE. f32 is the reference: rows
//! are tensors that candle multiplies. f16 is half of the bytes, and attention over many rows is as slow as its bytes; rows
//! of f16 are padded to whole vectors. Eight bits are about half of that again: `byte_rows`. Memory is mapped when it is first
//! touched, so room for rows to come costs little.
//!
//! Layers can be lent to another thread, which writes rows to one while those that came back are computed with.
//!
//! Rows are first written at every layer and then committed together: work that fails in between
//! leaves the cache as it was, since rows beyond the committed ones are never read. Every number of a row is finite.

mod layer;
mod lent;

use super::byte_attention::Bytes;
use super::byte_rows::ByteRows;
use super::heads::HeadShape;
use super::pages::{Pages, PagesRead};
use super::room::Rooms;
use super::simd::{Halves, LANES, Target};
use super::sources::{Source, Sources};
use super::tensor;
use candle_core::{DType, Device, Error, Result, Tensor};
use half::f16;
use half::slice::HalfFloatSliceExt;
use lagdb_format::KvGeometry;
pub(super) use layer::{LayerCache, Part, Place};
use lent::{Lent, lost};
use std::ops::Range;
use std::sync::Arc;

/// The least room for rows to come.
const HEADROOM: usize = 512;

/// How keys and values of a running session are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvNumbers {
    /// f32, the reference.
    F32,
    /// f16: half of the memory. Logits change by some thousandths; a key or value beyond f16 is an error.
    F16,
    /// Eight bits and a scale for every 64 numbers of a row: 8.5 bits where f16 has 16, for heads of whole 64s. Logits change by
    /// hundredths, the next token of the demo model by 0.0065 nats where f16 changes it by 0.00001; a key or value beyond f16
    /// is an error. With 2,048 tokens a step takes 0.92 times as long as with f16, a prompt of 16 tokens 1.1 times: keys and values
    /// are widened to f16 first.
    Int8,
}

impl KvNumbers {
    /// The word for reports: `f32`, `f16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }

    /// What a model of quantized matrices is served by: f16, where this machine widens it many at a time.
    pub(super) fn of_quantized() -> Self {
        if Target::best().widens_f16() { Self::F16 } else { Self::F32 }
    }
}

/// Keys and values of every layer, and the position of every committed row.
#[derive(Debug)]
pub(super) struct KvCache {
    /// Those that are here: all but while some are lent.
    layers: Vec<LayerCache>,
    lent: Option<Lent>,
    geometry: KvGeometry,
    numbers: KvNumbers,
    limit: usize,
    positions: Vec<u32>,
    sources: Arc<Sources>,
    pages: Pages,
    rooms: Arc<Rooms>,
}

/// The rows of one layer.
#[derive(Debug)]
pub(super) enum LayerRows<'a> {
    /// Views of keys and values, `[n_kv_heads, n_rows, head_dim]`.
    Float(Tensor, Tensor),
    Half(HalfRows<'a>),
    Bytes(Bytes<'a>),
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
    pub(super) fn new(geometry: KvGeometry, numbers: KvNumbers, limit: usize, rooms: Arc<Rooms>) -> Self {
        let (layers, positions, sources, pages) = Default::default();
        Self { layers, lent: None, geometry, numbers, limit, positions, sources, pages, rooms }
    }

    /// How rows are held.
    pub(super) fn numbers(&self) -> KvNumbers {
        self.numbers
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

    /// Makes room for `n_new` more rows, one layer after the other; the caller has checked the limit.
    pub(super) fn reserve(&mut self, n_new: usize) -> Result<()> {
        let needed = self.n_rows() + n_new;
        let n_layers = self.geometry.n_layers as usize;
        match &self.lent {
            Some(lent) if needed <= lent.capacity => return Ok(()),
            Some(_) => self.wait_for(n_layers - 1)?,
            None if self.n_rows() > 0 && self.layers.len() < n_layers => return Err(lost()),
            None => {}
        }
        let capacity = (needed + (needed / 8).max(HEADROOM)).min(self.limit.max(needed)).next_multiple_of(LANES);
        for layer in self.layers.len()..n_layers {
            let empty = self.empty_layer(capacity)?;
            debug_assert_eq!(layer, self.layers.len());
            self.layers.push(empty);
        }
        for layer in 0..self.layers.len() {
            if self.layers[layer].capacity()? < needed {
                self.layers[layer] = self.larger(&self.layers[layer], capacity)?;
            }
        }
        Ok(())
    }

    /// Writes `part` straight to its place at `layer`, for which there is room.
    ///
    /// # Errors
    /// Naming layer and token, when a number is not finite, or no finite f16 where the cache holds those.
    pub(super) fn write(&mut self, layer: usize, place: Place, shape: HeadShape, part: Part<'_>) -> Result<()> {
        self.layer_mut(layer)?.write(layer, place, shape, part)
    }

    /// The buffers of `layer`, once they are here.
    pub(super) fn layer_mut(&mut self, layer: usize) -> Result<&mut LayerCache> {
        self.wait_for(layer)?;
        self.layers.get_mut(layer).ok_or_else(lost)
    }

    fn layer(&self, layer: usize) -> Result<&LayerCache> {
        self.layers.get(layer).ok_or_else(lost)
    }

    /// The first `n_rows` rows of `layer`, all of which were written.
    pub(super) fn rows(&self, layer: usize, n_rows: usize) -> Result<LayerRows<'_>> {
        Ok(match self.layer(layer)? {
            LayerCache::Float { keys, values } => {
                LayerRows::Float(keys.narrow(1, 0, n_rows)?, values.narrow(1, 0, n_rows)?)
            }
            LayerCache::Half { rows, capacity } => {
                let (keys, values) = rows.split_at(rows.len() / 2);
                LayerRows::Half(HalfRows { keys, values, capacity: *capacity, n_rows, width: self.width() })
            }
            LayerCache::Bytes(rows) => {
                LayerRows::Bytes(Bytes { rows, n_rows, n_kv_heads: self.geometry.n_kv_heads as usize })
            }
        })
    }

    /// Makes the rows written at every layer part of the cache.
    pub(super) fn commit(&mut self, positions: &[u32]) {
        self.positions.extend_from_slice(positions);
    }

    /// How rows that were attached are weighed.
    pub(super) fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// Says how rows that were attached are weighed, from now on.
    pub(super) fn weigh_as(&mut self, source: Source) {
        Arc::make_mut(&mut self.sources).push(source);
    }

    /// What was attached without becoming rows.
    pub(super) fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The same, to be changed.
    pub(super) fn pages_mut(&mut self) -> &mut Pages {
        &mut self.pages
    }

    /// Notes what attention read.
    pub(super) fn count_pages(&mut self, read: PagesRead) {
        self.pages.read.read += read.read;
        self.pages.read.of += read.of;
    }

    /// Forgets the rows from `n_rows` on.
    pub(super) fn truncate(&mut self, n_rows: usize) {
        self.positions.truncate(n_rows);
        Arc::make_mut(&mut self.sources).truncate(n_rows);
    }

    /// The values of some rows at one layer for each KV head, `[n_kv_heads, n_tokens, head_dim]`.
    pub(super) fn values(&self, layer: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        match self.layer(layer)? {
            LayerCache::Float { values, .. } => {
                let rows = values.narrow(1, rows.start, rows.len())?.contiguous()?;
                tensor::read(&rows, <[f32]>::to_vec)
            }
            LayerCache::Half { rows: room, capacity } => {
                let values = &room[room.len() / 2..];
                let (d, width) = (self.geometry.head_dim as usize, self.width());
                let mut numbers = Vec::with_capacity(self.geometry.n_kv_heads as usize * rows.len() * d);
                for head in values.chunks_exact(capacity * width) {
                    for row in head[rows.start * width..rows.end * width].chunks_exact(width) {
                        let start = numbers.len();
                        numbers.resize(start + d, 0.0);
                        let bits: Vec<f16> = row.as_flattened()[..d].iter().map(|&bits| f16::from_bits(bits)).collect();
                        bits.convert_to_f32_slice(&mut numbers[start..]);
                    }
                }
                Ok(numbers)
            }
            LayerCache::Bytes(held) => Ok(held.values(rows, self.geometry.head_dim as usize)),
        }
    }

    /// A cache with buffers of its own; `Tensor::clone` would share them.
    pub(super) fn fork(&self) -> Result<Self> {
        let copy = |layer: &LayerCache| self.larger(layer, layer.capacity()?);
        Ok(Self {
            layers: self.layers.iter().map(copy).collect::<Result<_>>()?,
            lent: None,
            positions: self.positions.clone(),
            sources: self.sources.clone(),
            pages: self.pages.clone(),
            rooms: self.rooms.clone(),
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
                LayerCache::Half { rows: self.rooms.take(2 * n_heads * capacity * self.width()), capacity }
            }
            KvNumbers::Int8 => LayerCache::Bytes(ByteRows::new(n_heads, head_dim, capacity, &self.rooms)),
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
            (LayerCache::Half { rows, .. }, LayerCache::Half { rows: old, capacity: old_capacity }) => {
                let n = self.n_rows() * self.width();
                let heads = rows.chunks_exact_mut(capacity * self.width());
                for (new, old) in heads.zip(old.chunks_exact(old_capacity * self.width())) {
                    new[..n].copy_from_slice(&old[..n]);
                }
            }
            (LayerCache::Bytes(new), LayerCache::Bytes(old)) => new.copy_from(old, self.n_rows()),
            _ => return Err(Error::Msg("layers of one cache hold one type of number".to_owned())),
        }
        Ok(new)
    }
}
