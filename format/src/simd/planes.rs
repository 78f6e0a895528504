//! Numbers of a few bits, one after the other without gaps: from the lowest bit of the first byte on.
//!
//! Eight numbers of `n_bits` are `n_bits` bytes. They are spread over the eight bytes of a word in three steps: its halves
//! apart, then the halves of those, then of those.

#[cfg(target_arch = "x86_64")]
use super::Kind;
#[cfg(target_arch = "x86_64")]
use super::registers::{of_bytes, to_bytes};
use super::{Target, compiled};

/// Numbers whose bits fill whole bytes.
const GROUP: usize = 8;

/// Writes the numbers of `n_bits` (1 to 8) bits in `packed` to `out`, a byte each; what is missing is zero.
#[allow(unsafe_code, reason = "calls code of a processor feature")]
pub(crate) fn unpack_bits(target: Target, n_bits: u32, packed: &[u8], out: &mut [u8]) {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "all is left to the reference"))]
    let (mut packed, mut out) = (packed, out);
    if n_bits == 8 {
        let n = packed.len().min(out.len());
        out[..n].copy_from_slice(&packed[..n]);
        out[n..].fill(0);
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if target.0 == Kind::Vbmi {
        // SAFETY: the function is safe but for the features it is compiled with, and a `Target` of this kind is made only
        // by `Target::best` and `Target::all`, after `has_avx512` and `has_vbmi` found all of them.
        let n_blocks = unsafe { by_vbmi(n_bits, packed, out.as_chunks_mut().0) };
        packed = packed.get(n_blocks * GROUP * n_bits as usize..).unwrap_or_default();
        out = out.get_mut(n_blocks * 64..).unwrap_or_default();
    }
    groups(target, n_bits, packed, out);
}

compiled! {
    /// The reference: eight numbers at a time.
    fn groups(n_bits: u32, packed: &[u8], out: &mut [u8]) {
        let (whole, rest) = out.as_chunks_mut::<GROUP>();
        let mut packed = packed;
        for group in whole {
            *group = spread(next_word(n_bits, &mut packed), n_bits).to_le_bytes();
        }
        let last = spread(next_word(n_bits, &mut packed), n_bits).to_le_bytes();
        rest.iter_mut().zip(last).for_each(|(number, found)| *number = found);
    }
}

/// The next `n_bits` bytes, taken off `packed`; above them are others, or zeros.
#[inline(always)]
fn next_word(n_bits: u32, packed: &mut &[u8]) -> u64 {
    let word = match packed.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => {
            let mut word = [0; 8];
            word.iter_mut().zip(packed.iter()).for_each(|(byte, found)| *byte = *found);
            u64::from_le_bytes(word)
        }
    };
    *packed = packed.get(n_bits as usize..).unwrap_or_default();
    word
}

/// Eight numbers of `n` bits to a byte each.
#[inline(always)]
fn spread(word: u64, n: u32) -> u64 {
    let low = |bits: u32| (1_u64 << bits) - 1;
    let x = word & low(4 * n) | ((word >> (4 * n)) & low(4 * n)) << 32;
    let half = low(2 * n) * 0x1_0000_0001;
    let x = x & half | ((x >> (2 * n)) & half) << 16;
    let quarter = low(n) * 0x1_0001_0001_0001;
    x & quarter | ((x >> n) & quarter) << 8
}

/// As [`spread`], the other way.
#[inline(always)]
fn squeeze(word: u64, n: u32) -> u64 {
    let word = word & (((1 << n) - 1) * 0x0101_0101_0101_0101);
    let x = word & 0x00ff_00ff_00ff_00ff | (word >> 8 & 0x00ff_00ff_00ff_00ff) << n;
    let x = x & 0x0000_ffff_0000_ffff | (x >> 16 & 0x0000_ffff_0000_ffff) << (2 * n);
    x & 0xffff_ffff | (x >> 32) << (4 * n)
}

/// Appends numbers of `n_bits` (1 to 8) bits; bits above are left out, and the last byte is filled up with zeros.
#[allow(unsafe_code, reason = "calls code of a processor feature")]
pub(crate) fn pack_bits(target: Target, n_bits: u32, numbers: &[u8], out: &mut Vec<u8>) {
    if n_bits == 8 {
        return out.extend_from_slice(numbers);
    }
    let start = out.len();
    let n_bytes = (numbers.len() * n_bits as usize).div_ceil(8);
    // Whole words are written where fewer bytes count.
    out.resize(start + n_bytes + 64, 0);
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "all is left to the reference"))]
    let (mut numbers, mut room) = (numbers, out.get_mut(start..).unwrap_or_default());
    #[cfg(target_arch = "x86_64")]
    if target.0 == Kind::Vbmi {
        let (blocks, rest) = numbers.as_chunks();
        // SAFETY: the function is safe but for the features it is compiled with, and a `Target` of this kind is made only
        // by `Target::best` and `Target::all`, after `has_avx512` and `has_vbmi` found all of them.
        unsafe { pack_by_vbmi(n_bits, blocks, room) };
        numbers = rest;
        room = room.get_mut(blocks.len() * GROUP * n_bits as usize..).unwrap_or_default();
    }
    pack_groups(target, n_bits, numbers, room);
    out.truncate(start + n_bytes);
}

compiled! {
    /// The reference: eight numbers at a time.
    fn pack_groups(n_bits: u32, numbers: &[u8], room: &mut [u8]) {
        let n_bytes = n_bits as usize;
        let (whole, rest) = numbers.as_chunks::<GROUP>();
        let mut room = room;
        for group in whole {
            if let Some(word) = room.first_chunk_mut() {
                *word = squeeze(u64::from_le_bytes(*group), n_bits).to_le_bytes();
            }
            room = room.get_mut(n_bytes..).unwrap_or_default();
        }
        let mut last = [0; GROUP];
        last.iter_mut().zip(rest).for_each(|(last, number)| *last = *number);
        if let Some(word) = room.first_chunk_mut() {
            *word = squeeze(u64::from_le_bytes(last), n_bits).to_le_bytes();
        }
    }
}

/// Sixty-four numbers at a time, as long as there are 64 bytes to load; how many times.
///
/// `vpermb` puts the bytes of eight numbers into each 64-bit element, and `vpmultishiftqb` takes the bits of each out of it.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2")]
fn by_vbmi(n_bits: u32, packed: &[u8], out: &mut [[u8; 64]]) -> usize {
    use std::arch::x86_64::{
        _mm512_and_si512, _mm512_multishift_epi64_epi8, _mm512_permutexvar_epi8, _mm512_set1_epi8,
    };
    let n = n_bits as usize;
    let (mut bytes, mut shifts) = ([0; 64], [0; 64]);
    for i in 0..64 {
        bytes[i] = (i / 8 * n + i % 8) as u8;
        shifts[i] = (i % 8 * n) as u8;
    }
    let (bytes, shifts) = (of_bytes(bytes), of_bytes(shifts));
    let low = _mm512_set1_epi8(((1_u32 << n_bits) - 1) as i8);
    let mut packed = packed;
    let mut n_blocks = 0;
    for out in out {
        let Some(block) = packed.first_chunk::<64>() else { break };
        let words = _mm512_permutexvar_epi8(bytes, of_bytes(*block));
        *out = to_bytes(_mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, words), low));
        packed = packed.get(8 * n..).unwrap_or_default();
        n_blocks += 1;
    }
    n_blocks
}

/// As [`by_vbmi`], the other way: bits are moved together in words of 16, of 32 and of 64, bytes by `vpermb`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2")]
fn pack_by_vbmi(n_bits: u32, numbers: &[[u8; 64]], room: &mut [u8]) {
    use std::arch::x86_64::{
        _mm_cvtsi32_si128, _mm512_and_si512, _mm512_or_si512, _mm512_permutexvar_epi8, _mm512_set1_epi8,
        _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_epi64, _mm512_sll_epi16, _mm512_sll_epi32, _mm512_sll_epi64,
        _mm512_srli_epi16, _mm512_srli_epi32, _mm512_srli_epi64,
    };
    let n = n_bits as usize;
    let mut bytes = [0; 64];
    (0..8 * n).for_each(|i| bytes[i] = (i / n * 8 + i % n) as u8);
    let bytes = of_bytes(bytes);
    let low = _mm512_set1_epi8(((1_u32 << n_bits) - 1) as i8);
    let [once, twice, four] = [1, 2, 4].map(|times| _mm_cvtsi32_si128(times * n_bits as i32));
    let mut room = room;
    for block in numbers {
        let x = _mm512_and_si512(of_bytes(*block), low);
        let (first, second) = (_mm512_and_si512(x, _mm512_set1_epi16(0xff)), _mm512_srli_epi16::<8>(x));
        let x = _mm512_or_si512(first, _mm512_sll_epi16(second, once));
        let (first, second) = (_mm512_and_si512(x, _mm512_set1_epi32(0xffff)), _mm512_srli_epi32::<16>(x));
        let x = _mm512_or_si512(first, _mm512_sll_epi32(second, twice));
        let (first, second) = (_mm512_and_si512(x, _mm512_set1_epi64(0xffff_ffff)), _mm512_srli_epi64::<32>(x));
        let x = _mm512_or_si512(first, _mm512_sll_epi64(second, four));
        if let Some(room) = room.first_chunk_mut() {
            *room = to_bytes(_mm512_permutexvar_epi8(bytes, x));
        }
        room = room.get_mut(8 * n..).unwrap_or_default();
    }
}
