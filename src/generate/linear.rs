//! A projection: `y = x · Wᵀ + b`.

use super::matrix::Matrix;
use candle_core::{Result, Tensor};

/// `weight` is `[n_out, n_in]`, `bias` `[n_out]`.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) weight: Matrix,
    pub(super) bias: Option<Tensor>,
}

impl Linear {
    /// `[n_tokens, n_in]` to `[n_tokens, n_out]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.biased(self.weight.times(x)?)
    }

    /// What each of `linears` makes of the same `x`.
    pub(super) fn forward_each<const N: usize>(linears: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        let mut products = Matrix::times_each(linears.map(|linear| &linear.weight), x)?;
        for (product, linear) in products.iter_mut().zip(linears) {
            *product = linear.biased(product.clone())?;
        }
        Ok(products)
    }

    fn biased(&self, y: Tensor) -> Result<Tensor> {
        match &self.bias {
            None => Ok(y),
            Some(bias) => y.broadcast_add(bias),
        }
    }
}
