//! An int8 page as it is stored: scores and mixes of attention straight from codes and ranges, without widening the page.
//!
//! A score is `Σ q[c] (base + code[c] * step)`, which is `Σ q[c] base + Σ code[c] (q[c] step)`: where tokens share ranges by
//! channel, the query is scaled once for all of them. A mix is `Σ w[t] (base + code[t] * step)`: where the numbers of a token
//! share ranges, the weight of the token is scaled instead. A rotated page is compared with the rotated query, because the
//! transform is its own transpose; and rotating the sum of rows is summing rotated rows.

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

/// The codes of one head, whose rows begin `stride` apart, and where its ranges are among those of all heads.
#[derive(Clone, Copy)]
struct Head<'a> {
    number: usize,
    codes: &'a [u8],
    stride: usize,
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

    /// Tokens in the page.
    pub fn n_tokens(&self) -> usize {
        self.shape.n_tokens as usize
    }

    /// Writes the dot product of `query` with every token of KV head `head`, in the order of the tokens.
    ///
    /// Sums are taken in another order than over decoded numbers: they agree to rounding.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such head, or `query` is not as wide as one, or `out` has not a place for
    /// each token.
    pub fn scores(&self, head: u32, query: &[f32], out: &mut [f32]) -> Result<()> {
        let codes = self.head("scores", head, out.len() == self.n_tokens() && query.len() == self.head_dim())?;
        let rotated = self.grouping.is_rotated.then(|| {
            let mut query = query.to_vec();
            simd::walsh_hadamard(Target::best(), &mut query, self.head_dim());
            query
        });
        let query = rotated.as_deref().unwrap_or(query);
        match self.grouping.axis {
            Axis::Channel => self.scores_by_channel(codes, query, out),
            Axis::Token => self.scores_by_token(codes, query, out),
        }
        Ok(())
    }

    /// Adds the rows of KV head `head`, each times the weight of its token, to `out`, `[head_dim]`.
    ///
    /// Sums are taken in another order than over decoded numbers: they agree to rounding.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such head, or not one weight per token, or `out` is not as wide as a head.
    pub fn mix(&self, head: u32, weights: &[f32], out: &mut [f32]) -> Result<()> {
        let codes = self.head("mix", head, weights.len() == self.n_tokens() && out.len() == self.head_dim())?;
        let mut sums = vec![0.0; out.len()];
        match self.grouping.axis {
            Axis::Channel => self.mix_by_channel(codes, weights, &mut sums),
            Axis::Token => self.mix_by_token(codes, weights, &mut sums),
        }
        if self.grouping.is_rotated {
            simd::walsh_hadamard(Target::best(), &mut sums, self.head_dim());
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        Ok(())
    }

    /// Writes the numbers of KV head `head`, `[n_tokens, head_dim]`: for whoever compares them with many queries.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is no such head or `out` has another length.
    pub fn read_head(&self, head: u32, out: &mut [f32]) -> Result<()> {
        let (head_dim, target) = (self.head_dim(), Target::best());
        let codes = self.head("head", head, out.len() == self.n_tokens() * head_dim)?;
        let rows: Vec<u8> = codes.rows(head_dim).flatten().copied().collect();
        match self.grouping.axis {
            Axis::Channel => {
                let run = usize::from(self.grouping.group) * head_dim;
                let runs = rows.chunks(run).zip(out.chunks_mut(run)).zip(self.ranges_by_channel(codes.number));
                for ((codes, out), (base, step)) in runs {
                    simd::expand_8_by_channel(target, codes, base, step, out);
                }
            }
            Axis::Token => {
                let (mut bases, mut steps) = (Vec::new(), Vec::new());
                for (base, step) in self.ranges_by_token(codes.number) {
                    bases.extend_from_slice(base);
                    steps.extend_from_slice(step);
                }
                let group = self.grouping.group.into();
                simd::expand_8_by_token(target, &rows, head_dim, group, &bases, &steps, out);
            }
        }
        if self.grouping.is_rotated {
            simd::walsh_hadamard(target, out, head_dim);
        }
        Ok(())
    }

    fn head_dim(&self) -> usize {
        self.shape.head_dim as usize
    }

    /// The codes of a head, where the rest of the call `fits` too.
    fn head(&self, what: &'static str, head: u32, fits: bool) -> Result<Head<'a>> {
        let number = head as usize;
        match self.codes.get(number * self.head_dim()..) {
            Some(codes) if fits && head < self.shape.n_kv_heads => {
                Ok(Head { number, codes, stride: self.shape.row_width() })
            }
            _ => {
                Err(FormatError::invalid(what, format!("head {head} of {:?}, or a list of another length", self.shape)))
            }
        }
    }

    /// Base and step of each channel of a head, for one run of `group` tokens after the other.
    fn ranges_by_channel(&self, head: usize) -> impl Iterator<Item = (&[f32], &[f32])> {
        let (width, place) = (self.shape.row_width(), head * self.head_dim()..(head + 1) * self.head_dim());
        let runs = self.ranges.low.chunks(width).zip(self.ranges.step.chunks(width));
        runs.filter_map(move |(base, step)| base.get(place.clone()).zip(step.get(place.clone())))
    }

    /// Base and step of each group of a head's numbers, for one token after the other.
    fn ranges_by_token(&self, head: usize) -> impl Iterator<Item = (&[f32], &[f32])> {
        let n_groups = self.head_dim().div_ceil(self.grouping.group.into());
        let all = self.ranges.low.chunks(n_groups).zip(self.ranges.step.chunks(n_groups));
        all.skip(head).step_by(self.shape.n_kv_heads as usize)
    }

    fn scores_by_channel(&self, head: Head<'_>, query: &[f32], out: &mut [f32]) {
        let group = usize::from(self.grouping.group);
        let mut scaled = vec![0.0; query.len()];
        let runs = out.chunks_mut(group).zip(head.codes.chunks(group * head.stride));
        for ((out, codes), (base, step)) in runs.zip(self.ranges_by_channel(head.number)) {
            let constant: f32 = query.iter().zip(base).map(|(q, base)| q * base).sum();
            scaled.iter_mut().zip(query.iter().zip(step)).for_each(|(scaled, (q, step))| *scaled = q * step);
            simd::dot_codes(Target::best(), codes, head.stride, &scaled, out);
            out.iter_mut().for_each(|score| *score += constant);
        }
    }

    fn scores_by_token(&self, head: Head<'_>, query: &[f32], out: &mut [f32]) {
        let group = usize::from(self.grouping.group);
        let mut dots = vec![0.0; out.len()];
        out.fill(0.0);
        for (number, query) in query.chunks(group).enumerate() {
            let codes = head.codes.get(number * group..).unwrap_or_default();
            simd::dot_codes(Target::best(), codes, head.stride, query, &mut dots);
            let sum: f32 = query.iter().sum();
            for ((score, dot), (base, step)) in out.iter_mut().zip(&dots).zip(self.ranges_by_token(head.number)) {
                if let (Some(base), Some(step)) = (base.get(number), step.get(number)) {
                    *score += base * sum + step * dot;
                }
            }
        }
    }

    fn mix_by_channel(&self, head: Head<'_>, weights: &[f32], sums: &mut [f32]) {
        let group = usize::from(self.grouping.group);
        let mut of_run = vec![0.0; sums.len()];
        let runs = weights.chunks(group).zip(head.codes.chunks(group * head.stride));
        for ((weights, codes), (base, step)) in runs.zip(self.ranges_by_channel(head.number)) {
            of_run.fill(0.0);
            simd::add_codes(Target::best(), codes, head.stride, weights, &mut of_run);
            let weight: f32 = weights.iter().sum();
            for ((sum, of_run), (base, step)) in sums.iter_mut().zip(&of_run).zip(base.iter().zip(step)) {
                *sum += base * weight + step * of_run;
            }
        }
    }

    fn mix_by_token(&self, head: Head<'_>, weights: &[f32], sums: &mut [f32]) {
        let group = usize::from(self.grouping.group);
        let mut scaled = vec![0.0; weights.len()];
        for (number, sums) in sums.chunks_mut(group).enumerate() {
            let codes = head.codes.get(number * group..).unwrap_or_default();
            let mut constant = 0.0;
            for ((scaled, weight), (base, step)) in
                scaled.iter_mut().zip(weights).zip(self.ranges_by_token(head.number))
            {
                if let (Some(base), Some(step)) = (base.get(number), step.get(number)) {
                    *scaled = weight * step;
                    constant += weight * base;
                }
            }
            simd::add_codes(Target::best(), codes, head.stride, &scaled, sums);
            sums.iter_mut().for_each(|sum| *sum += constant);
        }
    }
}

impl<'a> Head<'a> {
    /// The codes of each row.
    fn rows(self, head_dim: usize) -> impl Iterator<Item = &'a [u8]> {
        self.codes.chunks(self.stride).map(move |row| row.get(..head_dim).unwrap_or_default())
    }
}
