//! Numbers in arrays and in registers: the same bits.

use std::arch::x86_64 as x86;
pub(super) use x86::__m512i as Register;

macro_rules! same_bits {
    ($($name:ident: $from:ty => $to:ty;)*) => {$(
        #[allow(unsafe_code, reason = "numbers in an array and in registers are the same bits")]
        #[inline(always)]
        pub(super) fn $name(from: $from) -> $to {
            // SAFETY: both types are as many bytes, which `transmute` checks, and every bit pattern of them is a value.
            unsafe { std::mem::transmute(from) }
        }
    )*};
}
same_bits! {
    of_eight: [[u8; 2]; 8] => x86::__m128i;
    to_eight: x86::__m256 => [f32; 8];
    of_sixteen: [[u8; 2]; 16] => x86::__m256i;
    to_sixteen: x86::__m512 => [f32; 16];
    of_floats: [f32; 16] => x86::__m512;
    of_eight_floats: [f32; 8] => x86::__m256;
    of_codes: [u8; 16] => x86::__m128i;
    to_codes: x86::__m128i => [u8; 16];
    of_half: [u8; 32] => x86::__m256i;
    of_bytes: [u8; 64] => Register;
    to_bytes: Register => [u8; 64];
    of_words: [u64; 32] => [Register; 4];
    to_words: [Register; 4] => [u64; 32];
    to_block: [Register; 4] => [u8; 256];
}

/// Asks for the line of memory where `bytes` begin.
#[allow(unsafe_code, reason = "takes an address")]
#[inline(always)]
pub(super) fn fetch(bytes: &[u8]) {
    // SAFETY: SSE is part of every x86-64, and a prefetch is a hint: it reads nothing and faults nowhere.
    unsafe { x86::_mm_prefetch::<{ x86::_MM_HINT_T0 }>(bytes.as_ptr().cast()) }
}
