//! Rows of a KV cache in eight bits a number: codes, and a scale for every 64 of them.
//!
//! Half of the bytes of f16 and one in sixteen more for the scales. A number is off by at most half a step, the 254th part of
//! the largest of its block: keys turned by RoPE have channels of very different size, so a row of a head is not one block.
//!
//! Heads are `[n_heads, capacity]` rows of `width` codes, the heads of keys first, then those of values; a row is padded to
//! whole vectors.

use super::heads::{HeadShape, Numbers};
use super::room::{Room, Rooms};
use super::rope::Angles;
use super::simd::{BLOCK, Halves, Target, narrow_row, widen_rows};
use half::f16;
use std::ops::Range;
use std::sync::Arc;

/// Codes in what a room is counted in.
const CODES: usize = size_of::<Halves>();

/// Keys and values of one layer.
#[derive(Debug)]
pub(super) struct ByteRows {
    codes: Room,
    scales: Vec<f32>,
    capacity: usize,
    /// Codes of a row.
    width: usize,
    /// Heads of keys, and as many of values.
    n_heads: usize,
}

/// Rows of one head of keys or values.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByteHead<'a> {
    /// `[n_rows, width]`.
    pub(super) codes: &'a [i8],
    /// `[n_rows, width / 64]`.
    pub(super) scales: &'a [f32],
}

impl ByteRows {
    /// Room for `capacity` rows.
    pub(super) fn new(n_heads: usize, head_dim: usize, capacity: usize, rooms: &Arc<Rooms>) -> Self {
        let width = head_dim.next_multiple_of(CODES);
        let n_rows = 2 * n_heads * capacity;
        let scales = vec![0.0; n_rows * width.div_ceil(BLOCK)];
        Self { codes: rooms.take(n_rows * width / CODES), scales, capacity, width, n_heads }
    }

    /// Rows that there is room for.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Codes of a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Some rows of a head of keys, or of values.
    pub(super) fn head(&self, is_values: bool, head: usize, rows: Range<usize>) -> ByteHead<'_> {
        let n_blocks = self.width.div_ceil(BLOCK);
        let first = self.first(is_values, head);
        let (start, end) = (first + rows.start, first + rows.end);
        let codes: &[i8] = bytemuck::cast_slice(&self.codes);
        ByteHead {
            codes: &codes[start * self.width..end * self.width],
            scales: &self.scales[start * n_blocks..end * n_blocks],
        }
    }

    /// Writes `x`, `[n_tokens, n_heads, head_dim]`, from row `first` on, turned by the angles from the one of this number on
    /// where given; whether every number is a finite f16, as wide as rows of many queries are made.
    pub(super) fn write(
        &mut self,
        is_values: bool,
        x: Numbers<'_>,
        shape: HeadShape,
        angles: Option<(&Angles, usize)>,
        first: usize,
    ) -> bool {
        let (d, n_blocks) = (shape.head_dim, self.width.div_ceil(BLOCK));
        let (mut plain, mut turned, mut fits) = (vec![0.0; d], vec![0.0; d], true);
        for token in 0..shape.n_tokens {
            for head in 0..shape.n_heads {
                let at = (token * shape.n_heads + head) * d;
                let row = match x {
                    Numbers::Single(x) => &x[at..at + d],
                    Numbers::Half(x) => {
                        plain
                            .iter_mut()
                            .zip(&x[at..at + d])
                            .for_each(|(out, x)| *out = f16::from_le_bytes(*x).to_f32());
                        plain.as_slice()
                    }
                };
                let row = match angles {
                    None => row,
                    Some((angles, number)) => {
                        angles.turn(number + token, row, &mut turned);
                        turned.as_slice()
                    }
                };
                let place = self.first(is_values, head) + first + token;
                let codes: &mut [i8] = bytemuck::cast_slice_mut(&mut self.codes);
                let codes = &mut codes[place * self.width..(place + 1) * self.width];
                let scales = &mut self.scales[place * n_blocks..(place + 1) * n_blocks];
                let mut largest = f32::NAN;
                narrow_row(Target::best(), row, codes, scales, &mut largest);
                fits &= largest <= f16::MAX.to_f32();
            }
        }
        fits
    }

    /// The numbers of some values, `[n_heads, n_rows, head_dim]`.
    pub(super) fn values(&self, rows: Range<usize>, head_dim: usize) -> Vec<f32> {
        let mut wide = vec![0.0; rows.len() * self.width];
        let mut values = Vec::with_capacity(self.n_heads * rows.len() * head_dim);
        for head in 0..self.n_heads {
            let ByteHead { codes, scales } = self.head(true, head, rows.clone());
            widen_rows(Target::best(), codes, self.width, scales, &mut wide);
            wide.chunks_exact(self.width).for_each(|row| values.extend_from_slice(&row[..head_dim]));
        }
        values
    }

    /// Takes the first `n` rows of every head from another room.
    pub(super) fn copy_from(&mut self, other: &Self, n: usize) {
        let (width, n_blocks) = (self.width, self.width.div_ceil(BLOCK));
        let (capacity, other_capacity) = (self.capacity, other.capacity);
        let codes: &mut [i8] = bytemuck::cast_slice_mut(&mut self.codes);
        let others: &[i8] = bytemuck::cast_slice(&other.codes);
        for head in 0..2 * self.n_heads {
            let (to, from) = (head * capacity, head * other_capacity);
            codes[to * width..(to + n) * width].copy_from_slice(&others[from * width..(from + n) * width]);
            let old = &other.scales[from * n_blocks..(from + n) * n_blocks];
            self.scales[to * n_blocks..(to + n) * n_blocks].copy_from_slice(old);
        }
    }

    /// The first row of a head.
    fn first(&self, is_values: bool, head: usize) -> usize {
        (usize::from(is_values) * self.n_heads + head) * self.capacity
    }
}
