//! The heads of block 0 that a run starts with: they copy the tokens before each token, which is what every look-up is made of.
//!
//! Later blocks find a token by what stands before it. So head `i` of block 0 attends to the token `i + 1` places back and
//! writes its name into a subspace of its own. Ordinary Llama weights, which training goes on to change.

use super::model::Sizes;
use super::raw_model::{Matrix, RawModel, remove_direction};
use crate::world::Rng;

/// How strongly block 0 writes the previous tokens.
const COPY: f32 = 0.25;
/// How strongly a look-up looks for its match.
const MATCH: f32 = 2.0;

/// What block 0 writes.
pub(super) struct Copies {
    /// What is copied of a token, `[head_dim, d]`.
    pub(super) name: Matrix,
    /// Where the token one place back is written to, the one two back, and so on; `[head_dim, d]` each.
    pub(super) before: Vec<Matrix>,
}

/// Presets the first `n` heads of block 0; `sharpness` is how sharply they look at one token.
pub(super) fn copy_before(raw: &mut RawModel, n: usize, sharpness: f32, rng: &mut Rng) -> Copies {
    let Sizes { d, head_dim, theta, n_heads, n_kv_heads, .. } = raw.sizes;
    let half = head_dim / 2;
    let before = Matrix::orthonormal_rows(n * head_dim, d, rng);
    let before: Vec<Matrix> = (0..n).map(|i| before.rows_of(i * head_dim, head_dim)).collect();
    let mut name = Matrix::normal(head_dim, d, (d as f32).powf(-0.5), rng);
    name.each_row(|row| remove_direction(row, &raw.shared));
    let (shared, block) = (&raw.shared, &mut raw.blocks[0]);
    // Key of angle 0, query of angle -back: their product peaks `back` tokens ago.
    let key: Vec<f32> = (0..head_dim).map(|i| if i < half { sharpness } else { 0.0 }).collect();
    for group in 0..n.div_ceil(n_heads / n_kv_heads) {
        block.k.set_rows(group * head_dim, &Matrix::outer(&key, shared));
        block.v.set_rows(group * head_dim, &name);
    }
    for (head, copy) in before.iter().enumerate() {
        let angle = |i: usize| (head + 1) as f64 * theta.powf(-((i % half) as f64) / half as f64);
        let query = |i: usize| if i < half { angle(i).cos() } else { -angle(i).sin() };
        let query: Vec<f32> = (0..head_dim).map(|i| sharpness * query(i) as f32).collect();
        block.q.set_rows(head * head_dim, &Matrix::outer(&query, shared));
        block.o.set_columns(head * head_dim, &copy.scaled(COPY));
    }
    Copies { name, before }
}

/// The channels of a head that RoPE turns slowly, which are those that look-ups use.
pub(super) fn slow(head_dim: usize) -> Vec<usize> {
    let half = head_dim / 2;
    (0..head_dim).filter(|i| i % half >= half * 7 / 16).collect()
}

/// The query or key of a look-up: the first rows of `m` in the slow channels.
pub(super) fn on_slow(m: &Matrix, Sizes { d, head_dim, .. }: Sizes) -> Matrix {
    let mut out = Matrix::zeros(head_dim, d);
    for (from, to) in slow(head_dim).into_iter().enumerate() {
        out.row_mut(to).copy_from_slice(m.row(from));
    }
    out.scaled(MATCH)
}
