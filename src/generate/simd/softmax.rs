//! Softmax of one row of scores, in place.

use super::compiled;
use crate::generate::vector;

compiled! {
    /// `exp(scale * (score - largest))`, divided by their sum; nothing of minus infinity.
    fn softmax(scores: &mut [f32], scale: f32) {
        let max = vector::max(scores);
        for score in scores.iter_mut() {
            let weight = vector::exp((*score - max) * scale);
            *score = if *score == f32::NEG_INFINITY { 0.0 } else { weight };
        }
        let sum = vector::sum(scores);
        let factor = if sum == 0.0 { 0.0 } else { 1.0 / sum };
        for score in scores {
            *score *= factor;
        }
    }
}
