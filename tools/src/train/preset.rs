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

use super::copies::{Copies, copy_before, on_slow};
use super::model::{Model, Sizes};
use super::raw_model::{Matrix, RawModel, remove_direction};
use crate::world::Rng;
use candle_core::Result;

/// How sharply the positional heads of block 0 look at one token.
const SHARPNESS: f32 = 1.0;

/// A fresh model.
pub(crate) fn fresh(sizes: Sizes, rng: &mut Rng) -> Result<Model> {
    let mut raw = RawModel::random(sizes, rng);
    let copies = copy_before(&mut raw, 2, SHARPNESS, rng);
    preset_look_ups(&mut raw, &copies, rng);
    raw.into_model()
}

/// The look-ups of blocks 1 and 2, in the first two KV heads and the first query head of each.
pub(super) fn preset_look_ups(raw: &mut RawModel, copies: &Copies, rng: &mut Rng) {
    let sizes = raw.sizes;
    let Sizes { d, head_dim, n_heads, n_kv_heads, .. } = sizes;
    let (group, blocks) = (n_heads / n_kv_heads * head_dim, &mut raw.blocks);
    let (name, a0, a1) = (&copies.name, &copies.before[0], &copies.before[1]);

    // Block 1, head 0: the value whose predecessors are this relation and this entity.
    let mut value = Matrix::normal(head_dim, d, (d as f32).powf(-0.5), rng);
    value.each_row(|row| remove_direction(row, &raw.shared));
    blocks[1].k.set_rows(0, &on_slow(&a0.plus(a1), sizes));
    blocks[1].q.set_rows(0, &on_slow(&a0.plus(name), sizes));
    blocks[1].v.set_rows(0, &value);
    blocks[1].o.set_columns(0, &value.scaled(0.7));

    // Block 1, the second group's head gathers; block 2, head 0 reads what was gathered.
    let carried = Matrix::orthonormal_rows(head_dim, d, rng);
    blocks[1].k.set_rows(head_dim, &on_slow(a1, sizes));
    blocks[1].q.set_rows(group, &on_slow(name, sizes));
    blocks[1].v.set_rows(head_dim, &carried);
    blocks[1].o.set_columns(group, &carried.scaled(0.5));
    blocks[2].k.set_rows(0, &on_slow(name, sizes));
    blocks[2].q.set_rows(0, &on_slow(a0, sizes));
    blocks[2].v.set_rows(0, &carried);
    blocks[2].o.set_columns(0, &carried.scaled(0.5));
}
