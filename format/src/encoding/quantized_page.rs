//! An int8 page as it is stored: attention scores straight from codes and ranges, without widening the page.
//!
//! A score is `Σ q[c] (base + code[c] * step)`, which is `Σ q[c] base + Σ code[c] (q[c] step)`: where tokens share ranges by
//! channel, the query is scaled once for all of them. A rotated page is compared with the rotated query, because the
//! transform is its own transpose.

use super::groups::{Axis, Grouping, Ranges, corrupt};
use super::{PageShape, Result};
use crate::FormatError;
use crate::simd::{self, Target};

/// Codes and ranges of an int8 page; the codes are borrowed.
#[derive(Debug)]
pub struct QuantizedPage<'a> {
    shape: PageShape,
    grouping: Grouping,
    codes: &'a [u8],
    ranges: Ranges,
}

impl<'a> QuantizedPage<'a> {
    /// The stored form of an int8 page of this shape.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`], counted from the start of `stored`, when it is none.
    pub fn parse(shape: PageShape, stored: &'a [u8]) -> Result<Self> {
        let mut ranges = Ranges::default();
        let (grouping, codes) = ranges.read(shape, 256.0, stored)?;
        if codes.len() != shape.n_tokens as usize * shape.row_width() {
            return Err(corrupt("codes", format!("do not fit {shape:?}")));
        }
        ranges.turn_into_base(1.0);
        Ok(Self { shape, grouping, codes, ranges })
    }

    /// Writes the dot product of `query` with every token of KV head `head`, in the order of the tokens.
    ///
    /// Sums are taken in another order than over decoded numbers: they agree to rounding.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such head, or `query` is not as wide as one, or `out` has not a place for
    /// each token.
    pub fn scores(&self, head: u32, query: &[f32], out: &mut [f32]) -> Result<()> {
        let (head_dim, n_tokens) = (self.shape.head_dim as usize, self.shape.n_tokens as usize);
        if head >= self.shape.n_kv_heads || query.len() != head_dim || out.len() != n_tokens {
            let detail = format!("head {head}, a query of {}, {} scores of {:?}", query.len(), out.len(), self.shape);
            return Err(FormatError::invalid("scores", detail));
        }
        let mut query = query.to_vec();
        if self.grouping.is_rotated {
            simd::walsh_hadamard(Target::best(), &mut query, head_dim);
        }
        let rows = self.codes.chunks_exact(self.shape.row_width());
        let heads = rows.filter_map(|row| row.chunks_exact(head_dim).nth(head as usize));
        match self.grouping.axis {
            Axis::Channel => self.by_channel(head as usize, &query, heads, out),
            Axis::Token => self.by_token(head as usize, &query, heads, out),
        }
        Ok(())
    }

    fn by_channel<'b>(&self, head: usize, query: &[f32], heads: impl Iterator<Item = &'b [u8]>, out: &mut [f32]) {
        let (width, head_dim, group) = (self.shape.row_width(), query.len(), usize::from(self.grouping.group));
        let mut heads = heads;
        let ranges = self.ranges.low.chunks(width).zip(self.ranges.step.chunks(width));
        for (out, (base, step)) in out.chunks_mut(group).zip(ranges) {
            let of_head =
                |ranges: &'_ [f32]| ranges.iter().skip(head * head_dim).take(head_dim).copied().collect::<Vec<_>>();
            let constant: f32 = query.iter().zip(of_head(base)).map(|(q, base)| q * base).sum();
            let scaled: Vec<f32> = query.iter().zip(of_head(step)).map(|(q, step)| q * step).collect();
            for (score, codes) in out.iter_mut().zip(&mut heads) {
                simd::dot_codes(Target::best(), codes, &scaled, score);
                *score += constant;
            }
        }
    }

    fn by_token<'b>(&self, head: usize, query: &[f32], heads: impl Iterator<Item = &'b [u8]>, out: &mut [f32]) {
        let group = usize::from(self.grouping.group);
        let (n_heads, n_groups) = (self.shape.n_kv_heads as usize, query.len().div_ceil(group));
        let sums: Vec<f32> = query.chunks(group).map(|query| query.iter().sum()).collect();
        let per_head = self.ranges.low.chunks(n_groups).zip(self.ranges.step.chunks(n_groups));
        let ranges = per_head.skip(head).step_by(n_heads);
        for ((score, codes), (base, step)) in out.iter_mut().zip(heads).zip(ranges) {
            *score = 0.0;
            let groups = codes.chunks(group).zip(query.chunks(group)).zip(sums.iter().zip(base.iter().zip(step)));
            for ((codes, query), (sum, (base, step))) in groups {
                let mut dot = 0.0;
                simd::dot_codes(Target::best(), codes, query, &mut dot);
                *score += base * sum + step * dot;
            }
        }
    }
}
