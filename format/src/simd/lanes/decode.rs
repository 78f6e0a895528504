//! Symbols out of lanes.
//!
//! A symbol is found by its next six bits, lowest first, in a table of 64 bytes: the low three bits are the length of its
//! code, the rest is its own. Every six bits are some symbol, so that any bytes decode to something; who decodes compares
//! where the lanes end with where they should.

#[cfg(target_arch = "x86_64")]
use super::REGISTERS;
use super::{BLOCK, GROUP, LANES};
#[cfg(target_arch = "x86_64")]
use crate::simd::Kind;
#[cfg(target_arch = "x86_64")]
use crate::simd::registers::{Register, of_bytes, of_words, to_block, to_words};
use crate::simd::{Target, compiled};

/// Fills `out` with entries of `table`. The lanes are in `bytes`, and `positions` are the bits at which their next codes
/// begin; they are moved on. What lies beyond `bytes` is zero. All groups but the last of a page are whole, and `out` begins
/// with lane 0.
#[allow(unsafe_code, reason = "calls code of a processor feature")]
pub(crate) fn decode_lanes(
    target: Target,
    bytes: &[u8],
    table: &[u8; 64],
    positions: &mut [u64; LANES],
    out: &mut [u8],
) {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "all is left to the reference"))]
    let mut out = out;
    #[cfg(target_arch = "x86_64")]
    if target.0 == Kind::Vbmi {
        // SAFETY: the function is safe but for the features it is compiled with, and a `Target` of this kind is made only
        // by `Target::best` and `Target::all`, after `has_avx512` and `has_vbmi` found all of them.
        let n_blocks = unsafe { blocks_by_vbmi(bytes, table, positions, out.as_chunks_mut::<BLOCK>().0) };
        out = out.get_mut(n_blocks * BLOCK..).unwrap_or_default();
    }
    groups(target, bytes, table, positions, out);
}

compiled! {
    /// The reference: a lane at a time.
    fn groups(bytes: &[u8], table: &[u8; 64], positions: &mut [u64; LANES], out: &mut [u8]) {
        for block in out.chunks_mut(BLOCK) {
            let (whole, rest) = block.as_chunks_mut::<GROUP>();
            for (group, position) in whole.iter_mut().zip(positions.iter_mut()) {
                *group = next_eight(bytes, table, position);
            }
            if let Some(position) = positions.get_mut(whole.len()).filter(|_| !rest.is_empty()) {
                let from = *position;
                let group = next_eight(bytes, table, position);
                *position = from;
                for (symbol, found) in rest.iter_mut().zip(group) {
                    *symbol = found;
                    *position += u64::from(found & 7);
                }
            }
        }
    }
}

/// Eight symbols from this bit on.
#[inline(always)]
fn next_eight(bytes: &[u8], table: &[u8; 64], position: &mut u64) -> [u8; GROUP] {
    let mut bits = word_at(bytes, (*position >> 3) as usize) >> (*position & 7);
    let mut entries = 0_u64;
    for i in 0..GROUP {
        let entry = table[(bits & 63) as usize];
        bits >>= entry & 7;
        entries |= u64::from(entry) << (8 * i);
    }
    let lengths = entries & 0x0707_0707_0707_0707;
    *position += lengths.wrapping_mul(0x0101_0101_0101_0101) >> 56;
    entries.to_le_bytes()
}

/// Eight bytes from this one on; what is missing is zero.
#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|bytes| bytes.first_chunk()) {
        Some(word) => u64::from_le_bytes(*word),
        None => last_word_at(bytes, at),
    }
}

#[cold]
fn last_word_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.iter_mut().zip(bytes.iter().skip(at)).for_each(|(byte, found)| *byte = *found);
    u64::from_le_bytes(word)
}

/// Decodes blocks as long as all lanes are eight bytes before the end; how many.
///
/// The low six bits of a lane select an entry of the table (`vpermb`, which looks at no others), the entry is shifted into
/// the top of the lane's result, and the bits are shifted by its length.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2")]
fn blocks_by_vbmi(bytes: &[u8], table: &[u8; 64], positions: &mut [u64; LANES], blocks: &mut [[u8; BLOCK]]) -> usize {
    use std::arch::x86_64::{
        _mm512_add_epi64, _mm512_and_si512, _mm512_permutexvar_epi8, _mm512_sad_epu8, _mm512_set1_epi8,
        _mm512_set1_epi64, _mm512_setzero_si512, _mm512_shrdi_epi64, _mm512_srlv_epi64,
    };
    let (zero, seven, sevens) = (_mm512_setzero_si512(), _mm512_set1_epi64(7), _mm512_set1_epi8(7));
    let table = of_bytes(*table);
    let mut at = of_words(*positions);
    let mut n_blocks = 0;
    for block in blocks {
        let Some(mut bits) = words_at(bytes, at) else { break };
        let mut entries = [zero; REGISTERS];
        for (bits, at) in bits.iter_mut().zip(at) {
            *bits = _mm512_srlv_epi64(*bits, _mm512_and_si512(at, seven));
        }
        for _ in 0..GROUP {
            for i in 0..REGISTERS {
                let entry = _mm512_permutexvar_epi8(bits[i], table);
                bits[i] = _mm512_srlv_epi64(bits[i], _mm512_and_si512(entry, seven));
                entries[i] = _mm512_shrdi_epi64::<8>(entries[i], entry);
            }
        }
        for (at, entries) in at.iter_mut().zip(entries) {
            *at = _mm512_add_epi64(*at, _mm512_sad_epu8(_mm512_and_si512(entries, sevens), zero));
        }
        *block = to_block(entries);
        n_blocks += 1;
    }
    *positions = to_words(at);
    n_blocks
}

/// The eight bytes from the byte of each of these bits on; `None` when some are not in `bytes`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code, reason = "gathers from addresses that were checked")]
fn words_at(bytes: &[u8], at: [Register; REGISTERS]) -> Option<[Register; REGISTERS]> {
    use std::arch::x86_64::{_mm512_cmpgt_epu64_mask, _mm512_i64gather_epi64, _mm512_set1_epi64, _mm512_srli_epi64};
    let last = _mm512_set1_epi64(i64::try_from(bytes.len().checked_sub(8)?).ok()?);
    let at = at.map(|at| _mm512_srli_epi64::<3>(at));
    if at.iter().fold(0, |beyond, at| beyond | _mm512_cmpgt_epu64_mask(*at, last)) != 0 {
        return None;
    }
    // SAFETY: each element of `at` is at most `bytes.len() - 8`, so the eight bytes from there on lie in `bytes`; they need
    // not be aligned.
    Some(at.map(|at| unsafe { _mm512_i64gather_epi64::<1>(at, bytes.as_ptr().cast()) }))
}
