//! A projection: `y = x · Wᵀ + b`.

use super::product;
use candle_core::{Result, Tensor};

/// `weight` is `[n_out, n_in]`, `bias` `[n_out]`.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
}

impl Linear {
    /// `[n_tokens, n_in]` to `[n_tokens, n_out]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = product::with_rows(x, &self.weight)?;
        match &self.bias {
            None => Ok(y),
            Some(bias) => y.broadcast_add(bias),
        }
    }
}
