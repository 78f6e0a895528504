//! Every gradient against finite differences.

use super::*;
use candle_core::{Device, Tensor, Var};
use std::sync::Arc;

fn random(dims: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, dims, &Device::Cpu).expect("a random tensor")
}

/// Compares the gradient of `Σ f(x)·r` for a fixed random `r` with finite differences, at a few entries of `x`.
fn check(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) {
    let weights = random(f(x).expect("a forward pass").dims());
    let loss = |x: &Tensor| (f(x)? * &weights)?.sum_all();
    let value = |x: &Tensor| loss(x).and_then(|loss| loss.to_scalar::<f32>()).expect("a loss");
    let var = Var::from_tensor(x).expect("a variable");
    let grads = loss(var.as_tensor()).and_then(|loss| loss.backward()).expect("a backward pass");
    let gradient = grads.get(&var).expect("a gradient").flatten_all().and_then(|g| g.to_vec1::<f32>()).expect("floats");
    let flat = x.flatten_all().and_then(|x| x.to_vec1::<f32>()).expect("floats");
    for i in (0..flat.len()).step_by(1 + flat.len() / 23) {
        let nudged = |by: f32| {
            let mut flat = flat.clone();
            flat[i] += by;
            value(&Tensor::from_vec(flat, x.dims(), &Device::Cpu).expect("a tensor"))
        };
        let slope = (nudged(1e-2) - nudged(-1e-2)) / 2e-2;
        assert!((slope - gradient[i]).abs() < 0.02 * (1.0 + slope.abs()), "entry {i}: {} is not {slope}", gradient[i]);
    }
}

#[test]
fn rms_norm_has_the_right_gradients() {
    let (x, w) = (random(&[3, 5, 16]), random(&[16]));
    check(&x, |x| rms_norm(x, &w));
    check(&w, |w| rms_norm(&x, w));
}

#[test]
fn causal_softmax_has_the_right_gradient_and_sees_no_future() {
    let scores = random(&[2, 2, 8, 7]);
    check(&scores, |scores| causal_softmax(scores, 4, 0.7));
    let weights = causal_softmax(&scores, 4, 0.7).and_then(|w| w.flatten_all()?.to_vec1::<f32>()).expect("weights");
    assert_eq!(weights[4..7], [0.0; 3]);
    assert!((weights[..4].iter().sum::<f32>() - 1.0).abs() < 1e-6);
}

#[test]
fn swiglu_has_the_right_gradients() {
    let (gate, up) = (random(&[4, 9]), random(&[4, 9]));
    check(&gate, |gate| swiglu(gate, &up));
    check(&up, |up| swiglu(&gate, up));
}

#[test]
fn heads_have_the_right_gradients() {
    let angles = Arc::new(Angles::new(16, 4, 100.0));
    check(&random(&[2, 5, 12]), |x| split_heads(x, 3, Some((&angles, 7))));
    check(&random(&[2, 5, 12]), |x| split_heads(x, 3, None));
    check(&random(&[2, 3, 5, 4]), merge_heads);
}
