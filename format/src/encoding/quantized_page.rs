//! An int8 page as it is stored: scores and mixes of attention straight from codes and ranges, without widening the page.
//!
//! A score is `Σ q[c] (base + code[c] * step)`, which is `Σ q[c] base + Σ code[c] (q[c] step)`: where tokens share ranges by
//! channel, the query is scaled once for all of them. A mix is `Σ w[t] (base + code[t] * step)`: where the numbers of a token
//! share ranges, the weight of the token is scaled instead. A rotated page is compared with the rotated query, because the
//! transform is its own transpose; and rotating the sum of rows is summing rotated rows.
//!
//! A few queries of every head pass a few tokens at a time, so that the page is read front to back, once. For many queries the
//! codes of a head are laid channel by channel, and scores are sums of rows of codes as mixes are.

use super::groups::{Axis, Grouping, Ranges, corrupt};
use super::{PageShape, Result};
use crate::FormatError;
use crate::simd::{self, CodeRows, Target};
use std::ops::Range;

/// Queries of a head up to which codes are compared as they lie.
const FEW: usize = 8;
/// Tokens that a few queries of all heads pass together: their codes stay in the nearest cache.
const BLOCK: usize = 16;

/// Codes and ranges of an int8 page; the codes are borrowed.
#[derive(Debug)]
pub struct QuantizedPage<'a> {
    shape: PageShape,
    grouping: Grouping,
    codes: &'a [u8],
    ranges: Ranges,
}

/// Base and step of each token, of one group of a head's numbers.
#[derive(Debug, Default)]
struct OfTokens {
    base: Vec<f32>,
    step: Vec<f32>,
}

/// Which heads are asked, and how many queries or lists of weights each.
#[derive(Clone, Debug)]
struct Asked {
    heads: Range<usize>,
    n: usize,
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

    /// Asks the processor for the first codes of these heads, which [`scores`](Self::scores) or [`mix`](Self::mix) will read soon.
    pub fn fetch(&self, heads: Range<u32>) {
        let codes = heads.filter_map(|head| self.codes_of(head as usize, 0..self.head_dim()).ok());
        codes.for_each(|codes| codes.rows(0..BLOCK.min(self.n_tokens())).fetch());
    }

    /// Writes the dot products of `queries`, `[heads.len(), n_queries, head_dim]`, with every token of their KV head to `out`,
    /// `[heads.len(), n_queries, n_tokens]`, in the order of the tokens.
    ///
    /// Sums are taken in another order than over decoded numbers, and fused where the processor can: they agree to rounding.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there are no such heads, or the two lists do not fit each other.
    pub fn scores(&self, heads: Range<u32>, queries: &[f32], out: &mut [f32]) -> Result<()> {
        let asked = self.asked("scores", heads, queries.len(), out.len())?;
        let rotated = self.grouping.is_rotated.then(|| {
            let mut queries = queries.to_vec();
            simd::walsh_hadamard(Target::best(), &mut queries, self.head_dim());
            queries
        });
        let queries = rotated.as_deref().unwrap_or(queries);
        match self.grouping.axis {
            Axis::Channel => self.scores_by_channel(&asked, queries, out),
            Axis::Token => self.scores_by_token(&asked, queries, out),
        }
    }

    /// Adds the rows of each KV head, each times the weight of its token in `weights`, `[heads.len(), n_queries, n_tokens]`, to
    /// `out`, `[heads.len(), n_queries, head_dim]`.
    ///
    /// Sums are taken in another order than over decoded numbers, and fused where the processor can: they agree to rounding.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there are no such heads, or the two lists do not fit each other.
    pub fn mix(&self, heads: Range<u32>, weights: &[f32], out: &mut [f32]) -> Result<()> {
        let asked = self.asked("mix", heads, out.len(), weights.len())?;
        if !self.grouping.is_rotated {
            return self.mix_codes(&asked, weights, out);
        }
        let mut sums = vec![0.0; out.len()];
        self.mix_codes(&asked, weights, &mut sums)?;
        simd::walsh_hadamard(Target::best(), &mut sums, self.head_dim());
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
        Ok(())
    }

    fn mix_codes(&self, asked: &Asked, weights: &[f32], out: &mut [f32]) -> Result<()> {
        match self.grouping.axis {
            Axis::Channel => self.mix_by_channel(asked, weights, out),
            Axis::Token => self.mix_by_token(asked, weights, out),
        }
    }

    fn head_dim(&self) -> usize {
        self.shape.head_dim as usize
    }

    /// What is asked by a list of heads' numbers and one of tokens' numbers.
    fn asked(&self, what: &'static str, heads: Range<u32>, of_heads: usize, of_tokens: usize) -> Result<Asked> {
        let width = heads.len() * self.head_dim();
        let n = of_heads.checked_div(width).unwrap_or(0);
        let is_of_tokens =
            |n| heads.len().checked_mul(n).and_then(|n| n.checked_mul(self.n_tokens())) == Some(of_tokens);
        if n == 0 || of_tokens == 0 || of_heads != n * width || !is_of_tokens(n) || heads.end > self.shape.n_kv_heads {
            let detail = format!("heads {heads:?} of {:?}, or a list of another length", self.shape);
            return Err(FormatError::invalid(what, detail));
        }
        Ok(Asked { heads: heads.start as usize..heads.end as usize, n })
    }

    /// The codes of some columns of a head.
    fn codes_of(&self, head: usize, columns: Range<usize>) -> Result<CodeRows<'a>> {
        let codes = self.codes.get(head * self.head_dim() + columns.start..).unwrap_or_default();
        CodeRows::new(codes, self.shape.row_width(), self.n_tokens(), columns.len()).ok_or_else(too_few)
    }

    /// Base and step of each channel of a head, for a run of `group` tokens.
    fn of_channels(&self, run: usize, head: usize) -> Result<(&[f32], &[f32])> {
        let (first, d) = (run * self.shape.row_width() + head * self.head_dim(), self.head_dim());
        let (base, step) = (self.ranges.low.get(first..first + d), self.ranges.step.get(first..first + d));
        base.zip(step).ok_or_else(too_few)
    }

    /// The groups of a head's numbers that share a range in each token: their number and columns.
    fn groups(&self) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (d, group) = (self.head_dim(), usize::from(self.grouping.group));
        (0..d).step_by(group).enumerate().map(move |(number, first)| (number, first..d.min(first + group)))
    }

    /// The ranges of one such group of a head.
    fn read_ranges(&self, head: usize, number: usize, ranges: &mut OfTokens) {
        let n_groups = self.head_dim().div_ceil(self.grouping.group.into());
        let (first, of_row) = (head * n_groups + number, n_groups * self.shape.n_kv_heads as usize);
        for (from, to) in [(&self.ranges.low, &mut ranges.base), (&self.ranges.step, &mut ranges.step)] {
            to.clear();
            to.extend(from.chunks(of_row).filter_map(|row| row.get(first)));
        }
    }

    fn scores_by_channel(&self, asked: &Asked, queries: &[f32], out: &mut [f32]) -> Result<()> {
        let (d, n_tokens, n) = (self.head_dim(), self.n_tokens(), asked.n);
        let group = usize::from(self.grouping.group);
        let (mut scaled, mut channels) = (vec![0.0; queries.len()], Vec::new());
        for (run, first) in (0..n_tokens).step_by(group).enumerate() {
            let tokens = first..n_tokens.min(first + group);
            for (i, (query, scaled)) in queries.chunks_exact(d).zip(scaled.chunks_exact_mut(d)).enumerate() {
                let (base, step) = self.of_channels(run, asked.heads.start + i / n)?;
                let mut constant = 0.0;
                simd::scale(Target::best(), query, base, step, scaled, &mut constant);
                out[i * n_tokens..][tokens.clone()].fill(constant);
            }
            for block in asked.blocks(tokens) {
                for (i, head) in asked.heads.clone().enumerate() {
                    let codes = self.codes_of(head, 0..d)?;
                    codes.rows(asked.after(&block, n_tokens)).fetch();
                    let codes = codes.rows(block.clone());
                    let out = &mut out[i * n * n_tokens..(i + 1) * n * n_tokens][block.start..];
                    add_scores(codes, &scaled[i * n * d..(i + 1) * n * d], out, n_tokens, &mut channels)?;
                }
            }
        }
        Ok(())
    }

    fn scores_by_token(&self, asked: &Asked, queries: &[f32], out: &mut [f32]) -> Result<()> {
        let (d, n_tokens, n) = (self.head_dim(), self.n_tokens(), asked.n);
        let (mut ranges, mut channels, mut dots) = (OfTokens::default(), Vec::new(), vec![0.0; n * n_tokens]);
        out.fill(0.0);
        for (i, head) in asked.heads.clone().enumerate() {
            let of_head = queries[i * n * d..(i + 1) * n * d].chunks_exact(d);
            for (number, columns) in self.groups() {
                self.read_ranges(head, number, &mut ranges);
                let part: Vec<f32> = of_head.clone().flat_map(|query| &query[columns.clone()]).copied().collect();
                dots.fill(0.0);
                add_scores(self.codes_of(head, columns.clone())?, &part, &mut dots, n_tokens, &mut channels)?;
                let scores = out[i * n * n_tokens..].chunks_exact_mut(n_tokens).zip(dots.chunks_exact(n_tokens));
                for (query, (out, dots)) in part.chunks_exact(columns.len()).zip(scores) {
                    let sum: f32 = query.iter().sum();
                    let of_tokens = ranges.base.iter().zip(&ranges.step).zip(dots);
                    out.iter_mut()
                        .zip(of_tokens)
                        .for_each(|(out, ((base, step), dot))| *out += base * sum + step * dot);
                }
            }
        }
        Ok(())
    }

    fn mix_by_channel(&self, asked: &Asked, weights: &[f32], out: &mut [f32]) -> Result<()> {
        let (d, n_tokens, n) = (self.head_dim(), self.n_tokens(), asked.n);
        let group = usize::from(self.grouping.group);
        let mut sums = vec![0.0; n * d];
        for (run, first) in (0..n_tokens).step_by(group).enumerate() {
            let tokens = first..n_tokens.min(first + group);
            for (i, head) in asked.heads.clone().enumerate() {
                let (base, step) = self.of_channels(run, head)?;
                let codes = self.codes_of(head, 0..d)?.rows(tokens.clone());
                let weights = &weights[i * n * n_tokens..(i + 1) * n * n_tokens];
                sums.fill(0.0);
                simd::add_rows(Target::best(), codes, &weights[first..], n_tokens, &mut sums, d);
                let mixes = out[i * n * d..].chunks_exact_mut(d).zip(sums.chunks_exact(d));
                for (weights, (out, sums)) in weights.chunks_exact(n_tokens).zip(mixes) {
                    let weight: f32 = weights[tokens.clone()].iter().sum();
                    let of_channels = base.iter().zip(step).zip(sums);
                    out.iter_mut()
                        .zip(of_channels)
                        .for_each(|(out, ((base, step), sum))| *out += base * weight + step * sum);
                }
            }
        }
        Ok(())
    }

    fn mix_by_token(&self, asked: &Asked, weights: &[f32], out: &mut [f32]) -> Result<()> {
        let (d, n_tokens, n) = (self.head_dim(), self.n_tokens(), asked.n);
        let (n_groups, mut ranges) = (self.groups().count(), OfTokens::default());
        let of_heads = || asked.heads.clone().zip(weights.chunks_exact(n * n_tokens));
        let add = |head, columns: Range<usize>, tokens: Range<usize>, scaled: &[f32], out: &mut [f32]| -> Result<()> {
            let codes = self.codes_of(head, columns.clone())?.rows(tokens.clone());
            simd::add_rows(Target::best(), codes, &scaled[tokens.start..], n_tokens, &mut out[columns.start..], d);
            Ok(())
        };
        if n > FEW {
            let mut scaled = vec![0.0; n * n_tokens];
            for ((head, weights), out) in of_heads().zip(out.chunks_exact_mut(n * d)) {
                for (number, columns) in self.groups() {
                    self.read_ranges(head, number, &mut ranges);
                    ranges.scale(weights, &mut scaled, out, d, &columns);
                    add(head, columns, 0..n_tokens, &scaled, out)?;
                }
            }
            return Ok(());
        }
        // [heads, groups, n, n_tokens]
        let mut scaled = vec![0.0; n_groups * weights.len()];
        let of_groups = scaled.chunks_exact_mut(n_groups * n * n_tokens);
        for (((head, weights), scaled), out) in of_heads().zip(of_groups).zip(out.chunks_exact_mut(n * d)) {
            for ((number, columns), scaled) in self.groups().zip(scaled.chunks_exact_mut(n * n_tokens)) {
                self.read_ranges(head, number, &mut ranges);
                ranges.scale(weights, scaled, out, d, &columns);
            }
        }
        for block in asked.blocks(0..n_tokens) {
            let of_groups = scaled.chunks_exact(n_groups * n * n_tokens).zip(out.chunks_exact_mut(n * d));
            for (head, (scaled, out)) in asked.heads.clone().zip(of_groups) {
                self.codes_of(head, 0..d)?.rows(asked.after(&block, n_tokens)).fetch();
                for ((_, columns), scaled) in self.groups().zip(scaled.chunks_exact(n * n_tokens)) {
                    add(head, columns, block.clone(), scaled, out)?;
                }
            }
        }
        Ok(())
    }
}

impl OfTokens {
    /// Rows of weights, one for each token, times the steps: `scaled`. What the bases come to is added to these columns of each
    /// row of `out`, `d` wide.
    fn scale(&self, weights: &[f32], scaled: &mut [f32], out: &mut [f32], d: usize, columns: &Range<usize>) {
        let n_tokens = self.step.len();
        let rows = weights.chunks_exact(n_tokens).zip(scaled.chunks_exact_mut(n_tokens));
        for ((weights, scaled), out) in rows.zip(out.chunks_exact_mut(d)) {
            let mut constant = 0.0;
            simd::scale(Target::best(), weights, &self.base, &self.step, scaled, &mut constant);
            out[columns.clone()].iter_mut().for_each(|out| *out += constant);
        }
    }
}

impl Asked {
    /// Of these tokens, those that pass together.
    fn blocks(&self, tokens: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let block = if self.n > FEW { tokens.len().max(1) } else { BLOCK };
        let end = tokens.end;
        tokens.step_by(block).map(move |first| first..end.min(first + block))
    }

    /// The tokens that pass after a block: none where all pass at once.
    fn after(&self, block: &Range<usize>, n_tokens: usize) -> Range<usize> {
        if self.n > FEW { n_tokens..n_tokens } else { block.end..n_tokens.min(block.end + BLOCK) }
    }
}

/// Adds the dot products of `queries` with rows of codes to rows of `out`, which begin `out_stride` apart; `channels` is room.
fn add_scores(
    codes: CodeRows<'_>,
    queries: &[f32],
    out: &mut [f32],
    out_stride: usize,
    channels: &mut Vec<u8>,
) -> Result<()> {
    let (target, width, n_rows) = (Target::best(), codes.width(), codes.n_rows());
    if queries.len() <= FEW * width {
        simd::add_dots(target, codes, queries, out, out_stride);
        return Ok(());
    }
    channels.resize(width * n_rows, 0);
    simd::transpose(target, codes, channels, n_rows);
    let channels = CodeRows::new(channels, n_rows, width, n_rows).ok_or_else(too_few)?;
    simd::add_rows(target, channels, queries, width, out, out_stride);
    Ok(())
}

fn too_few() -> FormatError {
    corrupt("quantized page", "has too few codes or ranges")
}
