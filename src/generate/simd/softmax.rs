//! Softmax of one row of scores, in place.

use super::compiled;
use crate::generate::vector;

compiled! {
    /// `exp(scale * (score - largest))`, divided by their sum.
    fn softmax(scores: &mut [f32], scale: f32) {
        let max = vector::max(scores);
        for score in scores.iter_mut() {
            *score = vector::exp((*score - max) * scale);
        }
        let factor = 1.0 / vector::sum(scores);
        for score in scores {
            *score *= factor;
        }
    }
}
