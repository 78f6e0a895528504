//! Numbers in arrays and in registers: the same bits.

use super::{Codes, Halves, LANES};
use std::arch::x86_64 as x86;

macro_rules! same_bits {
    ($($name:ident: $from:ty => $to:ty;)*) => {$(
        #[allow(unsafe_code, reason = "numbers in an array and in a register are the same bits")]
        #[inline(always)]
        pub(super) fn $name(from: $from) -> $to {
            // SAFETY: both types are as many bytes, which `transmute` checks, and every bit pattern of them is a value.
            unsafe { std::mem::transmute(from) }
        }
    )*};
}
same_bits! {
    halves: Halves => x86::__m256i;
    floats: [f32; LANES] => x86::__m512;
    array: x86::__m512 => [f32; LANES];
    code_bits: Codes => x86::__m128i;
    eight: x86::__m256 => [f32; 8];
    narrowed: x86::__m256i => Halves;
    half_pairs: Halves => [x86::__m128i; 2];
    float_pairs: [f32; LANES] => [x86::__m256; 2];
    array_of_pairs: [x86::__m256; 2] => [f32; LANES];
    narrowed_pairs: [x86::__m128i; 2] => Halves;
}

/// Codes as numbers.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn wide(codes: Codes) -> x86::__m512 {
    x86::_mm512_cvtepi32_ps(x86::_mm512_cvtepi8_epi32(code_bits(codes)))
}

/// Codes as numbers, the lower eight first.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn wide_pairs(codes: Codes) -> [x86::__m256; 2] {
    let codes = code_bits(codes);
    [codes, x86::_mm_unpackhi_epi64(codes, codes)]
        .map(|codes| x86::_mm256_cvtepi32_ps(x86::_mm256_cvtepi8_epi32(codes)))
}
