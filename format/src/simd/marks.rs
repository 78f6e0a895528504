//! Bytes that stand out: which of 64 are at least as large as a bound, as bits; and bytes replaced by a table.

#[cfg(target_arch = "x86_64")]
use super::registers::{of_bytes, to_bytes};
use super::{Kind, Target, compiled};

/// Calls `found` with the place of each byte that is at least `least`, in order.
pub(crate) fn find_marked(target: Target, bytes: &[u8], least: u8, mut found: impl FnMut(usize)) {
    let (blocks, rest) = bytes.as_chunks::<64>();
    let mut marks = [0; 16];
    for (i, blocks) in blocks.chunks(marks.len()).enumerate() {
        mark(target, blocks, least, &mut marks);
        for (j, marks) in marks.iter().take(blocks.len()).enumerate() {
            let mut marks = *marks;
            while marks != 0 {
                found(64 * (16 * i + j) + marks.trailing_zeros() as usize);
                marks &= marks - 1;
            }
        }
    }
    let start = bytes.len() - rest.len();
    rest.iter().enumerate().filter(|(_, byte)| **byte >= least).for_each(|(i, _)| found(start + i));
}

/// Replaces every byte of `others` beside a byte of `bytes` that is at least `least` by the next of `source`, or by 0 when
/// there are no more; how many.
#[allow(unsafe_code, reason = "calls code of a processor feature")]
pub(crate) fn merge_marked(target: Target, bytes: &[u8], least: u8, source: &[u8], others: &mut [u8]) -> usize {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "all is left to the reference"))]
    let (mut done, mut n) = (0, 0);
    #[cfg(target_arch = "x86_64")]
    if target.0 == Kind::Vbmi {
        let (blocks, others) = (bytes.as_chunks().0, others.as_chunks_mut().0);
        // SAFETY: the function is safe but for the features it is compiled with, and a `Target` of this kind is made only
        // by `Target::best` and `Target::all`, after `has_avx512` and `has_vbmi` found all of them.
        (done, n) = unsafe { merge_by_vbmi(blocks, least, source, others) };
    }
    let others = others.get_mut(64 * done..).unwrap_or_default();
    let bytes = bytes.get(64 * done..).unwrap_or_default();
    find_marked(target, bytes, least, |i| {
        if let Some(other) = others.get_mut(i) {
            *other = source.get(n).copied().unwrap_or(0);
        }
        n += 1;
    });
    n
}

/// Merges blocks as long as there are 64 bytes of `source` to load; how many, and how many bytes of it went into them.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
fn merge_by_vbmi(blocks: &[[u8; 64]], least: u8, source: &[u8], others: &mut [[u8; 64]]) -> (usize, usize) {
    use std::arch::x86_64::{_mm512_cmpge_epu8_mask, _mm512_mask_expand_epi8, _mm512_set1_epi8};
    let (least, mut n, mut done) = (_mm512_set1_epi8(least as i8), 0, 0);
    for (block, others) in blocks.iter().zip(others) {
        let Some(next) = source.get(n..).and_then(|source| source.first_chunk::<64>()) else { break };
        let marks = _mm512_cmpge_epu8_mask(of_bytes(*block), least);
        *others = to_bytes(_mm512_mask_expand_epi8(of_bytes(*others), marks, of_bytes(*next)));
        n += marks.count_ones() as usize;
        done += 1;
    }
    (done, n)
}

/// The bytes of each block that are at least `least`, the first as the lowest bit.
#[allow(unsafe_code, reason = "calls code of a processor feature")]
fn mark(target: Target, blocks: &[[u8; 64]], least: u8, marks: &mut [u64]) {
    match target.0 {
        // SAFETY: the function is safe but for AVX-512 F and BW, and a `Target` of these kinds is made only after
        // `has_avx512` found them.
        #[cfg(target_arch = "x86_64")]
        Kind::Vbmi | Kind::Avx512 => unsafe { mark_avx512(blocks, least, marks) },
        // SAFETY: as above, after `has_avx2`.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { mark_avx2(blocks, least, marks) },
        Kind::Portable => {
            for (marks, block) in marks.iter_mut().zip(blocks) {
                let is_marked = |(i, byte): (usize, &u8)| u64::from(*byte >= least) << i;
                *marks = block.iter().enumerate().map(is_marked).fold(0, |all, mark| all | mark);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn mark_avx512(blocks: &[[u8; 64]], least: u8, marks: &mut [u64]) {
    use std::arch::x86_64::{_mm512_cmpge_epu8_mask, _mm512_set1_epi8};
    for (marks, block) in marks.iter_mut().zip(blocks) {
        *marks = _mm512_cmpge_epu8_mask(of_bytes(*block), _mm512_set1_epi8(least as i8));
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn mark_avx2(blocks: &[[u8; 64]], least: u8, marks: &mut [u64]) {
    use super::registers::of_half;
    use std::arch::x86_64::{_mm256_cmpeq_epi8, _mm256_max_epu8, _mm256_movemask_epi8, _mm256_set1_epi8};
    let least = _mm256_set1_epi8(least as i8);
    for (marks, block) in marks.iter_mut().zip(blocks) {
        *marks = block.as_chunks::<32>().0.iter().rev().fold(0, |marks, half| {
            let half = of_half(*half);
            let found = _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(half, least), half));
            marks << 32 | u64::from(found as u32)
        });
    }
}

/// Replaces every byte, all below 64, by that of the table.
#[allow(unsafe_code, reason = "calls code of a processor feature")]
pub(crate) fn replace(target: Target, table: &[u8; 64], bytes: &mut [u8]) {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "all is left to the reference"))]
    let mut bytes = bytes;
    #[cfg(target_arch = "x86_64")]
    if target.0 == Kind::Vbmi {
        let (blocks, rest) = bytes.as_chunks_mut();
        // SAFETY: the function is safe but for AVX-512 F and VBMI, and a `Target` of this kind is made only after
        // `has_avx512` and `has_vbmi` found them.
        unsafe { replace_vbmi(table, blocks) };
        bytes = rest;
    }
    replace_each(target, table, bytes);
}

compiled! {
    /// The reference.
    fn replace_each(table: &[u8; 64], bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = table[usize::from(*byte & 63)]);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vbmi")]
fn replace_vbmi(table: &[u8; 64], blocks: &mut [[u8; 64]]) {
    use std::arch::x86_64::_mm512_permutexvar_epi8;
    let table = of_bytes(*table);
    for block in blocks {
        *block = to_bytes(_mm512_permutexvar_epi8(of_bytes(*block), table));
    }
}
