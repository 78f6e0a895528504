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
    of_half: [u8; 32] => x86::__m256i;
    of_bytes: [u8; 64] => Register;
    to_bytes: Register => [u8; 64];
    of_words: [u64; 32] => [Register; 4];
    to_words: [Register; 4] => [u64; 32];
    to_block: [Register; 4] => [u8; 256];
}
