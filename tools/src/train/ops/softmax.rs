//! Softmax over the keys a query may see: the whole memory and the prompt up to itself.
//!
//! Shapes: scores `[…, n_rows, n_keys]`; the rows are heads times queries, the queries innermost, and query `t` of
//! `n_queries` sees the first `n_keys - n_queries + t + 1` keys. The weight of an unseen key is 0.

use super::floats;
use super::math::{dot, exp, max};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

/// Attention weights from raw scores, which are multiplied by `scale` first.
pub(crate) fn causal_softmax(scores: &Tensor, n_queries: usize, scale: f32) -> Result<Tensor> {
    scores.apply_op1(CausalSoftmax(Rows { n_queries, n_keys: scores.dim(candle_core::D::Minus1)?, scale }))
}

#[derive(Clone, Copy)]
struct Rows {
    n_queries: usize,
    n_keys: usize,
    scale: f32,
}

impl Rows {
    fn visible(self, row: usize) -> usize {
        self.n_keys - self.n_queries + row % self.n_queries + 1
    }
}

struct CausalSoftmax(Rows);

impl CustomOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal-softmax"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let scores = floats(scores, layout)?;
        let mut weights = vec![0f32; scores.len()];
        let n_keys = self.0.n_keys;
        for (row, (s, w)) in scores.chunks_exact(n_keys).zip(weights.chunks_exact_mut(n_keys)).enumerate() {
            let visible = self.0.visible(row);
            softmax_row(&s[..visible], &mut w[..visible], self.0.scale);
        }
        Ok((CpuStorage::F32(weights), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, weights: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(weights.apply_op2_no_bwd(&dy.contiguous()?, &Backward(self.0))?))
    }
}

fn softmax_row(scores: &[f32], weights: &mut [f32], scale: f32) {
    let top = max(scores) * scale;
    for (w, s) in weights.iter_mut().zip(scores) {
        *w = exp(s * scale - top);
    }
    let share = 1.0 / weights.iter().sum::<f32>();
    for w in weights {
        *w *= share;
    }
}

/// `ds = scale w (dy - Σ w dy)`.
struct Backward(Rows);

impl CustomOp2 for Backward {
    fn name(&self) -> &'static str {
        "causal-softmax-backward"
    }

    fn cpu_fwd(&self, w: &CpuStorage, wl: &Layout, dy: &CpuStorage, dyl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (weights, dy) = (floats(w, wl)?, floats(dy, dyl)?);
        let mut ds = vec![0f32; weights.len()];
        let n_keys = self.0.n_keys;
        let rows = weights.chunks_exact(n_keys).zip(dy.chunks_exact(n_keys)).zip(ds.chunks_exact_mut(n_keys));
        for (row, ((w, dy), ds)) in rows.enumerate() {
            let visible = self.0.visible(row);
            let (w, dy) = (&w[..visible], &dy[..visible]);
            let mean = dot(w, dy);
            for ((ds, w), dy) in ds.iter_mut().zip(w).zip(dy) {
                *ds = self.0.scale * w * (dy - mean);
            }
        }
        Ok((CpuStorage::F32(ds), wl.shape().clone()))
    }
}
