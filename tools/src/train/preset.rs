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

use super::model::{Model, Sizes};
use super::raw_model::{Matrix, RawBlock, RawModel, remove_direction};
use crate::world::Rng;
use candle_core::Result;

/// How sharply the positional heads of block 0 look at one token.
const SHARPNESS: f32 = 1.0;
/// How strongly block 0 writes the previous tokens.
const COPY: f32 = 0.25;
/// How strongly the matching heads look for their match.
const MATCH: f32 = 2.0;

/// A fresh model.
pub(crate) fn fresh(sizes: Sizes, rng: &mut Rng) -> Result<Model> {
    let mut raw = RawModel::random(sizes, rng);
    let shared = raw.shared.clone();
    preset_heads(&mut raw.blocks, sizes, &shared, rng);
    raw.into_model()
}

fn preset_heads(blocks: &mut [RawBlock], sizes: Sizes, shared: &[f32], rng: &mut Rng) {
    let Sizes { d, head_dim, theta, .. } = sizes;
    let half = head_dim / 2;

    // Block 0: key of angle 0, query of angle -back: their product peaks `back` tokens ago.
    let key: Vec<f32> = (0..head_dim).map(|i| if i < half { SHARPNESS } else { 0.0 }).collect();
    blocks[0].k.set_rows(0, &Matrix::outer(&key, shared));
    for (head, back) in [(0, 1.0), (1, 2.0)] {
        let angle = |i: usize| back * theta.powf(-((i % half) as f64) / half as f64);
        let query = |i: usize| {
            if i < half { angle(i).cos() } else { -angle(i).sin() }
        };
        let query: Vec<f32> = (0..head_dim).map(|i| SHARPNESS * query(i) as f32).collect();
        blocks[0].q.set_rows(head * head_dim, &Matrix::outer(&query, shared));
    }

    let subspaces = Matrix::orthonormal_rows(2 * head_dim, d, rng);
    let (a0, a1) = (subspaces.rows_of(0, head_dim), subspaces.rows_of(head_dim, head_dim));
    let reduce = || (d as f32).powf(-0.5);
    let mut name = Matrix::normal(head_dim, d, reduce(), rng);
    name.each_row(|row| remove_direction(row, shared));
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
    value.each_row(|row| remove_direction(row, shared));
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
