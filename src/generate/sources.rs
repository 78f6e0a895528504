//! Attention sources: which rows of the KV cache were attached, how each is weighed, and which of its rows a head has.
//!
//! All of it is data that one step of attention applies, between scores and softmax. For the rows of one source
//! `s' = s / T + (S T - 1) LSE(s / T) + bias`, in which `LSE` is the logarithm of the sum of `exp` over the source's rows that
//! the query sees: the softmax of `s'` over all rows is what APE gets by merging two attentions, one over the source with
//! temperature `T` and scale `S`, one over everything else. A bias of minus infinity is a source that is not there.
//!
//! Yang et al., *APE: Faster and Longer Context-Augmented Generation via Adaptive Parallel Encoding*, 2025,
//! <https://arxiv.org/abs/2502.05431>.

use super::vector;
use lagdb_format::HeadTokens;
use std::ops::Range;

/// How loud a source is beside the text; the default changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Emphasis {
    /// `T`: scores are divided by it. Below 1 attention to the source is sharper; APE has 0.2 to 0.9.
    pub temperature: f32,
    /// `S`: what the source weighs as a whole, to the power of it; APE has 0.6 to 0.9.
    pub scale: f32,
    /// Added to every score, after the scale of attention; minus infinity silences the source.
    pub bias: f32,
}

impl Default for Emphasis {
    fn default() -> Self {
        Self { temperature: 1.0, scale: 1.0, bias: 0.0 }
    }
}

impl Emphasis {
    /// What is wrong with it, if anything is.
    pub(super) fn problem(&self) -> Option<String> {
        let is_positive = |x: f32| x.is_finite() && x > 0.0;
        if is_positive(self.temperature) && is_positive(self.scale) && self.bias < f32::INFINITY {
            return None;
        }
        Some(format!("temperature and scale are above 0, a bias is below infinity: {self:?}"))
    }
}

/// Every source of a cache that is not like the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources(Vec<Source>);

/// One source, or several that were attached together.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) rows: Range<usize>,
    pub(super) emphasis: Emphasis,
    /// Which rows each KV head of each layer has, where they differ: tokens are counted from `rows.start`.
    pub(super) heads: Option<HeadTokens>,
}

/// The KV head whose scores are weighed.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadPlace {
    pub(super) layer: usize,
    pub(super) kv_head: usize,
}

impl Sources {
    /// Adds one that is not like the text.
    pub(super) fn push(&mut self, source: Source) {
        if source.emphasis != Emphasis::default() || source.heads.is_some() {
            self.0.push(source);
        }
    }

    /// Forgets those that reach beyond `n_rows`.
    pub(super) fn truncate(&mut self, n_rows: usize) {
        self.0.retain(|source| source.rows.end <= n_rows);
    }

    /// Changes one query's scores of the rows from `first` on, before they are multiplied with `scale` and go through softmax.
    pub(super) fn adjust(&self, scores: &mut [f32], first: usize, head: HeadPlace, scale: f32) {
        for source in &self.0 {
            let of = |row: usize| row.clamp(first, first + scores.len()) - first;
            let rows = of(source.rows.start)..of(source.rows.end);
            let skipped = first + rows.start - source.rows.start.min(first + rows.start);
            let Some(scores) = scores.get_mut(rows).filter(|scores| !scores.is_empty()) else { continue };
            if let Some(heads) = &source.heads {
                silence(scores, skipped, heads, head);
            }
            source.emphasis.apply(scores, scale);
        }
    }
}

/// Minus infinity where the head does not have the row; the first of them is token `first`.
fn silence(scores: &mut [f32], first: usize, heads: &HeadTokens, head: HeadPlace) {
    for (token, score) in (first as u32..).zip(scores) {
        if !heads.keeps(head.layer as u32, head.kv_head as u32, token) {
            *score = f32::NEG_INFINITY;
        }
    }
}

impl Emphasis {
    fn apply(&self, scores: &mut [f32], scale: f32) {
        if *self == Self::default() {
            return;
        }
        let Self { temperature, scale: loudness, bias } = *self;
        scores.iter_mut().for_each(|score| *score /= temperature);
        let gain = loudness * temperature - 1.0;
        let sum = if gain == 0.0 { 0.0 } else { gain * log_sum_exp(scores, scale) };
        // What is added is so before the scale of attention. Of no row at all the sum is minus infinity, and nothing is left.
        let added = if sum.is_finite() { (sum + bias) / scale } else { f32::NEG_INFINITY };
        scores.iter_mut().for_each(|score| *score += added);
    }
}

/// `ln Σ exp(scale * score)`; minus infinity where there is none.
fn log_sum_exp(scores: &[f32], scale: f32) -> f32 {
    let max = vector::max(scores);
    if max == f32::NEG_INFINITY {
        return max;
    }
    let exp = |score: &f32| if *score == f32::NEG_INFINITY { 0.0 } else { vector::exp((score - max) * scale) };
    max * scale + scores.iter().map(exp).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::{Emphasis, HeadPlace, Source, Sources};

    fn softmax(scores: &[f64]) -> Vec<f64> {
        let sum: f64 = scores.iter().map(|score| score.exp()).sum();
        scores.iter().map(|score| score.exp() / sum).collect()
    }

    /// The definition of APE: attention over the source at `T`, attention over the rest, merged by what each weighs.
    #[test]
    fn adjusted_scores_are_two_attentions_merged() {
        let raw: Vec<f32> = (0..20).map(|i| ((i * 37 % 19) as f32 - 9.0) / 3.0).collect();
        let (scale, temperature, loudness) = (0.25, 0.5, 0.8);
        let mut sources = Sources::default();
        let emphasis = Emphasis { temperature, scale: loudness, bias: 0.0 };
        sources.push(Source { rows: 5..12, emphasis, heads: None });
        let mut scores = raw.clone();
        sources.adjust(&mut scores, 0, HeadPlace { layer: 0, kv_head: 0 }, scale);
        let found = softmax(&scores.iter().map(|score| f64::from(score * scale)).collect::<Vec<_>>());
        let score = |i: usize| f64::from(raw[i] * scale);
        let inside: f64 = (5..12).map(|i| (score(i) / f64::from(temperature)).exp()).sum();
        let weight = (f64::from(loudness * temperature) * inside.ln()).exp();
        let outside: f64 = (0..20).filter(|i| !(5..12).contains(i)).map(|i| score(i).exp()).sum();
        for (i, found) in found.iter().enumerate() {
            let expected = match (5..12).contains(&i) {
                true => (score(i) / f64::from(temperature)).exp() / inside * weight / (weight + outside),
                false => score(i).exp() / (weight + outside),
            };
            assert!((found - expected).abs() < 1e-6, "{i}: {found} {expected}");
        }
    }

    /// A query may see the rows from any one on.
    #[test]
    fn only_the_rows_of_a_source_change() {
        let mut sources = Sources::default();
        let emphasis = Emphasis { bias: f32::NEG_INFINITY, ..Emphasis::default() };
        sources.push(Source { rows: 4..8, emphasis, heads: None });
        for (first, n) in [(0, 12), (6, 6), (0, 5), (8, 4), (0, 3)] {
            let mut scores = vec![1.0; n];
            sources.adjust(&mut scores, first, HeadPlace { layer: 0, kv_head: 0 }, 1.0);
            for (row, score) in (first..).zip(scores) {
                assert_eq!(score == f32::NEG_INFINITY, (4..8).contains(&row), "{row} of {first} and {n} more");
            }
        }
    }
}
