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
    codes: [u8; LANES] => x86::__m128i;
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
