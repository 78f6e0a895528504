//! One layer's keys and values, and writing rows to them: the layer needs nothing of the cache for that.

use crate::generate::byte_rows::ByteRows;
use crate::generate::heads::{HeadShape, Numbers, Rows};
use crate::generate::room::Room;
use crate::generate::rope::Angles;
use crate::generate::simd::{Target, narrow_heads};
use crate::generate::{tensor, vector};
use candle_core::{Error, Result, Tensor};
use half::f16;
use lagdb_format::ElementType;

/// Keys and values, `[n_kv_heads, capacity, head_dim]`; those of f16 lie in one room, keys first.
#[derive(Debug)]
pub(in crate::generate) enum LayerCache {
    Float { keys: Tensor, values: Tensor },
    Half { rows: Room, capacity: usize },
    Bytes(ByteRows),
}

/// One half of some rows at one layer, token-major, `[n_tokens, n_kv_heads, head_dim]`.
#[derive(Clone, Copy, Debug)]
pub(in crate::generate) enum Part<'a> {
    /// Keys before RoPE, and the angles of all that are written in one go (none at a layer without RoPE).
    Keys(Numbers<'a>, Option<&'a Angles>),
    /// Values.
    Values(Numbers<'a>),
}

/// Where tokens are written: to rows from `row` on; the first of them has number `token` among those of the angles.
#[derive(Clone, Copy, Debug)]
pub(in crate::generate) struct Place {
    pub(in crate::generate) row: usize,
    pub(in crate::generate) token: usize,
}

impl LayerCache {
    /// Writes `part` straight to its place, for which there is room: a log can be hundreds of megabytes. This is layer
    /// number `layer`.
    ///
    /// # Errors
    /// Naming layer and token, when a number is not finite, or no finite f16 where the rows are of those.
    pub(in crate::generate) fn write(
        &mut self,
        layer: usize,
        place: Place,
        shape: HeadShape,
        part: Part<'_>,
    ) -> Result<()> {
        let first = place.row;
        let (numbers, angles) = match part {
            Part::Keys(keys, angles) => (keys, angles.map(|angles| (angles, place.token))),
            Part::Values(values) => (values, None),
        };
        let fits = match self {
            Self::Float { keys, values } => {
                let buffer = if matches!(part, Part::Keys(..)) { keys } else { values };
                let rows = Rows { first, capacity: buffer.dim(1)? };
                widened(numbers, |x| {
                    tensor::change(buffer, &|out| shape.write_rows(x, angles, out, rows))?;
                    Ok(vector::are_finite(x))
                })?
            }
            Self::Half { rows, capacity } => {
                let middle = rows.len() / 2;
                let (keys, values) = rows.split_at_mut(middle);
                let buffer = if matches!(part, Part::Keys(..)) { keys } else { values };
                let (rows, mut fits) = (Rows { first, capacity: *capacity }, true);
                narrow_heads(Target::best(), numbers, shape, angles, buffer, rows, &mut fits);
                fits
            }
            Self::Bytes(rows) => rows.write(matches!(part, Part::Values(_)), numbers, shape, angles, first),
        };
        if fits { Ok(()) } else { widened(numbers, |x| Err(self.unfit(layer, place.token, shape, part, x))) }
    }

    /// Which number of `part` cannot be held.
    fn unfit(&self, layer: usize, first: usize, shape: HeadShape, part: Part<'_>, numbers: &[f32]) -> Error {
        let part = if matches!(part, Part::Keys(..)) { "key" } else { "value" };
        let largest = if matches!(self, Self::Float { .. }) { f32::MAX } else { f16::MAX.to_f32() };
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

    /// Rows that there is room for.
    pub(super) fn capacity(&self) -> Result<usize> {
        match self {
            Self::Float { keys, .. } => keys.dim(1),
            Self::Half { capacity, .. } => Ok(*capacity),
            Self::Bytes(rows) => Ok(rows.capacity()),
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
