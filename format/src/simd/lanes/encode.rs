//! Symbols into lanes.

use super::{BLOCK, GROUP, LANES, LONGEST_CODE};
#[cfg(target_arch = "x86_64")]
use crate::simd::Kind;
#[cfg(target_arch = "x86_64")]
use crate::simd::registers::{Register, of_bytes, of_words, to_words};
use crate::simd::{Target, compiled};

/// Lanes that are being written, each into memory of its own.
#[derive(Debug)]
pub(crate) struct OpenLanes<'a> {
    memory: &'a mut [u8],
    /// Bytes of a lane's memory.
    room: usize,
    /// Bits not yet in memory for good, fewer than eight, and how many they are.
    bits: [u64; LANES],
    n_bits: [u64; LANES],
    /// Bytes of the memory before those bits.
    at: [u64; LANES],
}

impl<'a> OpenLanes<'a> {
    /// Bytes of memory that the lanes of `n` symbols take: for codes of the greatest length, and one word more.
    pub(crate) fn room(n: usize) -> usize {
        n.div_ceil(BLOCK) * GROUP * LONGEST_CODE as usize / 8 + 8
    }

    /// Empty lanes for `n` symbols; `memory` has room for all.
    pub(crate) fn new(memory: &'a mut [u8], n: usize) -> Self {
        let room = Self::room(n);
        let at = std::array::from_fn(|lane| (lane * room) as u64);
        Self { memory, room, bits: [0; LANES], n_bits: [0; LANES], at }
    }

    /// Bytes of each lane.
    pub(crate) fn lengths(&self) -> [u32; LANES] {
        std::array::from_fn(|lane| (self.at[lane] - (lane * self.room) as u64 + self.n_bits[lane].div_ceil(8)) as u32)
    }

    /// Adds at most 48 bits to a lane.
    #[inline(always)]
    fn push(&mut self, lane: usize, code: u64, n_bits: u64) {
        let (bits, n_bits) = (self.bits[lane] | code << self.n_bits[lane], self.n_bits[lane] + n_bits);
        if let Some(word) = self.memory.get_mut(self.at[lane] as usize..).and_then(|memory| memory.first_chunk_mut()) {
            *word = bits.to_le_bytes();
        }
        self.at[lane] += n_bits / 8;
        self.bits[lane] = bits >> (n_bits / 8 * 8);
        self.n_bits[lane] = n_bits % 8;
    }
}

/// Adds the codes of all symbols of a page. `codes` and `lengths` are by symbol; a length is at most six.
#[allow(unsafe_code, reason = "calls code of a processor feature")]
pub(crate) fn encode_lanes(
    target: Target,
    codes: &[u8; 64],
    lengths: &[u8; 64],
    symbols: &[u8],
    lanes: &mut OpenLanes<'_>,
) {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "all is left to the reference"))]
    let mut symbols = symbols;
    #[cfg(target_arch = "x86_64")]
    if target.0 == Kind::Vbmi {
        let blocks = symbols.as_chunks().0;
        // SAFETY: the function is safe but for the features it is compiled with, and a `Target` of this kind is made only
        // by `Target::best` and `Target::all`, after `has_avx512` and `has_vbmi` found all of them.
        unsafe { blocks_by_vbmi(codes, lengths, blocks, lanes) };
        symbols = symbols.get(blocks.len() * BLOCK..).unwrap_or_default();
    }
    groups(target, codes, lengths, symbols, lanes);
}

compiled! {
    /// The reference: a lane at a time.
    fn groups(codes: &[u8; 64], lengths: &[u8; 64], symbols: &[u8], lanes: &mut OpenLanes<'_>) {
        for block in symbols.chunks(BLOCK) {
            for (lane, group) in block.chunks(GROUP).enumerate() {
                let (mut bits, mut n_bits) = (0, 0);
                for symbol in group {
                    bits |= u64::from(codes[usize::from(symbol & 63)]) << n_bits;
                    n_bits += u64::from(lengths[usize::from(symbol & 63)]);
                }
                lanes.push(lane, bits, n_bits);
            }
        }
    }
}

/// Encodes blocks.
///
/// Codes and lengths of 64 symbols are two permutations of bytes. Neighbours are joined three times, the second moved up by
/// the length of the first, until a 64-bit element has the codes of a group; those are added to eight lanes at once.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2")]
fn blocks_by_vbmi(codes: &[u8; 64], lengths: &[u8; 64], blocks: &[[u8; BLOCK]], lanes: &mut OpenLanes<'_>) {
    use std::arch::x86_64::{
        _mm512_add_epi64, _mm512_and_si512, _mm512_or_si512, _mm512_set1_epi64, _mm512_sllv_epi64, _mm512_srli_epi64,
        _mm512_srlv_epi64,
    };
    let (codes, lengths) = (of_bytes(*codes), of_bytes(*lengths));
    let (mut bits, mut n_bits, mut at) = (of_words(lanes.bits), of_words(lanes.n_bits), of_words(lanes.at));
    let (low, eights) = (_mm512_set1_epi64(7), _mm512_set1_epi64(!7));
    for block in blocks {
        for (i, symbols) in block.as_chunks::<64>().0.iter().enumerate() {
            let (joined, n_joined) = join(of_bytes(*symbols), codes, lengths);
            let all = _mm512_or_si512(bits[i], _mm512_sllv_epi64(joined, n_bits[i]));
            let n_all = _mm512_add_epi64(n_bits[i], n_joined);
            scatter(lanes.memory, at[i], all);
            bits[i] = _mm512_srlv_epi64(all, _mm512_and_si512(n_all, eights));
            n_bits[i] = _mm512_and_si512(n_all, low);
            at[i] = _mm512_add_epi64(at[i], _mm512_srli_epi64::<3>(n_all));
        }
    }
    (lanes.bits, lanes.n_bits, lanes.at) = (to_words(bits), to_words(n_bits), to_words(at));
}

/// The codes of eight symbols in each 64-bit element, and how many bits they are.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn join(symbols: Register, codes: Register, lengths: Register) -> (Register, Register) {
    use std::arch::x86_64::{
        _mm512_add_epi16, _mm512_add_epi32, _mm512_add_epi64, _mm512_and_si512, _mm512_or_si512,
        _mm512_permutexvar_epi8, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_sllv_epi16,
        _mm512_sllv_epi32, _mm512_sllv_epi64, _mm512_srli_epi16, _mm512_srli_epi32, _mm512_srli_epi64,
    };
    let (code, n) = (_mm512_permutexvar_epi8(symbols, codes), _mm512_permutexvar_epi8(symbols, lengths));
    let low = _mm512_set1_epi16(0xff);
    let (n_first, n_second) = (_mm512_and_si512(n, low), _mm512_srli_epi16::<8>(n));
    let second = _mm512_sllv_epi16(_mm512_srli_epi16::<8>(code), n_first);
    let (code, n) = (_mm512_or_si512(_mm512_and_si512(code, low), second), _mm512_add_epi16(n_first, n_second));
    let low = _mm512_set1_epi32(0xffff);
    let (n_first, n_second) = (_mm512_and_si512(n, low), _mm512_srli_epi32::<16>(n));
    let second = _mm512_sllv_epi32(_mm512_srli_epi32::<16>(code), n_first);
    let (code, n) = (_mm512_or_si512(_mm512_and_si512(code, low), second), _mm512_add_epi32(n_first, n_second));
    let low = _mm512_set1_epi64(0xffff_ffff);
    let (n_first, n_second) = (_mm512_and_si512(n, low), _mm512_srli_epi64::<32>(n));
    let second = _mm512_sllv_epi64(_mm512_srli_epi64::<32>(code), n_first);
    (_mm512_or_si512(_mm512_and_si512(code, low), second), _mm512_add_epi64(n_first, n_second))
}

/// Writes eight words, each to its byte of the memory; none beyond it, where there never is one.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code, reason = "scatters to addresses that are checked")]
fn scatter(memory: &mut [u8], at: Register, words: Register) {
    use std::arch::x86_64::{_mm512_cmple_epu64_mask, _mm512_mask_i64scatter_epi64, _mm512_set1_epi64};
    let Some(last) = memory.len().checked_sub(8).and_then(|last| i64::try_from(last).ok()) else { return };
    let is_in = _mm512_cmple_epu64_mask(at, _mm512_set1_epi64(last));
    debug_assert_eq!(is_in, 0xff);
    // SAFETY: each element of `at` whose bit is set is at most `memory.len() - 8`, so the eight bytes from there on lie in
    // `memory`, which is borrowed; the others are not written.
    unsafe { _mm512_mask_i64scatter_epi64::<1>(memory.as_mut_ptr().cast(), is_in, at, words) };
}
