//! Token-major to head-major and back, turning the heads by RoPE on the way.
//!
//! Shapes: token-major `[n_batch, n_tokens, n_heads · head_dim]`, head-major `[n_batch, n_heads, n_tokens, head_dim]`.
//! Pairs are `(i, i + head_dim / 2)`. Each direction is the other's backward pass, because turning back is the
//! transpose of turning. Su et al., *RoFormer*, 2021, <https://arxiv.org/abs/2104.09864>.

use super::floats;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use std::sync::Arc;

/// Cosines and sines of positions `0..n_tokens`, `[n_tokens, head_dim / 2]` each.
#[derive(Debug)]
pub(crate) struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    /// The angles of positions `0..n_tokens`.
    pub(crate) fn new(n_tokens: usize, head_dim: usize, theta: f64) -> Self {
        let half = head_dim / 2;
        let angle = |i: usize| (i / half) as f64 * theta.powf(-((i % half) as f64) / half as f64);
        let table = |f: fn(f64) -> f64| (0..n_tokens * half).map(|i| f(angle(i)) as f32).collect();
        Self { cos: table(f64::cos), sin: table(f64::sin) }
    }
}

/// Token-major to head-major; token `t` is turned to position `first + t`, or not at all without angles.
pub(crate) fn split_heads(x: &Tensor, n_heads: usize, turn: Option<(&Arc<Angles>, usize)>) -> Result<Tensor> {
    let turn = turn.map(|(angles, first)| (angles.clone(), first));
    x.contiguous()?.apply_op1(Heads { n_heads, turn, split: true })
}

/// Head-major to token-major, unturned.
pub(crate) fn merge_heads(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Heads { n_heads: x.dim(1)?, turn: None, split: false })
}

#[derive(Clone)]
struct Heads {
    n_heads: usize,
    turn: Option<(Arc<Angles>, usize)>,
    split: bool,
}

impl CustomOp1 for Heads {
    fn name(&self) -> &'static str {
        "heads"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(x, layout)?;
        let (n_batch, n_tokens, head_dim) = self.sizes(layout.dims());
        let n_heads = self.n_heads;
        let mut y = vec![0f32; x.len()];
        for batch in 0..n_batch {
            for head in 0..n_heads {
                for token in 0..n_tokens {
                    let token_major = ((batch * n_tokens + token) * n_heads + head) * head_dim;
                    let head_major = ((batch * n_heads + head) * n_tokens + token) * head_dim;
                    let (from, to) = if self.split { (token_major, head_major) } else { (head_major, token_major) };
                    self.turn_into(&x[from..from + head_dim], &mut y[to..to + head_dim], token);
                }
            }
        }
        let shape = match self.split {
            true => Shape::from((n_batch, n_heads, n_tokens, head_dim)),
            false => Shape::from((n_batch, n_tokens, n_heads * head_dim)),
        };
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let back = Heads { split: !self.split, ..self.clone() };
        Ok(Some(dy.contiguous()?.apply_op1_no_bwd(&back)?))
    }
}

impl Heads {
    /// (n_batch, n_tokens, head_dim) of the input.
    fn sizes(&self, dims: &[usize]) -> (usize, usize, usize) {
        match self.split {
            true => (dims[0], dims[1], dims[2] / self.n_heads),
            false => (dims[0], dims[2], dims[3]),
        }
    }

    /// Turns one head of one token, forwards when splitting and back when merging.
    fn turn_into(&self, x: &[f32], y: &mut [f32], token: usize) {
        let Some((angles, first)) = &self.turn else {
            y.copy_from_slice(x);
            return;
        };
        let half = x.len() / 2;
        let row = (first + token) * half..(first + token + 1) * half;
        let (cos, sin) = (&angles.cos[row.clone()], &angles.sin[row]);
        let ((x_low, x_high), (y_low, y_high)) = (x.split_at(half), y.split_at_mut(half));
        let sign = if self.split { 1.0 } else { -1.0 };
        for i in 0..half {
            let (c, s) = (cos[i], sign * sin[i]);
            y_low[i] = x_low[i] * c - x_high[i] * s;
            y_high[i] = x_high[i] * c + x_low[i] * s;
        }
    }
}
