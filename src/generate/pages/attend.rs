//! Attention over the pages of a source, and its merge with what came before.
//!
//! Pages pass once, keys and values of one after the other. Each query keeps the largest score so far, the sum of its weights
//! beside it, and the mix, and takes them down when a larger score comes (Milakov & Gimelshein, *Online normalizer calculation
//! for softmax*, 2018, <https://arxiv.org/abs/1805.02867>). A few queries, as a decode step has, are compared with the codes
//! as they lie; for many, as in prefill, the head of a page is widened once, and forgotten.
//!
//! Two attentions with the sums `a` and `b` of `exp` are one of `(a x + b y) / (a + b)`. What temperature, scale and bias make
//! of a source is a change of its sum alone, but for the temperature in its scores: see [`sources`](super::super::sources).

use super::choice::Readers;
use super::{PagesRead, SeenPages};
use crate::generate::heads::HeadShape;
use crate::generate::simd::{Target, exponentials};
use crate::generate::{product, tensor, vector};
use candle_core::{Error, Result};
use lagdb_format::{Part, QuantizedPage};

/// Queries up to which codes are compared as they lie.
const FEW: usize = 8;

/// Attention of some tokens.
#[derive(Debug)]
pub(in crate::generate) struct Mix {
    /// Of each head, `[n_new, n_heads, head_dim]`.
    pub(in crate::generate) numbers: Vec<f32>,
    /// `ln Σ exp` of the scores that it comes from, `[n_heads, n_new]`.
    pub(in crate::generate) sums: Vec<f32>,
}

/// What one layer's queries ask with.
#[derive(Clone, Copy, Debug)]
pub(in crate::generate) struct Asking<'a> {
    /// Before RoPE, `[n_new, n_heads, head_dim]`.
    pub(in crate::generate) query: &'a [f32],
    pub(in crate::generate) shape: HeadShape,
    pub(in crate::generate) n_kv_heads: usize,
    pub(in crate::generate) layer: usize,
    pub(in crate::generate) windowed: bool,
    pub(in crate::generate) rope: bool,
}

/// Merges attention over the pages that these tokens see into `mix`; how many pages were read.
///
/// # Errors
/// What reading a page says, though every page was read when it was attached.
pub(in crate::generate) fn attend(asking: Asking<'_>, seen: &SeenPages, mix: &mut Mix) -> Result<PagesRead> {
    let (source, tokens) = (&*seen.source, &seen.tokens[usize::from(asking.windowed)]);
    let emphasis = source.policy.emphasis;
    if tokens.is_empty() || source.pages.is_empty() || emphasis.bias == f32::NEG_INFINITY {
        return Ok(PagesRead::default());
    }
    let HeadShape { n_tokens: n_new, n_heads, head_dim } = asking.shape;
    let query = asking.shape.to_head_major(asking.query, asking.rope.then_some(&seen.distances));
    let scale = 1.0 / (head_dim as f32).sqrt() / emphasis.temperature;
    let readers = Readers::new(source, asking, tokens, &query, &mix.sums, scale);
    let group = n_heads / asking.n_kv_heads;
    let mut partial = Partial::new(&query, head_dim, scale);
    let mut read = 0;
    for (number, place) in source.pages.iter().enumerate() {
        let of_heads = || (0..asking.n_kv_heads).map(|kv_head| (kv_head, readers.of(number, kv_head)));
        if of_heads().all(|(_, tokens)| tokens.is_empty()) {
            continue;
        }
        let keys = source.page(*place, asking.layer, Part::Keys).map_err(Error::wrap)?;
        let values = source.page(*place, asking.layer, Part::Values).map_err(Error::wrap)?;
        for (kv_head, tokens) in of_heads() {
            let heads = kv_head * group..(kv_head + 1) * group;
            let queries: Vec<usize> = heads.flat_map(|head| tokens.iter().map(move |i| head * n_new + i)).collect();
            match queries.len() {
                0..=FEW => partial.few(&queries, kv_head as u32, &keys, &values)?,
                _ => partial.many(&queries, kv_head as u32, &keys, &values)?,
            }
            read += tokens.len() as u64;
        }
    }
    let loudness = emphasis.scale * emphasis.temperature;
    for (i, sum) in mix.sums.iter_mut().enumerate() {
        let Some((of_pages, mixed)) = partial.of(i) else { continue };
        let of_pages = loudness * of_pages + emphasis.bias;
        let all = add_logarithms(*sum, of_pages);
        let (share, left) = ((of_pages - all).exp(), (*sum - all).exp());
        let out = &mut mix.numbers[(i % n_new * n_heads + i / n_new) * head_dim..][..head_dim];
        out.iter_mut().zip(mixed).for_each(|(out, mixed)| *out = *out * left + mixed * share);
        *sum = all;
    }
    let of = (source.pages.len() * asking.n_kv_heads * tokens.len()) as u64;
    Ok(PagesRead { read, of })
}

/// `ln(exp(a) + exp(b))`, of which at most one is minus infinity.
fn add_logarithms(a: f32, b: f32) -> f32 {
    a.max(b) + (a.min(b) - a.max(b)).exp().ln_1p()
}

/// What the pages so far make of each query, `[n_heads, n_new]`.
struct Partial<'a> {
    query: &'a [f32],
    head_dim: usize,
    scale: f32,
    /// The largest score before `scale`; minus infinity before the first.
    largest: Vec<f32>,
    /// Sums of weights beside it.
    sums: Vec<f32>,
    /// Sums of values, each times its weight.
    mixed: Vec<f32>,
    scores: Vec<f32>,
}

impl<'a> Partial<'a> {
    fn new(query: &'a [f32], head_dim: usize, scale: f32) -> Self {
        let n = query.len() / head_dim;
        Self {
            query,
            head_dim,
            scale,
            largest: vec![f32::NEG_INFINITY; n],
            sums: vec![0.0; n],
            mixed: vec![0.0; query.len()],
            scores: Vec::new(),
        }
    }

    /// `ln Σ exp` and the mix of a query that read any page.
    fn of(&self, i: usize) -> Option<(f32, impl Iterator<Item = f32>)> {
        let sum = self.sums[i];
        let mixed = self.mixed[i * self.head_dim..(i + 1) * self.head_dim].iter().map(move |x| x / sum);
        (self.largest[i] > f32::NEG_INFINITY).then(|| (self.largest[i] * self.scale + sum.ln(), mixed))
    }

    /// One query after the other.
    fn few(
        &mut self,
        queries: &[usize],
        head: u32,
        keys: &QuantizedPage<'_>,
        values: &QuantizedPage<'_>,
    ) -> Result<()> {
        let mut scores = std::mem::take(&mut self.scores);
        scores.resize(keys.n_tokens(), 0.0);
        for &i in queries {
            let place = i * self.head_dim..(i + 1) * self.head_dim;
            keys.scores(head, &self.query[place.clone()], &mut scores).map_err(Error::wrap)?;
            self.weigh(i, &mut scores);
            values.mix(head, &scores, &mut self.mixed[place]).map_err(Error::wrap)?;
        }
        self.scores = scores;
        Ok(())
    }

    /// All queries as one matrix.
    fn many(
        &mut self,
        queries: &[usize],
        head: u32,
        keys: &QuantizedPage<'_>,
        values: &QuantizedPage<'_>,
    ) -> Result<()> {
        let (d, n_tokens) = (self.head_dim, keys.n_tokens());
        let rows = |page: &QuantizedPage<'_>| -> Result<_> {
            let mut rows = vec![0.0; n_tokens * d];
            page.read_head(head, &mut rows).map_err(Error::wrap)?;
            tensor::own(rows, (n_tokens, d))
        };
        let asked: Vec<f32> = queries.iter().flat_map(|i| &self.query[i * d..(i + 1) * d]).copied().collect();
        let scores = product::with_rows(&tensor::own(asked, (queries.len(), d))?, &rows(keys)?)?;
        let weights = tensor::read(&scores, |scores| {
            let mut weights = scores.to_vec();
            queries.iter().zip(weights.chunks_exact_mut(n_tokens)).for_each(|(&i, weights)| self.weigh(i, weights));
            weights
        })?;
        let mixed = product::with_columns(&tensor::own(weights, (queries.len(), n_tokens))?, &rows(values)?)?;
        tensor::read(&mixed, |mixed| {
            for (i, mixed) in queries.iter().zip(mixed.chunks_exact(d)) {
                self.mixed[i * d..(i + 1) * d].iter_mut().zip(mixed).for_each(|(sum, x)| *sum += x);
            }
        })
    }

    /// Turns the scores of query `i` with another page into weights beside the largest score of all.
    fn weigh(&mut self, i: usize, scores: &mut [f32]) {
        let largest = self.largest[i].max(vector::max(scores));
        let mut sum = 0.0;
        exponentials(Target::best(), scores, largest, self.scale, &mut sum);
        let kept = if self.largest[i] == f32::NEG_INFINITY {
            0.0
        } else {
            vector::exp((self.largest[i] - largest) * self.scale)
        };
        if kept != 1.0 {
            self.mixed[i * self.head_dim..(i + 1) * self.head_dim].iter_mut().for_each(|x| *x *= kept);
        }
        (self.largest[i], self.sums[i]) = (largest, self.sums[i] * kept + sum);
    }
}
