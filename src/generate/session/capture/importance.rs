//! How important rows are, to each KV head of each layer.
//!
//! What needs attention weights or queries computes the last tokens of the span once more, in their rows and without writing
//! them: nothing has to be kept while a session runs, and sessions that capture nothing pay nothing.

use super::super::Session;
use super::policy::Importance;
use crate::error::Result;
use crate::generate::random::uniform;
use crate::generate::visibility::WeightSums;
use std::cell::RefCell;

/// Positions to come over which expected attention takes the mean of RoPE.
const POSITIONS_TO_COME: u32 = 512;

/// `[n_layers, n_kv_heads, n_rows]`, higher is better.
pub(super) struct Scores {
    pub(super) n_rows: usize,
    pub(super) scores: Vec<f32>,
}

impl Scores {
    /// Those of each head of each layer.
    pub(super) fn of_heads(&self) -> impl Iterator<Item = &[f32]> {
        self.scores.chunks_exact(self.n_rows.max(1))
    }

    /// The mean of neighbouring lists, `n` at a time, for each of them.
    pub(super) fn shared_by(mut self, n: usize) -> Self {
        let n_rows = self.n_rows;
        for lists in self.scores.chunks_mut(n * n_rows.max(1)) {
            // Scores of different heads count alike, whatever their size.
            lists.chunks_exact_mut(n_rows).for_each(into_ranks);
            let mean: Vec<f32> = (0..n_rows).map(|row| lists[row..].iter().step_by(n_rows).sum()).collect();
            lists.chunks_exact_mut(n_rows).for_each(|list| list.copy_from_slice(&mean));
        }
        self
    }
}

/// Each score in the place of how many are not above it.
fn into_ranks(scores: &mut [f32]) {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    order.iter().enumerate().for_each(|(rank, &row)| scores[row] = rank as f32);
}

impl Session {
    /// How important `rows` are, which go up.
    pub(super) fn importance(&mut self, importance: Importance, rows: &[usize]) -> Result<Scores> {
        let config = self.generator.config();
        let (n_lists, n_rows) = (config.layers.len() * config.n_kv_heads, rows.len());
        let last = |window: usize| n_rows - window.clamp(1, n_rows);
        let scores = match importance {
            Importance::Recent => (0..n_rows).map(|row| row as f32).collect::<Vec<_>>().repeat(n_lists),
            Importance::Random { mut seed } => {
                (0..n_rows).map(|_| uniform(&mut seed)).collect::<Vec<_>>().repeat(n_lists)
            }
            Importance::KeyNorm => self.each_key(rows, |_, _, key| -key.iter().map(|x| x * x).sum::<f32>().sqrt())?,
            Importance::SnapKv { window, pool } => {
                let mut scores = self.attention_of(&rows[last(window)..], rows)?;
                for list in scores.chunks_exact_mut(n_rows) {
                    pool_neighbours(list, pool);
                    list[last(window)..].fill(f32::INFINITY);
                }
                scores
            }
            Importance::HeavyHitters => self.attention_of(rows, rows)?,
            Importance::Expected { window } => self.expected(&rows[last(window)..], rows)?,
        };
        Ok(Scores { n_rows, scores })
    }

    /// The attention that the tokens `asking` pay to each of `rows`, summed over them and over the query heads of a KV head.
    fn attention_of(&mut self, asking: &[usize], rows: &[usize]) -> Result<Vec<f32>> {
        let (n_rows, config) = (self.cache.n_rows(), self.generator.config());
        let watch = WeightSums::new(config.layers.len(), config.n_kv_heads, n_rows);
        let (sums, _) = self.look_again(asking, Some(watch), None)?;
        Ok(sums.chunks_exact(n_rows).flat_map(|sums| rows.iter().map(|&row| sums[row])).collect())
    }

    /// Computes committed rows once more and leaves them as they are: the sums of their attention weights, and for each layer
    /// their queries before RoPE, `[n_tokens, n_heads * head_dim]`, as far as they are asked for.
    fn look_again(
        &mut self,
        rows: &[usize],
        mut watch: Option<WeightSums>,
        mut queries: Option<Vec<Vec<f32>>>,
    ) -> Result<(Vec<f32>, Vec<Vec<f32>>)> {
        let (generator, chunk) = (self.generator.clone(), self.chunk_size());
        let n_layers = generator.config().layers.len();
        for rows in rows.chunks(chunk) {
            let ids: Vec<u32> = rows.iter().map(|&row| self.ids[row]).collect();
            let hidden = generator.decoder().embedded(&ids)?;
            let mut step = generator.decoder().step(self.cache.positions(), rows.to_vec(), &self.cache);
            step.writes = false;
            (step.watch, step.queries) = (watch.take(), queries.take().map(RefCell::new));
            generator.decoder().advance(hidden, &step, 0..n_layers, &mut self.cache, |_| ())?;
            (watch, queries) = (step.watch, step.queries.map(RefCell::into_inner));
        }
        Ok((watch.map(WeightSums::into_sums).unwrap_or_default(), queries.unwrap_or_default()))
    }

    /// `ln` of the attention each key can expect, plus `ln` of its value's norm: `μ·k / √d + k·Σk / 2d`, where queries to come
    /// are spread around `μ` with (diagonal) covariance `Σ`, turned by the mean of RoPE over positions to come.
    fn expected(&mut self, asking: &[usize], rows: &[usize]) -> Result<Vec<f32>> {
        let n_layers = self.generator.config().layers.len();
        let (_, queries) = self.look_again(asking, None, Some(vec![Vec::new(); n_layers]))?;
        let (generator, next) = (self.generator.clone(), self.next_position());
        let (config, rope) = (generator.config(), generator.decoder().rope());
        let (d, group) = (config.head_dim, config.n_heads / config.n_kv_heads);
        let to_come = rope.mean_turn(next..next.saturating_add(POSITIONS_TO_COME));
        let angles = rope.angles(&rows.iter().map(|&row| self.cache.positions()[row]).collect::<Vec<_>>());
        let spreads: Vec<Vec<Spread>> = (queries.iter().zip(&config.layers))
            .map(|(queries, layer)| Spread::of_heads(queries, config.n_heads, d, layer.rope.then_some(&to_come)))
            .collect();
        let values = (0..n_layers).map(|layer| self.values_of(layer, rows)).collect::<Result<Vec<_>>>()?;
        let mut turned = vec![0.0; d];
        self.each_key(rows, |layer, place, key| {
            let (row, kv_head) = (place / config.n_kv_heads, place % config.n_kv_heads);
            let key = if config.layers[layer].rope {
                angles.turn(row, key, &mut turned);
                turned.as_slice()
            } else {
                key
            };
            let heads = &spreads[layer][kv_head * group..(kv_head + 1) * group];
            let most = heads.iter().map(|spread| spread.expected(key)).fold(f32::NEG_INFINITY, f32::max);
            let norm = values[layer][place * d..(place + 1) * d].iter().map(|x| x * x).sum::<f32>().sqrt();
            most + norm.max(f32::MIN_POSITIVE).ln()
        })
    }

    /// `score(layer, number of the row * n_kv_heads + head, key before RoPE)` of every key, head after head.
    fn each_key(&self, rows: &[usize], mut score: impl FnMut(usize, usize, &[f32]) -> f32) -> Result<Vec<f32>> {
        let config = self.generator.config();
        let (n_heads, d) = (config.n_kv_heads, config.head_dim);
        let mut scores = Vec::with_capacity(config.layers.len() * n_heads * rows.len());
        for layer in 0..config.layers.len() {
            let keys = self.keys_of(layer, rows)?;
            for head in 0..n_heads {
                let of_head = keys.chunks_exact(d).enumerate().skip(head).step_by(n_heads);
                scores.extend(of_head.map(|(place, key)| score(layer, place, key)));
            }
        }
        Ok(scores)
    }
}

/// How the queries of one head are spread.
struct Spread {
    mean: Vec<f32>,
    variance: Vec<f32>,
}

impl Spread {
    /// Of each head of `queries`, `[n_tokens, n_heads, d]`; `turn` is the mean of RoPE.
    fn of_heads(queries: &[f32], n_heads: usize, d: usize, turn: Option<&Vec<(f32, f32)>>) -> Vec<Self> {
        let of_head = |head| Self::of(queries.chunks_exact(d).skip(head).step_by(n_heads), d, turn);
        (0..n_heads).map(of_head).collect()
    }

    fn of<'a>(queries: impl Iterator<Item = &'a [f32]> + Clone, d: usize, turn: Option<&Vec<(f32, f32)>>) -> Self {
        let n = queries.clone().count().max(1) as f32;
        let (mut mean, mut variance) = (vec![0.0; d], vec![0.0; d]);
        queries.clone().for_each(|query| mean.iter_mut().zip(query).for_each(|(mean, x)| *mean += x / n));
        for query in queries {
            variance.iter_mut().zip(query).zip(&mean).for_each(|((sum, x), mean)| *sum += (x - mean).powi(2) / n);
        }
        for (i, (cos, sin)) in turn.into_iter().flatten().enumerate() {
            let (low, high) = (mean[i], mean[i + d / 2]);
            (mean[i], mean[i + d / 2]) = (low * cos - high * sin, high * cos + low * sin);
        }
        Self { mean, variance }
    }

    fn expected(&self, key: &[f32]) -> f32 {
        let d = key.len() as f32;
        let mean: f32 = self.mean.iter().zip(key).map(|(mean, x)| mean * x).sum();
        let spread: f32 = self.variance.iter().zip(key).map(|(variance, x)| variance * x * x).sum();
        mean / d.sqrt() + spread / (2.0 * d)
    }
}

/// Each score in the place of the largest up to `pool` rows away.
fn pool_neighbours(scores: &mut [f32], pool: usize) {
    let all = scores.to_vec();
    for (row, score) in scores.iter_mut().enumerate() {
        let around = &all[row.saturating_sub(pool)..all.len().min(row.saturating_add(pool).saturating_add(1))];
        *score = around.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    }
}
