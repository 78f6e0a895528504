//! Softmax of one row of scores, in place.

use super::compiled;
use crate::generate::vector;

compiled! {
    /// `exp(scale * (score - largest))`, divided by their sum; nothing of minus infinity. `total` becomes `ln Σ exp(scale *
    /// score)`.
    fn softmax(scores: &mut [f32], scale: f32, total: &mut f32) {
        let max = vector::max(scores);
        let sum = weights_beside(scores, max, scale);
        let factor = if sum == 0.0 { 0.0 } else { 1.0 / sum };
        for score in scores {
            *score *= factor;
        }
        *total = if sum == 0.0 { f32::NEG_INFINITY } else { max * scale + sum.ln() };
    }
}

compiled! {
    /// `exp(scale * (score - max))`, and their sum.
    fn exponentials(scores: &mut [f32], max: f32, scale: f32, sum: &mut f32) {
        *sum = weights_beside(scores, max, scale);
    }
}

#[inline(always)]
fn weights_beside(scores: &mut [f32], max: f32, scale: f32) -> f32 {
    for score in scores.iter_mut() {
        let weight = vector::exp((*score - max) * scale);
        *score = if *score == f32::NEG_INFINITY { 0.0 } else { weight };
    }
    vector::sum(scores)
}
