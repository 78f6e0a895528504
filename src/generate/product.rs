//! Matrix products: candle's for large ones, plain loops for those of a decode step.
//!
//! Before every product candle 0.11 asks how many threads to use and, unless `RAYON_NUM_THREADS` is set, reads
//! `/proc/cpuinfo` for the answer: 0.13 ms each time, which at 36 products is 50 times the work of one decode step of
//! a small model. Loops need no answer. Above [`SMALL`] the better kernels of candle win.

use super::tensor;
use super::vector::dot;
use candle_core::{Result, Tensor};

/// Multiplications up to which a loop is used.
const SMALL: usize = 1 << 17;

/// `x · yᵀ`, batch by batch: `x` is `[.., m, k]` and contiguous, `y` `[.., n, k]`, the result `[.., m, n]`.
///
/// `y` may be a view of the first rows of each batch.
pub(super) fn with_rows(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (m, n, k) = sizes(x, y.dim(candle_core::D::Minus2)?)?;
    if x.elem_count() * n > SMALL {
        return x.matmul(&y.t()?);
    }
    let batch = |x: &[f32], y: &[f32], out: &mut [f32]| {
        for (x, out) in x.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
            y.chunks_exact(k).zip(out).for_each(|(y, out)| *out = dot(x, y));
        }
    };
    each_batch(x, y, (m, n), batch)
}

/// `x · y`, batch by batch: `x` is `[.., m, k]` and contiguous, `y` `[.., k, n]`, the result `[.., m, n]`.
///
/// `y` may be a view of the first rows of each batch.
pub(super) fn with_columns(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (m, n, k) = sizes(x, y.dim(candle_core::D::Minus1)?)?;
    if x.elem_count() * n > SMALL {
        return x.matmul(y);
    }
    let batch = |x: &[f32], y: &[f32], out: &mut [f32]| {
        for (x, out) in x.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
            for (x, y) in x.iter().zip(y.chunks_exact(n)) {
                out.iter_mut().zip(y).for_each(|(out, y)| *out += x * y);
            }
        }
    };
    each_batch(x, y, (m, n), batch)
}

/// `(m, n, k)` for `x` of `[.., m, k]`.
fn sizes(x: &Tensor, n: usize) -> Result<(usize, usize, usize)> {
    Ok((x.dim(candle_core::D::Minus2)?, n, x.dim(candle_core::D::Minus1)?))
}

/// Runs `product(x, y, out)` for each batch, `out` being `[m, n]` and zero before.
fn each_batch(
    x: &Tensor,
    y: &Tensor,
    (m, n): (usize, usize),
    product: impl Fn(&[f32], &[f32], &mut [f32]),
) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let k = shape.pop().unwrap_or(1);
    shape.push(n);
    let mut out = vec![0.0; x.elem_count() / k * n];
    tensor::read(x, |x| {
        tensor::read_matrices(y, |matrices| {
            let batches = x.chunks_exact(m * k).zip(out.chunks_exact_mut(m * n)).zip(matrices);
            batches.for_each(|((x, out), y)| product(x, y, out));
        })
    })??;
    tensor::own(out, shape)
}
