//! Attention over the pages of a source, and its merge with what came before.
//!
//! Pages pass once, keys and values of one after the other. Each query keeps the largest score so far, the sum of its weights
//! beside it, and the mix, and takes them down when a larger score comes (Milakov & Gimelshein, *Online normalizer calculation
//! for softmax*, 2018, <https://arxiv.org/abs/1805.02867>). The few queries of a decode step ask all heads of a page at once,
//! which is read front to back then; of many queries, as in prefill, those of one KV head after the other. Where there are
//! several threads, each has some of the heads; every number is the same with one.
//!
//! Two attentions with the sums `a` and `b` of `exp` are one of `(a x + b y) / (a + b)`. What temperature, scale and bias make
//! of a source is a change of its sum alone, but for the temperature in its scores: see [`sources`](super::super::sources).

use super::choice::{Party, Readers};
use super::source::{PagePlace, PageSource};
use super::{PagesRead, SeenPages};
use crate::generate::heads::HeadShape;
use crate::generate::simd::{Target, exponentials};
use crate::generate::{parallel, vector};
use candle_core::{Error, Result};
use lagdb_format::{Part, QuantizedPage};
use std::borrow::Cow;

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

impl Asking<'_> {
    /// Query heads of a KV head.
    pub(super) fn group(self) -> usize {
        self.shape.n_heads / self.n_kv_heads
    }
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
    let n_products = 2 * query.len() * source.n_tokens();
    let n_parts = parallel::cuts(1, n_products, asking.n_kv_heads);
    let first_of = |part: usize| part * asking.n_kv_heads / n_parts;
    let parts = parallel::each(n_parts, n_products, |_: &mut (), part| {
        let kv_heads = first_of(part)..first_of(part + 1);
        let readers = Readers::new(source, asking, tokens, kv_heads.clone(), &query, &mix.sums, scale);
        let of_head = asking.group() * n_new * head_dim;
        let mut partial = Partial::new(&query[kv_heads.start * of_head..kv_heads.end * of_head], head_dim, scale);
        partial.read(source, asking.layer, &readers).map(|()| partial)
    });
    let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
    let loudness = emphasis.scale * emphasis.temperature;
    let queries = parts.iter().flat_map(|part| (0..part.sums.len()).map(|i| part.of(i)));
    for (i, (sum, of_query)) in mix.sums.iter_mut().zip(queries).enumerate() {
        let Some((of_pages, mixed)) = of_query else { continue };
        let of_pages = loudness * of_pages + emphasis.bias;
        let all = add_logarithms(*sum, of_pages);
        let (share, left) = ((of_pages - all).exp(), (*sum - all).exp());
        let out = &mut mix.numbers[(i % n_new * n_heads + i / n_new) * head_dim..][..head_dim];
        out.iter_mut().zip(mixed).for_each(|(out, mixed)| *out = *out * left + mixed * share);
        *sum = all;
    }
    let n_asked: usize = parts.iter().map(|part| part.n_asked).sum();
    let of = (source.pages.len() * asking.n_kv_heads * tokens.len()) as u64;
    Ok(PagesRead { read: (n_asked / asking.group()) as u64, of })
}

/// `ln(exp(a) + exp(b))`, of which at most one is minus infinity.
fn add_logarithms(a: f32, b: f32) -> f32 {
    a.max(b) + (a.min(b) - a.max(b)).exp().ln_1p()
}

/// What the pages so far make of each query of some heads, `[n_heads, n_new]`.
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
    /// How often a query was compared with a page.
    n_asked: usize,
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
            n_asked: 0,
        }
    }

    /// `ln Σ exp` and the mix of a query that read any page.
    fn of(&self, i: usize) -> Option<(f32, impl Iterator<Item = f32>)> {
        let sum = self.sums[i];
        let mixed = self.mixed[i * self.head_dim..(i + 1) * self.head_dim].iter().map(move |x| x / sum);
        (self.largest[i] > f32::NEG_INFINITY).then(|| (self.largest[i] * self.scale + sum.ln(), mixed))
    }

    /// Reads every page of a layer that has readers, and asks for the next one meanwhile.
    fn read(&mut self, source: &PageSource, layer: usize, readers: &Readers) -> Result<()> {
        let mut pages = source.pages.iter().enumerate().filter(|(number, _)| !readers.of(*number).is_empty());
        let open = |(number, place): (usize, &PagePlace)| -> Result<_> {
            let part = |part| source.page(*place, layer, part).map_err(Error::wrap);
            Ok((readers.of(number), part(Part::Keys)?, part(Part::Values)?))
        };
        let mut next = pages.next().map(open).transpose()?;
        while let Some((parties, keys, values)) = next {
            next = pages.next().map(open).transpose()?;
            let first_of_next = next.as_ref().and_then(|(parties, keys, _)| Some((keys, parties.first()?)));
            for (i, party) in parties.iter().enumerate() {
                let after = parties.get(i + 1).map(|party| (&keys, party)).or(first_of_next);
                self.ask(party, [&keys, &values], after)?;
                self.n_asked += party.queries.len();
            }
        }
        Ok(())
    }

    /// Adds what a page, its keys and values, is to those that read it; then comes what is `after` it.
    fn ask(
        &mut self,
        party: &Party,
        [keys, values]: [&QuantizedPage<'_>; 2],
        after: Option<(&QuantizedPage<'_>, &Party)>,
    ) -> Result<()> {
        let (d, n_tokens, heads) = (self.head_dim, keys.n_tokens(), party.heads.clone());
        let mut scores = std::mem::take(&mut self.scores);
        scores.resize(party.queries.len() * n_tokens, 0.0);
        let run = party.run().map(|run| run.start * d..run.end * d);
        let of = |i: &usize| i * d..(i + 1) * d;
        let asked = match &run {
            Some(run) => Cow::Borrowed(&self.query[run.clone()]),
            None => party.queries.iter().flat_map(|i| &self.query[of(i)]).copied().collect(),
        };
        values.fetch(heads.clone());
        keys.scores(heads.clone(), &asked, &mut scores).map_err(Error::wrap)?;
        after.inspect(|(keys, party)| keys.fetch(party.heads.clone()));
        for (&i, scores) in party.queries.iter().zip(scores.chunks_exact_mut(n_tokens)) {
            self.weigh(i, scores);
        }
        if let Some(run) = run {
            values.mix(heads, &scores, &mut self.mixed[run]).map_err(Error::wrap)?;
        } else {
            let mut mixed = vec![0.0; asked.len()];
            values.mix(heads, &scores, &mut mixed).map_err(Error::wrap)?;
            for (i, mixed) in party.queries.iter().zip(mixed.chunks_exact(d)) {
                self.mixed[of(i)].iter_mut().zip(mixed).for_each(|(sum, x)| *sum += x);
            }
        }
        self.scores = scores;
        Ok(())
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
