//! Randomness as a parameter: numbers drawn from a seed and a name, the same on every machine.
//!
//! SplitMix64 (Steele et al., 2014, <https://doi.org/10.1145/2660193.2660195>), seeded by FNV-1a of the name.

/// A source of random numbers that depends on nothing but its seed and its name.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice of this seed and this name, such as the name of a task.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let fnv = |h: u64, byte: u8| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        Self(mix(seed) ^ name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv))
    }

    /// The dice that these have for the thing of this number.
    pub(super) fn of(&self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number)))
    }

    /// A number of 0..1, 1 excluded.
    pub(super) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (finish(self.0) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }
}

/// A number all of whose bits depend on all bits of `x`.
pub(super) fn mix(x: u64) -> u64 {
    finish(x.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
