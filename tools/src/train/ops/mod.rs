//! The four operations that candle lacks in a fast *and* differentiable form, as custom operations with a backward pass.
//!
//! Candle's own fused `rms_norm`, `rope` and `softmax_last_dim` have no backward pass: a gradient that meets one ends
//! there without an error. The unfused spellings are differentiable and about three times slower.
//!
//! All operations work on contiguous `f32` on the CPU; `tests.rs` compares every gradient with finite differences.

mod heads;
mod math;
mod rms_norm;
mod softmax;
mod swiglu;
#[cfg(test)]
mod tests;

pub(crate) use heads::{Angles, merge_heads, split_heads};
pub(crate) use rms_norm::rms_norm;
pub(crate) use softmax::causal_softmax;
pub(crate) use swiglu::swiglu;

use candle_core::{CpuStorage, Layout, Result};

/// The numbers of a contiguous `f32` tensor.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a contiguous tensor is needed, not one of strides {:?}", layout.stride())
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}
