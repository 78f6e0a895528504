//! Quantized weights answer nearly as f32 does, say what they are, and never read each other's KV logs.

use crate::generate_support::*;
use lagdb::Error;
use lagdb::format::ElementType;
use lagdb::generate::{Generator, LoadOptions, WeightPrecision};

fn quantized(family: &str, precision: WeightPrecision) -> Generator {
    Generator::load_with(dir(family), LoadOptions { precision }).unwrap()
}

/// KL divergence of two softmaxes, the mean over rows, in nats.
fn divergence(exact: &[f32], other: &[f32]) -> f64 {
    let probabilities = |logits: &[f32]| -> Vec<f64> {
        let max = logits.iter().copied().fold(f32::MIN, f32::max);
        let exps: Vec<f64> = logits.iter().map(|x| f64::from(x - max).exp()).collect();
        let sum: f64 = exps.iter().sum();
        exps.iter().map(|x| x / sum).collect()
    };
    let rows = exact.chunks_exact(N_VOCAB).zip(other.chunks_exact(N_VOCAB));
    let of_row = |(exact, other): (&[f32], &[f32])| -> f64 {
        probabilities(exact).iter().zip(probabilities(other)).map(|(p, q)| p * (p / q).ln()).sum()
    };
    rows.map(of_row).sum::<f64>() / (exact.len() / N_VOCAB) as f64
}

#[test]
fn q8_0_answers_nearly_as_f32() {
    for family in FAMILIES {
        let reference = reference(family);
        let generator = quantized(family, WeightPrecision::Q8_0);
        let divergence = divergence(&reference.logits, &logits(&generator, &reference.ids));
        assert!(divergence < 2e-3, "{family}: {divergence}");
        assert!(divergence > 0.0, "{family}: nothing was quantized");
    }
}

#[test]
fn what_was_done_is_said() {
    let exact = model("qwen3");
    assert_eq!(exact.weights().types.len(), 1);
    assert_eq!((exact.weights().types[0].name, exact.weights().fallbacks.len()), ("F32", 0));
    let q8 = quantized("qwen3", WeightPrecision::Q8_0);
    assert_eq!(q8.weights().n_parameters, exact.weights().n_parameters);
    assert!(q8.weights().fallbacks.is_empty(), "rows of 64, 96 are blocks of 32");
    assert!(q8.weights().n_bytes * 3 < exact.weights().n_bytes);
    // Rows of 64 and 96 numbers hold no block of 256.
    let q4 = quantized("qwen3", WeightPrecision::Q4K);
    assert_eq!(q4.weights().types[0].name, "Q8_0");
    assert_eq!(q4.weights().fallbacks.len(), q4.weights().types[0].n_matrices);
    let said = q4.weights().to_string();
    assert!(said.contains("matrices (model.embed_tokens.weight …) are Q8_0: rows of 64 are no whole blocks"), "{said}");
    assert!(said.contains("Q8_0: rows of 96") && said.matches("no whole blocks").count() == 2, "{said}");
}

#[test]
fn a_kv_log_never_reaches_another_precision() {
    let (exact, q8) = (model("llama"), quantized("llama", WeightPrecision::Q8_0));
    assert_eq!(exact.fingerprint(), quantized("llama", WeightPrecision::F32).fingerprint());
    let log = log_of(&exact, &tokens(9, 1), ElementType::F16);
    let refused = session(&q8).attach(&log).unwrap_err();
    assert!(matches!(refused, Error::ModelMismatch { field: "weights", .. }), "{refused}");
    let log = log_of(&q8, &tokens(9, 1), ElementType::F16);
    assert_eq!(session(&q8).attach(&log).unwrap().tokens, 0..9);
    assert!(session(&exact).attach(&log).is_err());
}
