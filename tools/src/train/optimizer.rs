//! Muon for the matrices of the blocks, Adam for the embedding and the norms.
//!
//! Muon steps along the momentum made orthogonal by five Newton-Schulz steps (Jordan et al., 2024,
//! <https://kellerjordan.github.io/posts/muon/>); Adam as in Kingma and Ba, 2015, <https://arxiv.org/abs/1412.6980>.

use super::model::Model;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

const MOMENTUM: f64 = 0.95;
const DECAY: f64 = 0.01;
const BETAS: (f64, f64) = (0.9, 0.98);
const ADAM_EPS: f64 = 1e-8;
/// The gradient is shortened to this norm, over all weights together.
const CLIP: f64 = 1.0;

/// Learning rates: of Muon and of Adam.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    pub(crate) muon: f64,
    pub(crate) adam: f64,
}

/// The optimiser's state, one entry a weight.
pub(crate) struct Optimizer {
    matrices: Vec<(Var, Tensor)>,
    others: Vec<(Var, Tensor, Tensor)>,
    n_steps: i32,
}

impl Optimizer {
    pub(crate) fn new(model: &Model) -> Result<Self> {
        let (mut matrices, mut others) = (Vec::new(), Vec::new());
        for (name, var) in model.named() {
            let zeros = var.zeros_like()?;
            if var.rank() == 2 && !name.contains("embed") {
                matrices.push((var.clone(), zeros));
            } else {
                others.push((var.clone(), zeros.clone(), zeros));
            }
        }
        Ok(Self { matrices, others, n_steps: 0 })
    }

    /// One step along `grads`; a weight without a gradient is an error. Returns the gradient's norm before clipping.
    pub(crate) fn step(&mut self, grads: &GradStore, rates: Rates) -> Result<f64> {
        let norm = self.gradient_norm(grads)?;
        let clip = (CLIP / (norm + 1e-6)).min(1.0);
        self.n_steps += 1;
        for (var, momentum) in &mut self.matrices {
            let grad = (gradient(grads, var)? * clip)?;
            *momentum = ((&*momentum * MOMENTUM)? + &grad)?;
            let (n_out, n_in) = var.dims2()?;
            let stretch = (n_out as f64 / n_in as f64).max(1.0).sqrt();
            let update = (orthogonal(&(grad + (&*momentum * MOMENTUM)?)?)? * (stretch * rates.muon))?;
            var.set(&((var.as_tensor() * (1.0 - rates.muon * DECAY))? - update)?)?;
        }
        for (var, first, second) in &mut self.others {
            let grad = (gradient(grads, var)? * clip)?;
            *first = ((&*first * BETAS.0)? + (&grad * (1.0 - BETAS.0))?)?;
            *second = ((&*second * BETAS.1)? + (grad.sqr()? * (1.0 - BETAS.1))?)?;
            let (unbias1, unbias2) = (1.0 - BETAS.0.powi(self.n_steps), 1.0 - BETAS.1.powi(self.n_steps));
            let scale = ((&*second / unbias2)?.sqrt()? + ADAM_EPS)?;
            var.set(&(var.as_tensor() - ((&*first * (rates.adam / unbias1))? / scale)?)?)?;
        }
        Ok(norm)
    }

    fn gradient_norm(&self, grads: &GradStore) -> Result<f64> {
        let vars = self.matrices.iter().map(|(var, _)| var).chain(self.others.iter().map(|(var, ..)| var));
        let mut sum = 0.0;
        for var in vars {
            sum += f64::from(gradient(grads, var)?.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        Ok(sum.sqrt())
    }
}

fn gradient<'a>(grads: &'a GradStore, var: &Var) -> Result<&'a Tensor> {
    match grads.get(var) {
        Some(grad) => Ok(grad),
        None => candle_core::bail!("no gradient reached a weight of shape {:?}", var.shape()),
    }
}

/// The nearest matrix whose singular values are all about 1.
fn orthogonal(grad: &Tensor) -> Result<Tensor> {
    let length = f64::from(grad.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
    let (n_rows, n_columns) = grad.dims2()?;
    let tall = n_rows > n_columns;
    let mut x = (grad / (length + 1e-7))?;
    if tall {
        x = x.t()?.contiguous()?;
    }
    for _ in 0..5 {
        let a = x.matmul(&x.t()?)?;
        let b = ((&a * -4.7750)? + (a.matmul(&a)? * 2.0315)?)?;
        x = ((&x * 3.4445)? + b.matmul(&x)?)?;
    }
    if tall { x.t()?.contiguous() } else { Ok(x) }
}
