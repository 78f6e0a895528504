//! A prefix code of the 32 symbols: at most six bits each, lengths in three bits each, codes by the order of the symbols.
//!
//! Lengths are the best there are under the limit (package-merge: Larmore & Hirschberg, *A fast algorithm for optimal
//! length-limited Huffman codes*, 1990, <https://doi.org/10.1145/79147.79150>), and codes canonical as in
//! [RFC 1951](https://www.rfc-editor.org/rfc/rfc1951), section 3.2.2. A code is read from its lowest bit, so its bits are
//! turned round.

use crate::simd::LONGEST_CODE;

/// Symbols there are: sixteen distances, each with either sign.
pub(super) const SYMBOLS: usize = 32;
/// Those of an exponent that is stored apart.
pub(super) const ESCAPES: [u8; 2] = [30, 31];
/// Bytes of the lengths.
pub(super) const CODE_BYTES: usize = SYMBOLS * 3 / 8;
/// Numbers of all codes of six bits.
const WINDOW: usize = 1 << LONGEST_CODE;

/// Lengths of the codes of all symbols; 0 for a symbol without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    lengths: [u8; SYMBOLS],
}

impl Code {
    /// The best code for symbols that occur so often; those that occur not have none.
    pub(super) fn of(counts: &[u32; SYMBOLS]) -> Self {
        let mut leaves: Vec<Package> = Vec::with_capacity(SYMBOLS);
        leaves.extend(
            (0..).zip(counts).filter(|(_, count)| **count > 0).map(|(symbol, count)| Package::of(symbol, *count)),
        );
        // One symbol alone would have a code of no bits.
        for symbol in 0..2 {
            if leaves.len() < 2 && counts.get(symbol) == Some(&0) {
                leaves.push(Package::of(symbol as u32, 0));
            }
        }
        leaves.sort_by_key(|leaf| leaf.count);
        let (mut packages, mut merged) = (leaves.clone(), Vec::with_capacity(2 * SYMBOLS));
        for _ in 1..LONGEST_CODE {
            merged.clear();
            let (mut leaves, mut pairs) = (leaves.iter().peekable(), packages.as_chunks::<2>().0.iter().peekable());
            loop {
                let next = match (leaves.peek(), pairs.peek()) {
                    (Some(leaf), Some([a, b])) if leaf.count <= a.count + b.count => leaves.next().copied(),
                    (_, Some(_)) => pairs.next().map(|[a, b]| a.with(*b)),
                    (Some(_), None) => leaves.next().copied(),
                    (None, None) => break,
                };
                merged.extend(next);
            }
            std::mem::swap(&mut packages, &mut merged);
        }
        let all =
            packages.iter().take(2 * leaves.len() - 2).fold(Package::default(), |all, package| all.with(*package));
        let mut lengths = [0; SYMBOLS];
        lengths.iter_mut().enumerate().for_each(|(symbol, length)| *length = (all.times >> (4 * symbol)) as u8 & 15);
        Self { lengths }
    }

    /// Bits of the code of each symbol.
    pub(super) fn lengths(&self) -> [u8; WINDOW] {
        std::array::from_fn(|symbol| self.lengths.get(symbol).copied().unwrap_or(0))
    }

    pub(super) fn write(&self) -> [u8; CODE_BYTES] {
        let mut bytes = [0; CODE_BYTES];
        for (bytes, lengths) in bytes.as_chunks_mut::<3>().0.iter_mut().zip(self.lengths.as_chunks::<8>().0) {
            let word = lengths.iter().rev().fold(0_u32, |word, length| word << 3 | u32::from(*length));
            let [low, middle, high, _] = word.to_le_bytes();
            *bytes = [low, middle, high];
        }
        bytes
    }

    /// The code with these lengths; `None` when some bits begin no code, or more than one.
    pub(super) fn read(bytes: &[u8; CODE_BYTES]) -> Option<Self> {
        let mut lengths = [0; SYMBOLS];
        for ([low, middle, high], lengths) in bytes.as_chunks::<3>().0.iter().zip(lengths.as_chunks_mut::<8>().0) {
            let word = u32::from_le_bytes([*low, *middle, *high, 0]);
            lengths.iter_mut().enumerate().for_each(|(i, length)| *length = (word >> (3 * i)) as u8 & 7);
        }
        let taken = |length: &u8| match u32::from(*length) {
            0 => 0,
            length if length > LONGEST_CODE => 2 * WINDOW,
            length => WINDOW >> length,
        };
        (lengths.iter().map(taken).sum::<usize>() == WINDOW).then_some(Self { lengths })
    }

    /// The code of each symbol, from its lowest bit.
    pub(super) fn codes(&self) -> [u8; WINDOW] {
        let mut codes = [0; WINDOW];
        let mut next = 0_u8;
        for length in 1..=LONGEST_CODE as u8 {
            for (code, _) in codes.iter_mut().zip(&self.lengths).filter(|(_, its)| **its == length) {
                *code = next.reverse_bits() >> (8 - length);
                next = next.wrapping_add(1);
            }
            next <<= 1;
        }
        codes
    }

    /// For each six bits the symbol whose code they begin with, above three bits of its length.
    pub(super) fn table(&self) -> [u8; WINDOW] {
        let mut table = [0; WINDOW];
        for ((symbol, length), code) in
            (0_u8..).zip(self.lengths).zip(self.codes()).filter(|((_, length), _)| *length > 0)
        {
            for entry in table.iter_mut().skip(code.into()).step_by(1 << length) {
                *entry = symbol << 3 | length;
            }
        }
        table
    }
}

/// Symbols taken together: how often they occur, and how often each of them is in it, in four bits each.
#[derive(Clone, Copy, Debug, Default)]
struct Package {
    count: u64,
    times: u128,
}

impl Package {
    fn of(symbol: u32, count: u32) -> Self {
        Self { count: count.into(), times: 1 << (4 * symbol) }
    }

    fn with(self, other: Self) -> Self {
        Self { count: self.count + other.count, times: self.times + other.times }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(seed: u32, n: usize) -> [u32; SYMBOLS] {
        std::array::from_fn(
            |i| if i < n { (seed.wrapping_mul(2_654_435_761) >> (i % 20)) % (1 << (i % 17)) } else { 0 },
        )
    }

    #[test]
    fn every_code_is_complete_and_comes_back() {
        for (seed, n) in (1..200).flat_map(|seed| [1, 2, 3, 7, 20, 32].map(|n| (seed, n))) {
            let counts = counts(seed, n);
            let code = Code::of(&counts);
            assert_eq!(Code::read(&code.write()), Some(code));
            assert!(counts.iter().zip(code.lengths).all(|(count, length)| *count == 0 || length > 0));
            for ((symbol, length), bits) in (0_u8..).zip(code.lengths).zip(code.codes()) {
                assert!(length == 0 || code.table()[usize::from(bits)] == symbol << 3 | length, "{bits:b} of {symbol}");
            }
        }
    }

    /// Six bits are the limit; without it the rarest would have sixteen.
    #[test]
    fn lengths_are_short_where_symbols_are_many() {
        let code = Code::of(&std::array::from_fn(|i| (3 << ((31 - i) / 2)) + ((31 - i as u32) & 1)));
        let lengths = code.lengths;
        assert!(lengths.is_sorted() && lengths[0] == 3 && lengths[31] == 6, "{lengths:?}");
        assert_eq!(Code::of(&[1; 32]).lengths, [5; 32]);
        assert_eq!(Code::of(&[0; 32]).lengths[..3], [1, 1, 0]);
    }

    #[test]
    fn codes_that_leave_bits_out_are_refused() {
        assert_eq!(Code::read(&[0; CODE_BYTES]), None);
        assert_eq!(Code::read(&[0xff; CODE_BYTES]), None);
        let whole = Code { lengths: std::array::from_fn(|i| if i < 2 { 1 } else { 0 }) };
        assert_eq!(Code::read(&whole.write()), Some(whole));
        for symbol in 0..2 {
            let mut damaged = whole;
            damaged.lengths[symbol] = 2;
            assert_eq!(Code::read(&damaged.write()), None);
            damaged.lengths[symbol] = 0;
            assert_eq!(Code::read(&damaged.write()), None);
        }
    }
}
