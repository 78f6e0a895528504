//! The weights of a fresh model as plain matrices: random at first, then preset, then tensors.
//!
//! All embeddings share one direction, from which a query and a key without biases can be made purely positional.

use super::model::{Block, Model, Sizes};
use crate::world::Rng;
use candle_core::{Device, Result, Var};

const EMBED_STD: f32 = 0.15;

/// A model's weights before they are tensors; the norms are all 1.
pub(super) struct RawModel {
    pub(super) sizes: Sizes,
    pub(super) embed: Matrix,
    /// The direction that all embeddings share, of length 1.
    pub(super) shared: Vec<f32>,
    pub(super) blocks: Vec<RawBlock>,
}

impl RawModel {
    /// Random weights.
    pub(super) fn random(sizes: Sizes, rng: &mut Rng) -> Self {
        let Sizes { n_words, d, .. } = sizes;
        let shared: Vec<f32> = (0..d).map(|_| rng.normal()).collect();
        let mut embed = Matrix::normal(n_words, d, EMBED_STD, rng);
        embed.each_row(|row| row.iter_mut().zip(&shared).for_each(|(x, c)| *x += EMBED_STD * c));
        let blocks = (0..sizes.n_layers).map(|_| RawBlock::random(sizes, rng)).collect();
        let length = shared.iter().map(|c| c * c).sum::<f32>().sqrt();
        Self { sizes, embed, shared: shared.iter().map(|c| c / length).collect(), blocks }
    }

    /// The model to be trained.
    pub(super) fn into_model(self) -> Result<Model> {
        let d = self.sizes.d;
        let blocks = self.blocks.iter().map(|block| block.to_block(d)).collect::<Result<_>>()?;
        Ok(Model::new(self.sizes, self.embed.to_var()?, blocks, ones(d)?))
    }
}

pub(super) fn remove_direction(row: &mut [f32], direction: &[f32]) {
    let along: f32 = row.iter().zip(direction).map(|(x, c)| x * c).sum();
    row.iter_mut().zip(direction).for_each(|(x, c)| *x -= along * c);
}

fn ones(d: usize) -> Result<Var> {
    Var::ones(d, candle_core::DType::F32, &Device::Cpu)
}

pub(super) struct RawBlock {
    pub(super) q: Matrix,
    pub(super) k: Matrix,
    pub(super) v: Matrix,
    pub(super) o: Matrix,
    pub(super) gate: Matrix,
    pub(super) up: Matrix,
    pub(super) down: Matrix,
}

impl RawBlock {
    fn random(sizes: Sizes, rng: &mut Rng) -> Self {
        let Sizes { d, n_heads, n_kv_heads, head_dim, d_ff, .. } = sizes;
        let (width, kv_width) = (n_heads * head_dim, n_kv_heads * head_dim);
        let mut inner = |out| Matrix::normal(out, d, (d as f32).powf(-0.5), rng);
        let (q, k, v) = (inner(width), inner(kv_width), inner(kv_width));
        let (gate, up) = (inner(d_ff), inner(d_ff));
        let mut outer = |input: usize| Matrix::normal(d, input, 0.2 * (input as f32).powf(-0.5), rng);
        Self { q, k, v, o: outer(width), gate, up, down: outer(d_ff) }
    }

    fn to_block(&self, d: usize) -> Result<Block> {
        Ok(Block {
            input_norm: ones(d)?,
            q: self.q.to_var()?,
            k: self.k.to_var()?,
            v: self.v.to_var()?,
            o: self.o.to_var()?,
            post_norm: ones(d)?,
            gate: self.gate.to_var()?,
            up: self.up.to_var()?,
            down: self.down.to_var()?,
        })
    }
}

/// A small row-major matrix.
#[derive(Clone)]
pub(super) struct Matrix {
    n_columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    pub(super) fn zeros(n_rows: usize, n_columns: usize) -> Self {
        Self { n_columns, values: vec![0.0; n_rows * n_columns] }
    }

    pub(super) fn normal(n_rows: usize, n_columns: usize, std: f32, rng: &mut Rng) -> Self {
        Self { n_columns, values: (0..n_rows * n_columns).map(|_| std * rng.normal()).collect() }
    }

    /// Random rows of length 1, at right angles to each other (Gram and Schmidt).
    pub(super) fn orthonormal_rows(n_rows: usize, n_columns: usize, rng: &mut Rng) -> Self {
        let mut done: Vec<Vec<f32>> = Vec::new();
        for _ in 0..n_rows {
            let mut row: Vec<f32> = (0..n_columns).map(|_| rng.normal()).collect();
            done.iter().for_each(|before| remove_direction(&mut row, before));
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            done.push(row.iter().map(|x| x / length).collect());
        }
        Self { n_columns, values: done.concat() }
    }

    pub(super) fn outer(column: &[f32], row: &[f32]) -> Self {
        Self { n_columns: row.len(), values: column.iter().flat_map(|a| row.iter().map(move |b| a * b)).collect() }
    }

    pub(super) fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.n_columns..][..self.n_columns]
    }

    pub(super) fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.values[i * self.n_columns..][..self.n_columns]
    }

    pub(super) fn each_row(&mut self, mut f: impl FnMut(&mut [f32])) {
        self.values.chunks_exact_mut(self.n_columns).for_each(&mut f);
    }

    pub(super) fn rows_of(&self, first: usize, n: usize) -> Self {
        let values = self.values[first * self.n_columns..][..n * self.n_columns].to_vec();
        Self { n_columns: self.n_columns, values }
    }

    pub(super) fn scaled(&self, by: f32) -> Self {
        Self { n_columns: self.n_columns, values: self.values.iter().map(|x| x * by).collect() }
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a + b).collect();
        Self { n_columns: self.n_columns, values }
    }

    /// Replaces rows `first..` by `other`.
    pub(super) fn set_rows(&mut self, first: usize, other: &Self) {
        self.values[first * self.n_columns..][..other.values.len()].copy_from_slice(&other.values);
    }

    /// Replaces columns `first..` by the transpose of `other`.
    pub(super) fn set_columns(&mut self, first: usize, other: &Self) {
        for (column, row) in other.values.chunks_exact(other.n_columns).enumerate() {
            for (i, x) in row.iter().enumerate() {
                self.values[i * self.n_columns + first + column] = *x;
            }
        }
    }

    fn to_var(&self) -> Result<Var> {
        let shape = (self.values.len() / self.n_columns, self.n_columns);
        Var::from_vec(self.values.clone(), shape, &Device::Cpu)
    }
}
