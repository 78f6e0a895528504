//! The lanes of a page: their lengths, and their bytes one behind the other.

use super::code::{Code, SYMBOLS};
use super::numbers;
use crate::simd::{self, OpenLanes, Target};

/// Pairs of symbols.
const PAIRS: usize = SYMBOLS * SYMBOLS;
/// Symbols counted at once.
const CHUNK: usize = 4096;

/// How often each symbol occurs. Pairs are counted, which are half as many, in two tables in turn: a count that was written
/// is not at once read again.
pub(super) fn count(symbols: &[u8]) -> [u32; SYMBOLS] {
    let ([mut even, mut odd], mut pairs) = ([[0_u32; PAIRS]; 2], [0; CHUNK / 2]);
    let mut counts = [0; SYMBOLS];
    for symbols in symbols.chunks(CHUNK) {
        let (whole, rest) = symbols.as_chunks::<2>();
        simd::pairs(Target::best(), whole, &mut pairs);
        let (twos, last) = pairs.get(..whole.len()).unwrap_or_default().as_chunks::<2>();
        for [first, second] in twos {
            even[usize::from(*first) % PAIRS] += 1;
            odd[usize::from(*second) % PAIRS] += 1;
        }
        last.iter().for_each(|pair| even[usize::from(*pair) % PAIRS] += 1);
        rest.iter().for_each(|symbol| counts[usize::from(*symbol) % SYMBOLS] += 1);
    }
    for (second, (even, odd)) in even.as_chunks::<SYMBOLS>().0.iter().zip(odd.as_chunks::<SYMBOLS>().0).enumerate() {
        for (first, (even, odd)) in even.iter().zip(odd).enumerate() {
            counts[first] += even + odd;
            counts[second] += even + odd;
        }
    }
    counts
}

/// Lanes of a page in memory.
#[derive(Default)]
pub(super) struct Lanes {
    memory: Vec<u8>,
    room: usize,
    lengths: Vec<u32>,
}

impl Lanes {
    /// Writes the codes of symbols.
    pub(super) fn write(&mut self, code: &Code, symbols: &[u8]) {
        self.room = OpenLanes::room(symbols.len());
        let wanted = self.room * simd::LANES;
        if self.memory.len() < wanted {
            self.memory.resize(wanted, 0);
        }
        let mut open = OpenLanes::new(self.memory.get_mut(..wanted).unwrap_or_default(), symbols.len());
        simd::encode_lanes(Target::best(), &code.codes(), &code.lengths(), symbols, &mut open);
        self.lengths.clear();
        self.lengths.extend(open.lengths());
    }

    fn shortest(&self) -> u32 {
        self.lengths.iter().copied().min().unwrap_or(0)
    }

    fn longer(&self) -> impl Iterator<Item = u32> + Clone {
        let shortest = self.shortest();
        self.lengths.iter().map(move |length| length - shortest)
    }

    /// Bytes of the shortest lane, and bits of how much longer others are.
    pub(super) fn lengths(&self) -> (u32, u8) {
        let all = self.longer().fold(0, |all, longer| all | longer);
        (self.shortest(), (32 - all.leading_zeros()) as u8)
    }

    /// Appends the lengths of the lanes, and the lanes.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        numbers::append(self.lengths().1.into(), self.longer(), out);
        for (length, lane) in self.lengths.iter().zip(self.memory.chunks_exact(self.room)) {
            out.extend_from_slice(lane.get(..*length as usize).unwrap_or_default());
        }
    }
}
