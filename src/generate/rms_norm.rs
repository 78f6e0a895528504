//! RMSNorm: divides each row by the root of its mean square, then weighs each column.
//!
//! Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019, <https://arxiv.org/abs/1910.07467>.

use super::tensor;
use super::vector;
use candle_core::{Result, Tensor};

/// `weight` has one number per column.
#[derive(Clone, Debug)]
pub(super) struct RmsNorm {
    pub(super) weight: Vec<f32>,
    pub(super) eps: f32,
}

impl RmsNorm {
    /// Normalises each run of `weight.len()` numbers of `x`; the shape stays.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        tensor::own(tensor::read(x, |x| self.rows(x))?, x.shape())
    }

    fn rows(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let width = self.weight.len();
        for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let mean_square = vector::dot(row, row) / width as f32;
            let scale = 1.0 / (mean_square + self.eps).sqrt();
            for ((out, x), weight) in out.iter_mut().zip(row).zip(&self.weight) {
                *out = x * scale * weight;
            }
        }
        out
    }
}
