//! Rotary position embedding (RoPE): turns each key and query by an angle that grows with its position.
//!
//! Keys are stored *before* RoPE, so that a KV log can be attached at any position; this file is the only
//! one that turns them. Turning by `a` and then by `b` equals turning by `a + b`.
//!
//! Pairs are `(i, i + head_dim / 2)`; angles are `[n_tokens, head_dim / 2]`, in radians, computed in f64 and
//! turned to f32 only as cosine and sine: with f32 angles the same log attached 900 positions later differs ten
//! times more. They are computed for the positions of each call, so no table grows with the context length.
//!
//! Su et al., *RoFormer*, 2021, <https://arxiv.org/abs/2104.09864>.

use super::config::{RopeConfig, RopeScaling};
use std::f64::consts::TAU;

/// Neighbouring positions of which one is computed by sine and cosine, and the others from it.
const ANGLES_A_BASE: usize = 64;

/// The frequencies of one model.
#[derive(Clone, Debug)]
pub struct Rope {
    /// Radians per position, `[head_dim / 2]`.
    frequencies: Vec<f64>,
}

/// Cosines and sines for a list of positions, each `[n_tokens, head_dim / 2]`.
#[derive(Clone, Debug)]
pub struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rope {
    /// The frequencies `theta^(-2i / head_dim)`, bent as `config` says.
    pub fn new(config: &RopeConfig, head_dim: usize) -> Self {
        let frequency = |i: usize| config.theta.powf(-2.0 * i as f64 / head_dim as f64);
        Self { frequencies: (0..head_dim / 2).map(|i| scaled(i, frequency(i), &config.scaling)).collect() }
    }

    /// Radians per position, `[head_dim / 2]`.
    pub fn frequencies(&self) -> &[f64] {
        &self.frequencies
    }

    /// Cosine and sine of each pair, as the mean over some positions.
    pub(super) fn mean_turn(&self, positions: std::ops::Range<u32>) -> Vec<(f32, f32)> {
        let n = positions.len().max(1) as f64;
        let mean = |frequency: &f64, of: fn(f64) -> f64| {
            positions.clone().map(|position| of(f64::from(position) * frequency)).sum::<f64>() / n
        };
        let of_pair = |frequency| (mean(frequency, f64::cos) as f32, mean(frequency, f64::sin) as f32);
        self.frequencies.iter().map(of_pair).collect()
    }

    /// The angles of tokens at `positions`, in any order.
    pub fn angles(&self, positions: &[u32]) -> Angles {
        let n = positions.len() * self.frequencies.len();
        let mut angles = Angles { cos: Vec::with_capacity(n), sin: Vec::with_capacity(n) };
        let steps: Vec<(f64, f64)> = self.frequencies.iter().map(|frequency| frequency.sin_cos()).collect();
        let mut turns = vec![(0.0, 0.0); steps.len()];
        for (i, &position) in positions.iter().enumerate() {
            // One position further is one turn more. It errs by 1e-16 each time, so that now and then it is computed anew.
            let is_next = i % ANGLES_A_BASE != 0 && position.checked_sub(1) == Some(positions[i - 1]);
            for ((turn, step), frequency) in turns.iter_mut().zip(&steps).zip(&self.frequencies) {
                let (sin, cos) = *turn;
                *turn = match is_next {
                    true => (sin * step.1 + cos * step.0, cos * step.1 - sin * step.0),
                    false => (f64::from(position) * frequency).sin_cos(),
                };
            }
            angles.cos.extend(turns.iter().map(|turn| turn.1 as f32));
            angles.sin.extend(turns.iter().map(|turn| turn.0 as f32));
        }
        angles
    }
}

impl Angles {
    /// Cosines and sines of `token` (an index into the positions), `[head_dim / 2]` each.
    pub(super) fn of(&self, token: usize, half: usize) -> (&[f32], &[f32]) {
        let of_token = token * half..(token + 1) * half;
        (&self.cos[of_token.clone()], &self.sin[of_token])
    }

    /// Writes `head` turned to the position of `token` (an index into the positions) into `out`; both are
    /// `[head_dim]`.
    pub fn turn(&self, token: usize, head: &[f32], out: &mut [f32]) {
        let half = head.len() / 2;
        let (cos, sin) = self.of(token, half);
        let ((low, high), (out_low, out_high)) = (head.split_at(half), out.split_at_mut(half));
        for i in 0..half {
            out_low[i] = low[i] * cos[i] - high[i] * sin[i];
            out_high[i] = high[i] * cos[i] + low[i] * sin[i];
        }
    }
}

/// The frequency of pair `i` as `scaling` bends it; Llama 3.1's bend as in `_compute_llama3_parameters` of transformers.
fn scaled(i: usize, frequency: f64, scaling: &RopeScaling) -> f64 {
    let &RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_positions } = scaling else {
        let RopeScaling::Divided(divisors) = scaling else { return frequency };
        return frequency / divisors.get(i).copied().map_or(1.0, f64::from);
    };
    let turns = original_positions * frequency / TAU;
    let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
    (1.0 - kept) * frequency / factor + kept * frequency
}
