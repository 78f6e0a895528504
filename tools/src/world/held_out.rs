//! Which (subject, value) pairs are kept out of training: one in ten, by a checksum of the two token ids.
//!
//! The rule is a pure function, so a trainer and an evaluator that never met agree on it.

use super::Word;

/// Which pairs a world may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// The nine in ten that training draws from.
    Training,
    /// The one in ten that no training world contains. Where none is left (for about one in 50
    /// attributes, and one in eight employers in a world of nine source tasks), a training pair takes its place.
    HeldOut,
}

impl Pairs {
    /// Whether a world of this kind may hold a fact of this subject and value.
    pub fn allow(self, subject: Word, value: Word) -> bool {
        is_held_out(subject, value) == (self == Pairs::HeldOut)
    }
}

/// Whether the pair is held out: the CRC-32 of `"{subject id},{value id}"` ends in the digit 0.
pub fn is_held_out(subject: Word, value: Word) -> bool {
    crc32(format!("{},{}", subject.id(), value.id()).as_bytes()).is_multiple_of(10)
}

/// CRC-32 of IEEE 802.3, bit by bit: the inputs are seven bytes long.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
