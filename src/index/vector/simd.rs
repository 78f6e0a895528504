//! Dot products of int8 codes: one scalar reference, and the same sums with AVX-512 VNNI or AVX2 where the machine has
//! them.
//!
//! A code is an unsigned byte, a number plus 128; the query is signed. The upper halves of the bytes of all rows lie in
//! one *plane*, the lower halves in another, so that half of the memory tells most of a score: a walk reads the upper plane
//! of many rows and the lower one of a few. A byte of a plane holds half a byte of two numbers, 64 apart: byte `j` of block
//! `b` has number `128 b + j` in its lower four bits and number `128 b + 64 + j` in its upper four.
//!
//! Sums are integers: every machine gives the same ones. They fit an `i32`, for no embedding has more than 65,536 numbers
//! (127 · 255 each).
//!
//! The exceptions from the ban on `unsafe` of this crate stand here: calling a function that was compiled for a feature
//! of the processor, loading as many bytes as it computes with, and telling it which are needed soon.

/// Numbers per row are a multiple of this; what is missing is zero in the query.
pub(super) const BLOCK: usize = 128;

/// How many rows ahead the processor is told about.
const AHEAD: usize = 16;

/// One plane of rows, side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plane<'a> {
    /// `[n, stride]`
    pub(super) bytes: &'a [u8],
    /// Bytes per row, a multiple of [`BLOCK`] / 2.
    pub(super) stride: usize,
}

impl<'a> Plane<'a> {
    /// A row; empty beyond the last one.
    pub(super) fn row(self, node: u32) -> &'a [u8] {
        let start = node as usize * self.stride;
        self.bytes.get(start..start + self.stride).unwrap_or_default()
    }
}

/// Sets `dots` to the dot products of `query` with the halves of bytes in the rows `nodes` of `plane`, which it fetches
/// unless they `are_coming`.
pub(super) fn dot_rows(query: &[i8], plane: Plane<'_>, nodes: &[u32], are_coming: bool, dots: &mut Vec<i32>) {
    dots.clear();
    let ahead = if are_coming { 0 } else { AHEAD };
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512vnni")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512f")
        {
            // SAFETY: the processor has the three features, as was just asked.
            #[allow(unsafe_code)]
            return unsafe { x86::each_row_vnni(query, plane, nodes, ahead, dots) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the feature, as was just asked.
            #[allow(unsafe_code)]
            return unsafe { x86::each_row_avx2(query, plane, nodes, ahead, dots) };
        }
    }
    dots.extend(nodes.iter().map(|node| dot(query, plane.row(*node))));
}

/// The reference.
fn dot(query: &[i8], row: &[u8]) -> i32 {
    let blocks = query.as_chunks::<BLOCK>().0.iter().zip(row.as_chunks::<{ BLOCK / 2 }>().0);
    let of_block = |(query, bytes): (&[i8; BLOCK], &[u8; BLOCK / 2])| -> i32 {
        let (first, second) = query.split_at(BLOCK / 2);
        let halves = bytes.iter().map(|byte| (i32::from(byte & 15), i32::from(byte >> 4)));
        let products = halves.zip(first.iter().zip(second));
        products.map(|((low, high), (a, b))| low * i32::from(*a) + high * i32::from(*b)).sum()
    };
    blocks.map(of_block).sum()
}

/// Tells the processor that these are needed soon.
#[inline(always)]
pub(super) fn prefetch<T>(soon: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..size_of_val(soon)).step_by(64) {
        // SAFETY: a hint about memory that `soon` borrows; it reads nothing and cannot fault.
        #[allow(unsafe_code)]
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(soon.as_ptr().cast::<i8>().wrapping_add(at));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = soon;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{BLOCK, Plane, prefetch};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn each_row_vnni(query: &[i8], plane: Plane<'_>, nodes: &[u32], ahead: usize, dots: &mut Vec<i32>) {
        let query = query.as_chunks::<BLOCK>().0;
        let half = _mm512_set1_epi8(15);
        each_row(plane, nodes, ahead, dots, |row| {
            let (mut low, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
            for (q, r) in query.iter().zip(row.as_chunks::<64>().0) {
                let bytes = load512(r);
                let ([first, second], _) = q.as_chunks::<64>() else { continue };
                low = _mm512_dpbusd_epi32(low, _mm512_and_si512(bytes, half), load512(first));
                let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), half);
                high = _mm512_dpbusd_epi32(high, upper, load512(second));
            }
            _mm512_reduce_add_epi32(_mm512_add_epi32(low, high))
        });
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn each_row_avx2(query: &[i8], plane: Plane<'_>, nodes: &[u32], ahead: usize, dots: &mut Vec<i32>) {
        let query = query.as_chunks::<BLOCK>().0;
        let (half, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
        each_row(plane, nodes, ahead, dots, |row| {
            let mut sums = _mm256_setzero_si256();
            for (q, r) in query.iter().zip(row.as_chunks::<64>().0) {
                let ([q0, q1, q2, q3], _) = q.as_chunks::<32>() else { continue };
                for (bytes, [first, second]) in r.as_chunks::<32>().0.iter().zip([[q0, q2], [q1, q3]]) {
                    let bytes = load256(bytes);
                    let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), half);
                    // Two products of at most 15 · 127 each: they fit 16 bits, and so do four.
                    let low = _mm256_maddubs_epi16(_mm256_and_si256(bytes, half), load256(first));
                    let pairs = _mm256_add_epi16(low, _mm256_maddubs_epi16(upper, load256(second)));
                    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, ones));
                }
            }
            let halves = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
            let pairs = _mm_add_epi32(halves, _mm_unpackhi_epi64(halves, halves));
            _mm_cvtsi128_si32(pairs) + _mm_extract_epi32::<1>(pairs)
        });
    }

    #[target_feature(enable = "avx512f")]
    fn load512<T: Byte>(bytes: &[T; 64]) -> __m512i {
        // SAFETY: reads the 64 bytes that are borrowed, at any alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm512_loadu_si512(bytes.as_ptr().cast())
        }
    }

    #[target_feature(enable = "avx")]
    fn load256<T: Byte>(bytes: &[T; 32]) -> __m256i {
        // SAFETY: reads the 32 bytes that are borrowed, at any alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm256_loadu_si256(bytes.as_ptr().cast())
        }
    }

    /// One byte wide.
    trait Byte {}
    impl Byte for i8 {}
    impl Byte for u8 {}

    /// Inlined into its two callers, so that it is compiled for their features.
    #[inline(always)]
    fn each_row(plane: Plane<'_>, nodes: &[u32], ahead: usize, dots: &mut Vec<i32>, dot: impl Fn(&[u8]) -> i32) {
        nodes.iter().take(ahead).for_each(|node| prefetch(plane.row(*node)));
        for (i, node) in nodes.iter().enumerate() {
            if ahead > 0
                && let Some(later) = nodes.get(i + ahead)
            {
                prefetch(plane.row(*later));
            }
            dots.push(dot(plane.row(*node)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_kernel_gives_the_sums_of_the_reference(
            (query, bytes) in (1usize..5).prop_flat_map(|n| {
                (proptest::collection::vec(-127i8..=127, n * BLOCK), proptest::collection::vec(any::<u8>(), n * BLOCK / 2 * 9))
            }),
        ) {
            let plane = Plane { bytes: &bytes, stride: query.len() / 2 };
            let nodes = [3, 0, 8, 8, 1, 2, 7, 4, 99];
            let expected: Vec<i32> = nodes.iter().map(|node| dot(&query, plane.row(*node))).collect();
            let mut dots = Vec::new();
            dot_rows(&query, plane, &nodes, false, &mut dots);
            prop_assert_eq!(&dots, &expected);
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                dots.clear();
                // SAFETY: the processor has the feature.
                #[allow(unsafe_code)]
                unsafe { x86::each_row_avx2(&query, plane, &nodes, AHEAD, &mut dots) };
                prop_assert_eq!(&dots, &expected);
            }
        }
    }

    #[test]
    fn the_largest_sum_fits() {
        let n = crate::record::limits::EMBEDDING_DIM.next_multiple_of(BLOCK);
        let mut dots = Vec::new();
        dot_rows(&vec![-127; n], Plane { bytes: &vec![255; n / 2], stride: n / 2 }, &[0], true, &mut dots);
        assert_eq!(i64::from(dots[0]), -127 * 15 * n as i64);
        // What is added up of both planes.
        assert!(i32::try_from(17 * i64::from(dots[0])).is_ok());
    }
}
