//! Dot products of int8 codes: one scalar reference, and the same sums with AVX-512 VNNI or AVX2 where the machine has
//! them.
//!
//! A row is stored as unsigned bytes, each number plus 128; the query is signed. So `dpbusd` can be used as it is, and
//! the sum is too large by `128 · Σ query`, which the caller knows once per query. Sums are integers: every machine gives
//! the same ones. They fit an `i32` up to 66,000 numbers (127 · 255 each), and no embedding has more than 65,536.
//!
//! The exceptions from the ban on `unsafe` of this crate stand here: calling a function that was compiled for a feature
//! of the processor, loading as many bytes as it computes with, and telling it which are needed soon.

/// Numbers per row are a multiple of this; what is missing is zero in the query.
pub(super) const LANES: usize = 64;

/// How many rows ahead the processor is told about.
const AHEAD: usize = 4;

/// Rows of one length, side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// `[n, stride]`
    pub(super) bytes: &'a [u8],
    /// Bytes per row, a multiple of [`LANES`].
    pub(super) stride: usize,
}

impl<'a> Rows<'a> {
    /// A row; empty beyond the last one.
    pub(super) fn row(self, node: u32) -> &'a [u8] {
        let start = node as usize * self.stride;
        self.bytes.get(start..start + self.stride).unwrap_or_default()
    }
}

/// Sets `dots` to the dot products of `query` with the rows `nodes`, each too large by `128 · Σ query`.
pub(super) fn dot_rows(query: &[i8], rows: Rows<'_>, nodes: &[u32], dots: &mut Vec<i32>) {
    dots.clear();
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512vnni")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512f")
        {
            // SAFETY: the processor has the three features, as was just asked.
            #[allow(unsafe_code)]
            return unsafe { x86::each_row_vnni(query, rows, nodes, dots) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the feature, as was just asked.
            #[allow(unsafe_code)]
            return unsafe { x86::each_row_avx2(query, rows, nodes, dots) };
        }
    }
    dots.extend(nodes.iter().map(|node| dot(query, rows.row(*node))));
}

/// The reference.
fn dot(query: &[i8], row: &[u8]) -> i32 {
    query.iter().zip(row).map(|(q, r)| i32::from(*q) * i32::from(*r)).sum()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{AHEAD, LANES, Rows};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn each_row_vnni(query: &[i8], rows: Rows<'_>, nodes: &[u32], dots: &mut Vec<i32>) {
        let query = query.as_chunks::<LANES>().0;
        each_row(rows, nodes, dots, |row| {
            let mut sums = _mm512_setzero_si512();
            for (q, r) in query.iter().zip(row.as_chunks::<LANES>().0) {
                sums = _mm512_dpbusd_epi32(sums, load512(r), load512(q));
            }
            _mm512_reduce_add_epi32(sums)
        });
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn each_row_avx2(query: &[i8], rows: Rows<'_>, nodes: &[u32], dots: &mut Vec<i32>) {
        let query = query.as_chunks::<16>().0;
        each_row(rows, nodes, dots, |row| {
            let mut sums = _mm256_setzero_si256();
            for (q, r) in query.iter().zip(row.as_chunks::<16>().0) {
                let products = _mm256_madd_epi16(_mm256_cvtepu8_epi16(load128(r)), _mm256_cvtepi8_epi16(load128(q)));
                sums = _mm256_add_epi32(sums, products);
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

    #[target_feature(enable = "sse2")]
    fn load128<T: Byte>(bytes: &[T; 16]) -> __m128i {
        // SAFETY: reads the 16 bytes that are borrowed, at any alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm_loadu_si128(bytes.as_ptr().cast())
        }
    }

    /// One byte wide.
    trait Byte {}
    impl Byte for i8 {}
    impl Byte for u8 {}

    /// Inlined into its two callers, so that it is compiled for their features.
    #[inline(always)]
    fn each_row(rows: Rows<'_>, nodes: &[u32], dots: &mut Vec<i32>, dot: impl Fn(&[u8]) -> i32) {
        nodes.iter().take(AHEAD).for_each(|node| prefetch(rows.row(*node)));
        for (i, node) in nodes.iter().enumerate() {
            if let Some(later) = nodes.get(i + AHEAD) {
                prefetch(rows.row(*later));
            }
            dots.push(dot(rows.row(*node)));
        }
    }

    #[inline(always)]
    fn prefetch(row: &[u8]) {
        for line in row.as_chunks::<64>().0 {
            // SAFETY: a hint about memory that `line` borrows; it reads nothing and cannot fault.
            #[allow(unsafe_code)]
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
            }
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
                (proptest::collection::vec(-127i8..=127, n * LANES), proptest::collection::vec(any::<u8>(), n * LANES * 9))
            }),
        ) {
            let rows = Rows { bytes: &bytes, stride: query.len() };
            let nodes = [3, 0, 8, 8, 1, 2, 7, 4, 99];
            let expected: Vec<i32> = nodes.iter().map(|node| dot(&query, rows.row(*node))).collect();
            let mut dots = Vec::new();
            dot_rows(&query, rows, &nodes, &mut dots);
            prop_assert_eq!(&dots, &expected);
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                dots.clear();
                // SAFETY: the processor has the feature.
                #[allow(unsafe_code)]
                unsafe { x86::each_row_avx2(&query, rows, &nodes, &mut dots) };
                prop_assert_eq!(&dots, &expected);
            }
        }
    }

    #[test]
    fn the_largest_sum_fits() {
        let n = crate::record::limits::EMBEDDING_DIM.next_multiple_of(LANES);
        let mut dots = Vec::new();
        dot_rows(&vec![-127; n], Rows { bytes: &vec![255; n], stride: n }, &[0], &mut dots);
        assert_eq!(i64::from(dots[0]), -127 * 255 * n as i64);
    }
}
