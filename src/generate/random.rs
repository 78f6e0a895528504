//! Random numbers from a seed, and models of a given size made of them: what benches need to measure a geometry without its
//! checkpoint.
//!
//! Numbers come from SplitMix64 (Steele et al., 2014, <https://doi.org/10.1145/2660193.2660195>), seeded by the seed
//! and the tensor's name; matrices are scaled so that activations keep their size from layer to layer.

use super::config::ModelConfig;
use super::generator::Generator;
use super::model_files::Parts;
use super::precision::{LoadOptions, WeightPrecision};
use super::weights::TensorSource;
use crate::error::{Error, Result};
use lagdb_format::Digest;

impl Generator {
    /// A model of this configuration with random weights, held as `precision` says, and no tokenizer; one seed always
    /// gives one model.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the configuration holds an absurd value.
    #[doc(hidden)]
    pub fn random(config: ModelConfig, seed: u64, precision: WeightPrecision) -> Result<Self> {
        config.check().map_err(|problem| Error::invalid("config", problem))?;
        Self::build(
            Parts { config, weights: Box::new(RandomWeights { seed }), tokenizer: None, chat_template: None },
            LoadOptions { precision },
        )
    }
}

struct RandomWeights {
    seed: u64,
}

impl TensorSource for RandomWeights {
    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let digest = Digest::of("lagdb random tensor", &[name.as_bytes(), &self.seed.to_le_bytes()]).0;
        let mut state = digest.iter().take(8).fold(0, |seed, &byte| seed << 8 | u64::from(byte));
        let (center, scale) = match shape {
            [_, n_in] => (0.0, (3.0 / *n_in as f32).sqrt()),
            _ => (1.0, 0.1),
        };
        Ok((0..shape.iter().product::<usize>()).map(|_| center + scale * uniform(&mut state)).collect())
    }
}

/// A number of -1..1.
pub(super) fn uniform(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}
