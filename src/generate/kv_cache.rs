//! The KV cache: keys and values of the running session, one pair of buffers per layer.
//!
//! Buffers are head-major, `[n_kv_heads, capacity, head_dim]`, with keys already turned by RoPE. f32 is the reference: rows
//! are tensors that candle multiplies. f16 is half of the bytes, and attention over many rows is as slow as its bytes; rows
//! of f16 are padded to whole vectors. Memory is mapped when it is first touched, so room for rows to come costs little.
//!
//! Rows are first written at every layer and then committed together: work that fails in between
//! leaves the cache as it was, since rows beyond the committed ones are never read. Every number of a row is finite.

use super::heads::{HeadShape, Numbers, Rows};
use super::pages::{Pages, PagesRead};
use super::room::{Room, Rooms};
use super::rope::Angles;
use super::simd::{Halves, LANES, Target, narrow_heads};
use super::sources::{Source, Sources};
use super::{tensor, vector};
use candle_core::{DType, Device, Error, Result, Tensor};
use half::f16;
use half::slice::HalfFloatSliceExt;
use lagdb_format::{ElementType, KvGeometry};
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
}

impl KvNumbers {
    /// What a model of quantized matrices is served by: f16, where this machine widens it many at a time.
    pub(super) fn of_quantized() -> Self {
        if Target::best().widens_f16() { Self::F16 } else { Self::F32 }
    }
}

/// Keys and values of every layer, and the position of every committed row.
#[derive(Debug)]
pub(super) struct KvCache {
    layers: Vec<LayerCache>,
    geometry: KvGeometry,
    numbers: KvNumbers,
    limit: usize,
    positions: Vec<u32>,
    sources: Arc<Sources>,
    pages: Pages,
    rooms: Arc<Rooms>,
}

/// One half of some rows at one layer, token-major, `[n_tokens, n_kv_heads, head_dim]`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// Keys before RoPE, and the angles of all that are written in one go (none at a layer without RoPE).
    Keys(Numbers<'a>, Option<&'a Angles>),
    /// Values.
    Values(Numbers<'a>),
}

/// Where tokens are written: to rows from `row` on; the first of them has number `token` among those of the angles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) row: usize,
    pub(super) token: usize,
}

/// Keys and values, `[n_kv_heads, capacity, head_dim]`; those of f16 lie in one room, keys first.
#[derive(Debug)]
enum LayerCache {
    Float { keys: Tensor, values: Tensor },
    Half { rows: Room, capacity: usize },
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
    pub(super) fn new(geometry: KvGeometry, numbers: KvNumbers, limit: usize, rooms: Arc<Rooms>) -> Self {
        let (sources, pages) = Default::default();
        Self { layers: Vec::new(), geometry, numbers, limit, positions: Vec::new(), sources, pages, rooms }
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
        let capacity = (needed + (needed / 8).max(HEADROOM)).min(self.limit.max(needed)).next_multiple_of(LANES);
        for layer in self.layers.len()..self.geometry.n_layers as usize {
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

    /// Writes `part` straight to its place at `layer`, for which there is room: a log can be hundreds of megabytes.
    ///
    /// # Errors
    /// Naming layer and token, when a number is not finite, or no finite f16 where the cache holds those.
    pub(super) fn write(&mut self, layer: usize, place: Place, shape: HeadShape, part: Part<'_>) -> Result<()> {
        let first = place.row;
        let (numbers, angles) = match part {
            Part::Keys(keys, angles) => (keys, angles.map(|angles| (angles, place.token))),
            Part::Values(values) => (values, None),
        };
        let fits = match &mut self.layers[layer] {
            LayerCache::Float { keys, values } => {
                let buffer = if matches!(part, Part::Keys(..)) { keys } else { values };
                let rows = Rows { first, capacity: buffer.dim(1)? };
                widened(numbers, |x| {
                    tensor::change(buffer, &|out| shape.write_rows(x, angles, out, rows))?;
                    Ok(vector::are_finite(x))
                })?
            }
            LayerCache::Half { rows, capacity } => {
                let middle = rows.len() / 2;
                let (keys, values) = rows.split_at_mut(middle);
                let buffer = if matches!(part, Part::Keys(..)) { keys } else { values };
                let (rows, mut fits) = (Rows { first, capacity: *capacity }, true);
                narrow_heads(Target::best(), numbers, shape, angles, buffer, rows, &mut fits);
                fits
            }
        };
        if fits { Ok(()) } else { widened(numbers, |x| Err(self.unfit(layer, place.token, shape, part, x))) }
    }

    /// Which number of `part` cannot be held.
    fn unfit(&self, layer: usize, first: usize, shape: HeadShape, part: Part<'_>, numbers: &[f32]) -> Error {
        let part = if matches!(part, Part::Keys(..)) { "key" } else { "value" };
        let largest = if self.numbers == KvNumbers::F16 { f16::MAX.to_f32() } else { f32::MAX };
        let found = numbers.iter().position(|x| x.is_nan() || x.abs() > largest);
        let what = match found.map(|i| (first + i / (shape.n_heads * shape.head_dim), numbers[i])) {
            Some((token, x)) if !x.is_finite() => format!("the {part} of token {token} is {x}"),
            Some((token, x)) => {
                format!("the {part} of token {token} is {x}, which is no finite f16; KvNumbers::F32 holds it")
            }
            None => format!("a {part} turned by RoPE is no finite f16; KvNumbers::F32 holds it"),
        };
        Error::Msg(format!("layer {layer}: {what}"))
    }

    /// The first `n_rows` rows of `layer`, all of which were written.
    pub(super) fn rows(&self, layer: usize, n_rows: usize) -> Result<LayerRows<'_>> {
        Ok(match &self.layers[layer] {
            LayerCache::Float { keys, values } => {
                LayerRows::Float(keys.narrow(1, 0, n_rows)?, values.narrow(1, 0, n_rows)?)
            }
            LayerCache::Half { rows, capacity } => {
                let (keys, values) = rows.split_at(rows.len() / 2);
                LayerRows::Half(HalfRows { keys, values, capacity: *capacity, n_rows, width: self.width() })
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
        match &self.layers[layer] {
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
        }
    }

    /// A cache with buffers of its own; `Tensor::clone` would share them.
    pub(super) fn fork(&self) -> Result<Self> {
        let copy = |layer: &LayerCache| self.larger(layer, layer.capacity()?);
        Ok(Self {
            layers: self.layers.iter().map(copy).collect::<Result<_>>()?,
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
            _ => return Err(Error::Msg("layers of one cache hold one type of number".to_owned())),
        }
        Ok(new)
    }
}

impl LayerCache {
    fn capacity(&self) -> Result<usize> {
        match self {
            Self::Float { keys, .. } => keys.dim(1),
            Self::Half { capacity, .. } => Ok(*capacity),
        }
    }
}

/// Runs `f` on the numbers as f32.
fn widened<R>(numbers: Numbers<'_>, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    match numbers {
        Numbers::Single(x) => f(x),
        Numbers::Half(x) => {
            let mut wide = vec![0.0; x.len()];
            ElementType::F16.decode_f32(x.as_flattened(), &mut wide).map_err(Error::wrap)?;
            f(&wide)
        }
    }
}
