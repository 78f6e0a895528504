//! Root-mean-square norm: `y = w x / sqrt(mean(x²) + eps)` over the last axis.
//!
//! Shapes: `x` `[…, d]`, `w` `[d]`. Zhang and Sennrich, 2019, <https://arxiv.org/abs/1910.07467>.

use super::floats;
use super::math::dot;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

const EPS: f32 = 1e-5;

/// The norm of `x`, scaled by `w`.
pub(crate) fn rms_norm(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(w, RmsNorm)
}

fn inverse_root(x: &[f32]) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + EPS).sqrt()
}

struct RmsNorm;

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (floats(x, xl)?, floats(w, wl)?);
        let mut y = Vec::with_capacity(x.len());
        for row in x.chunks_exact(w.len()) {
            let r = inverse_root(row);
            y.extend(row.iter().zip(w).map(|(x, w)| x * w * r));
        }
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = x.apply_op3_no_bwd(w, dy, &ByX)?;
        let dw = x.apply_op2_no_bwd(dy, &ByWeight { d: w.dims1()? })?;
        Ok((Some(dx), Some(dw)))
    }
}

/// `dx = r w dy - x r³ mean(x w dy)`, with `r` the inverse root.
struct ByX;

impl CustomOp3 for ByX {
    fn name(&self) -> &'static str {
        "rms-norm-by-x"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        dy: &CpuStorage,
        dyl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, dy) = (floats(x, xl)?, floats(w, wl)?, floats(dy, dyl)?);
        let d = w.len();
        let mut dx = Vec::with_capacity(x.len());
        let mut weighted = vec![0f32; d];
        for (x, dy) in x.chunks_exact(d).zip(dy.chunks_exact(d)) {
            for ((out, dy), w) in weighted.iter_mut().zip(dy).zip(w) {
                *out = dy * w;
            }
            let r = inverse_root(x);
            let pull = r * r * r * dot(x, &weighted) / d as f32;
            dx.extend(weighted.iter().zip(x).map(|(g, x)| g * r - x * pull));
        }
        Ok((CpuStorage::F32(dx), xl.shape().clone()))
    }
}

/// `dw = Σ over rows of x r dy`.
struct ByWeight {
    d: usize,
}

impl CustomOp2 for ByWeight {
    fn name(&self) -> &'static str {
        "rms-norm-by-weight"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, dy: &CpuStorage, dyl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, dy) = (floats(x, xl)?, floats(dy, dyl)?);
        let mut dw = vec![0f32; self.d];
        for (x, dy) in x.chunks_exact(self.d).zip(dy.chunks_exact(self.d)) {
            let r = inverse_root(x);
            for ((dw, x), dy) in dw.iter_mut().zip(x).zip(dy) {
                *dw += x * r * dy;
            }
        }
        Ok((CpuStorage::F32(dw), Shape::from(self.d)))
    }
}
