//! The one attention: queries against every row of the KV cache, whether the row was attached or computed here, and against
//! the pages of logs that were attached as they are.
//!
//! Keys are kept twice: before RoPE as the projection gave them (after `k_norm`), for capture, and turned in the
//! cache, for attention. Under grouped-query attention the query heads of one KV head are stacked into one matrix,
//! so no key or value is repeated: scores are `[n_kv_heads, group * n_tokens, n_rows]`.
//!
//! Ainslie et al., *GQA*, 2023, <https://arxiv.org/abs/2305.13245>.

use super::byte_attention;
use super::decoder::Step;
use super::half_attention::{self, Seeing};
use super::heads::{HeadShape, Numbers};
use super::kv_cache::{KvCache, LayerRows, Part, Place};
use super::linear::Linear;
use super::pages::{self, Asking, Mix};
use super::product;
use super::rms_norm::RmsNorm;
use super::sources::HeadPlace;
use super::tensor;
use candle_core::{Result, Tensor};

/// Projections and shape of one layer's attention.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) output: Linear,
    pub(super) norms: Option<QkNorm>,
    pub(super) n_heads: usize,
    pub(super) n_kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) rope: bool,
    pub(super) windowed: bool,
}

/// RMSNorm of each query and key head.
#[derive(Clone, Debug)]
pub(super) struct QkNorm {
    pub(super) query: RmsNorm,
    pub(super) key: RmsNorm,
}

/// What attention returns.
pub(super) struct Attended {
    /// `[n_tokens, hidden_size]`.
    pub(super) hidden: Tensor,
    /// The new keys before RoPE, `[n_tokens, n_kv_heads * head_dim]`.
    pub(super) raw_keys: Tensor,
}

impl Attention {
    /// Attends from `x`, `[n_tokens, hidden_size]`, and writes its keys and values to `layer` of the cache.
    pub(super) fn forward(&self, x: &Tensor, layer: usize, step: &Step, cache: &mut KvCache) -> Result<Attended> {
        let [query, raw_keys, value] = self.project(x)?;
        let angles = self.rope.then_some(&step.angles);
        let asked = self.shape(x, self.n_heads)?;
        if step.writes {
            tensor::read(&raw_keys, |keys| self.write(layer, keys, |x| Part::Keys(x, angles), step, cache))??;
            tensor::read(&value, |values| self.write(layer, values, Part::Values, step, cache))??;
        }
        if let Some(queries) = &step.queries {
            tensor::read(&query, |query| queries.borrow_mut()[layer].extend_from_slice(query))?;
        }
        let turned = tensor::read(&query, |q| asked.to_head_major(q, angles))?;
        let seeing = Seeing { layer, seen: step.seen(self.windowed), watch: step.watch.as_ref() };
        let mut mix = match cache.rows(layer, step.n_rows)? {
            LayerRows::Float(keys, values) => self.mix(turned, asked, (&keys, &values), seeing)?,
            LayerRows::Half(rows) => half_attention::attend(&turned, asked, rows, seeing),
            LayerRows::Bytes(rows) => byte_attention::attend(&turned, asked, rows, seeing),
        };
        for seen in &step.pages {
            let read = tensor::read(&query, |query| {
                let (shape, n_kv_heads) = (asked, self.n_kv_heads);
                let asking = Asking { query, shape, n_kv_heads, layer, windowed: self.windowed, rope: self.rope };
                pages::attend(asking, seen, &mut mix)
            })?;
            cache.count_pages(read?);
        }
        let mixed = tensor::own(mix.numbers, (asked.n_tokens, self.n_heads * self.head_dim))?;
        Ok(Attended { hidden: self.output.forward(&mixed)?, raw_keys })
    }

    /// Writes the keys or the values of the step's tokens to their rows, neighbours at once.
    fn write<'a>(
        &self,
        layer: usize,
        numbers: &'a [f32],
        part: impl Fn(Numbers<'a>) -> Part<'a>,
        step: &Step,
        cache: &mut KvCache,
    ) -> Result<()> {
        let width = self.n_kv_heads * self.head_dim;
        let mut first = 0;
        for rows in step.rows.chunk_by(|a, b| a + 1 == *b) {
            let shape = HeadShape { n_tokens: rows.len(), n_heads: self.n_kv_heads, head_dim: self.head_dim };
            let of_rows = Numbers::Single(&numbers[first * width..(first + rows.len()) * width]);
            cache.write(layer, Place { row: rows[0], token: first }, shape, part(of_rows))?;
            first += rows.len();
        }
        Ok(())
    }

    /// Queries, keys (both after their norm) and values, token-major.
    fn project(&self, x: &Tensor) -> Result<[Tensor; 3]> {
        let [query, key, value] = Linear::forward_each([&self.query, &self.key, &self.value], x)?;
        match &self.norms {
            None => Ok([query, key, value]),
            Some(norms) => Ok([norms.query.forward(&query)?, norms.key.forward(&key)?, value]),
        }
    }

    /// Softmax(query · keysᵀ) · values.
    fn mix(&self, query: Vec<f32>, asked: HeadShape, rows: (&Tensor, &Tensor), seeing: Seeing<'_>) -> Result<Mix> {
        let (keys, values) = rows;
        let (n_rows, stacked) = (keys.dim(1)?, self.n_heads / self.n_kv_heads * asked.n_tokens);
        let query = tensor::own(query, (self.n_kv_heads, stacked, self.head_dim))?;
        let scores = product::with_rows(&query, keys)?;
        let scale = 1.0 / (self.head_dim as f32).sqrt();
        let mut sums = Vec::with_capacity(self.n_heads * asked.n_tokens);
        let weights = tensor::read(&scores, |scores| {
            let mut weights = scores.to_vec();
            for (i, weights) in weights.chunks_exact_mut(n_rows).enumerate() {
                let head = HeadPlace { layer: seeing.layer, kv_head: i / stacked };
                sums.push(seeing.seen.weigh(weights, 0, i % asked.n_tokens, head, scale));
                seeing.watch.inspect(|watch| watch.add(weights, 0, head));
            }
            weights
        })?;
        let mixed = product::with_columns(&tensor::own(weights, scores.shape())?, values)?;
        Ok(Mix { numbers: tensor::read(&mixed, |mixed| asked.to_token_major(mixed))?, sums })
    }

    fn shape(&self, x: &Tensor, n_heads: usize) -> Result<HeadShape> {
        Ok(HeadShape { n_tokens: x.dim(0)?, n_heads, head_dim: self.head_dim })
    }
}
