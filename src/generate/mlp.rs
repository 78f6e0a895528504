//! The gated MLP: `down(silu(gate(x)) * up(x))`.
//!
//! Shazeer, *GLU Variants Improve Transformer*, 2020, <https://arxiv.org/abs/2002.05202>.

use super::linear::Linear;
use super::tensor;
use super::vector;
use candle_core::{Result, Tensor};

/// The three projections.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

impl Mlp {
    /// `[n_tokens, hidden_size]` to the same.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [gate, up] = Linear::forward_each([&self.gate, &self.up], x)?;
        let gated = tensor::read(&gate, |gate| tensor::read(&up, |up| gated(gate, up)))??;
        self.down.forward(&tensor::own(gated, gate.shape())?)
    }
}

/// `silu(gate) * up`, with `silu(x) = x / (1 + exp(-x))`.
fn gated(gate: &[f32], up: &[f32]) -> Vec<f32> {
    gate.iter().zip(up).map(|(x, up)| x / (1.0 + vector::exp(-x)) * up).collect()
}
