//! Randomness as a parameter: seeds made of seeds, the same on every machine.
//!
//! SplitMix64 (Steele et al., 2014, <https://doi.org/10.1145/2660193.2660195>).

/// A number all of whose bits depend on all bits of `x`.
pub(super) fn mix(x: u64) -> u64 {
    finish(x.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
