//! The weights a training run starts from: random, save five attention heads that start as what they shall become.
//!
//! From a wholly random start this task sits on a plateau: the model guesses among the values it sees. So five tools
//! for recall are preset, in plain Llama weights that training goes on to change:
//!
//! | block | head | starts as |
//! |---|---|---|
//! | 0 | 0 and 1 | copy the previous token, and the one before it, into a subspace each (`A0`, `A1`) |
//! | 1 | 0 | (entity, relation) → value: finds the token whose two predecessors match |
//! | 1 | 2 | gather: at an entity, attends to the values of all its facts |
//! | 2 | 0 | read: where the previous token is an entity, attends to that entity's tokens and copies what they gathered |
//!
//! All embeddings share one direction, from which a query and a key without biases can be made purely positional.

use super::model::{Block, Model, Sizes};
use crate::world::Rng;
use candle_core::{Device, Result, Var};

const EMBED_STD: f32 = 0.15;
/// How sharply the positional heads of block 0 look at one token.
const SHARPNESS: f32 = 1.0;
/// How strongly block 0 writes the previous tokens.
const COPY: f32 = 0.25;
/// How strongly the matching heads look for their match.
const MATCH: f32 = 2.0;

/// A fresh model.
pub(crate) fn fresh(sizes: Sizes, rng: &mut Rng) -> Result<Model> {
    let Sizes { n_words, d, .. } = sizes;
    let shared: Vec<f32> = (0..d).map(|_| rng.normal()).collect();
    let mut embed = Matrix::normal(n_words, d, EMBED_STD, rng);
    embed.each_row(|row| row.iter_mut().zip(&shared).for_each(|(x, c)| *x += EMBED_STD * c));
    let mut blocks: Vec<RawBlock> = (0..sizes.n_layers).map(|_| RawBlock::random(sizes, rng)).collect();
    preset_heads(&mut blocks, sizes, &shared, rng);
    let blocks = blocks.iter().map(|block| block.to_block(d)).collect::<Result<_>>()?;
    Ok(Model::new(sizes, embed.to_var()?, blocks, ones(d)?))
}

fn preset_heads(blocks: &mut [RawBlock], sizes: Sizes, shared: &[f32], rng: &mut Rng) {
    let Sizes { d, head_dim, theta, .. } = sizes;
    let half = head_dim / 2;
    let length = shared.iter().map(|c| c * c).sum::<f32>().sqrt();
    let shared: Vec<f32> = shared.iter().map(|c| c / length).collect();

    // Block 0: key of angle 0, query of angle -back: their product peaks `back` tokens ago.
    let key: Vec<f32> = (0..head_dim).map(|i| if i < half { SHARPNESS } else { 0.0 }).collect();
    blocks[0].k.set_rows(0, &Matrix::outer(&key, &shared));
    for (head, back) in [(0, 1.0), (1, 2.0)] {
        let angle = |i: usize| back * theta.powf(-((i % half) as f64) / half as f64);
        let query = |i: usize| {
            if i < half { angle(i).cos() } else { -angle(i).sin() }
        };
        let query: Vec<f32> = (0..head_dim).map(|i| SHARPNESS * query(i) as f32).collect();
        blocks[0].q.set_rows(head * head_dim, &Matrix::outer(&query, &shared));
    }

    let subspaces = Matrix::orthonormal_rows(2 * head_dim, d, rng);
    let (a0, a1) = (subspaces.rows_of(0, head_dim), subspaces.rows_of(head_dim, head_dim));
    let reduce = || (d as f32).powf(-0.5);
    let mut name = Matrix::normal(head_dim, d, reduce(), rng);
    name.each_row(|row| remove_direction(row, &shared));
    blocks[0].v.set_rows(0, &name);
    blocks[0].o.set_columns(0, &a0.scaled(COPY));
    blocks[0].o.set_columns(head_dim, &a1.scaled(COPY));

    // The matching heads use only the pairs that RoPE turns slowly.
    let slow: Vec<usize> = (0..head_dim).filter(|i| i % half >= half * 7 / 16).collect();
    let on_slow = |m: Matrix| {
        let mut out = Matrix::zeros(head_dim, d);
        for (from, &to) in slow.iter().enumerate() {
            out.row_mut(to).copy_from_slice(m.row(from));
        }
        out.scaled(MATCH)
    };

    // Block 1, head 0: the value whose predecessors are this relation and this entity.
    let mut value = Matrix::normal(head_dim, d, reduce(), rng);
    value.each_row(|row| remove_direction(row, &shared));
    blocks[1].k.set_rows(0, &on_slow(a0.plus(&a1)));
    blocks[1].q.set_rows(0, &on_slow(a0.plus(&name)));
    blocks[1].v.set_rows(0, &value);
    blocks[1].o.set_columns(0, &value.scaled(0.7));

    // Block 1, head 2 gathers; block 2, head 0 reads what was gathered.
    let carried = Matrix::orthonormal_rows(head_dim, d, rng);
    blocks[1].k.set_rows(head_dim, &on_slow(a1));
    blocks[1].q.set_rows(2 * head_dim, &on_slow(name.clone()));
    blocks[1].v.set_rows(head_dim, &carried);
    blocks[1].o.set_columns(2 * head_dim, &carried.scaled(0.5));
    blocks[2].k.set_rows(0, &on_slow(name));
    blocks[2].q.set_rows(0, &on_slow(a0));
    blocks[2].v.set_rows(0, &carried);
    blocks[2].o.set_columns(0, &carried.scaled(0.5));
}

fn remove_direction(row: &mut [f32], direction: &[f32]) {
    let along: f32 = row.iter().zip(direction).map(|(x, c)| x * c).sum();
    row.iter_mut().zip(direction).for_each(|(x, c)| *x -= along * c);
}

fn ones(d: usize) -> Result<Var> {
    Var::ones(d, candle_core::DType::F32, &Device::Cpu)
}

struct RawBlock {
    q: Matrix,
    k: Matrix,
    v: Matrix,
    o: Matrix,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
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
struct Matrix {
    n_columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn zeros(n_rows: usize, n_columns: usize) -> Self {
        Self { n_columns, values: vec![0.0; n_rows * n_columns] }
    }

    fn normal(n_rows: usize, n_columns: usize, std: f32, rng: &mut Rng) -> Self {
        Self { n_columns, values: (0..n_rows * n_columns).map(|_| std * rng.normal()).collect() }
    }

    /// Random rows of length 1, at right angles to each other (Gram and Schmidt).
    fn orthonormal_rows(n_rows: usize, n_columns: usize, rng: &mut Rng) -> Self {
        let mut done: Vec<Vec<f32>> = Vec::new();
        for _ in 0..n_rows {
            let mut row: Vec<f32> = (0..n_columns).map(|_| rng.normal()).collect();
            done.iter().for_each(|before| remove_direction(&mut row, before));
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            done.push(row.iter().map(|x| x / length).collect());
        }
        Self { n_columns, values: done.concat() }
    }

    fn outer(column: &[f32], row: &[f32]) -> Self {
        Self { n_columns: row.len(), values: column.iter().flat_map(|a| row.iter().map(move |b| a * b)).collect() }
    }

    fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.n_columns..][..self.n_columns]
    }

    fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.values[i * self.n_columns..][..self.n_columns]
    }

    fn each_row(&mut self, mut f: impl FnMut(&mut [f32])) {
        self.values.chunks_exact_mut(self.n_columns).for_each(&mut f);
    }

    fn rows_of(&self, first: usize, n: usize) -> Self {
        let values = self.values[first * self.n_columns..][..n * self.n_columns].to_vec();
        Self { n_columns: self.n_columns, values }
    }

    fn scaled(&self, by: f32) -> Self {
        Self { n_columns: self.n_columns, values: self.values.iter().map(|x| x * by).collect() }
    }

    fn plus(&self, other: &Self) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a + b).collect();
        Self { n_columns: self.n_columns, values }
    }

    /// Replaces rows `first..` by `other`.
    fn set_rows(&mut self, first: usize, other: &Self) {
        self.values[first * self.n_columns..][..other.values.len()].copy_from_slice(&other.values);
    }

    /// Replaces columns `first..` by the transpose of `other`.
    fn set_columns(&mut self, first: usize, other: &Self) {
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
