//! The fast Walsh-Hadamard transform: a rotation that spreads one large channel over all of a head.
//!
//! `y[i] = Σ ±x[j]` with the sign of bit parity of `i & j`; done twice it multiplies by the width. Fino & Algazi, *Unified
//! matrix treatment of the fast Walsh-Hadamard transform*, 1976, <https://doi.org/10.1109/TC.1976.1674569>. The order of
//! additions is fixed (neighbours 1 apart first, then 2, 4, …), so that every machine rounds alike.

#[cfg(target_arch = "x86_64")]
use super::Kind;
use super::{Target, compiled};

/// Numbers in a block: what AVX-512 holds in a register.
const BLOCK: usize = 16;

/// Transforms every `width` numbers of `numbers` in place; `width` is a power of two.
#[allow(unsafe_code, reason = "calls code of a processor feature")]
pub(crate) fn walsh_hadamard(target: Target, numbers: &mut [f32], width: usize) {
    match target.0 {
        // SAFETY: the function is safe but for AVX-512 F, and a `Target` of this kind is made only after it was found.
        #[cfg(target_arch = "x86_64")]
        Kind::Vbmi | Kind::Avx512 if width >= BLOCK => unsafe {
            avx512(numbers.as_chunks_mut::<BLOCK>().0, width / BLOCK)
        },
        _ => step_by_step(target, numbers, width, 1),
    }
}

compiled! {
    /// The reference, from the step between numbers `first` apart on.
    fn step_by_step(numbers: &mut [f32], width: usize, first: usize) {
        for head in numbers.chunks_exact_mut(width.max(1)) {
            let mut near = first;
            while near < width {
                for pair in head.chunks_exact_mut(2 * near) {
                    let (a, b) = pair.split_at_mut(near);
                    for (a, b) in a.iter_mut().zip(b) {
                        (*a, *b) = (*a + *b, *a - *b);
                    }
                }
                near *= 2;
            }
        }
    }
}

/// Heads of `n_blocks` registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(blocks: &mut [[f32; BLOCK]], n_blocks: usize) {
    match n_blocks {
        4 => {
            for head in blocks.as_chunks_mut::<4>().0 {
                in_registers(head);
            }
        }
        8 => {
            for head in blocks.as_chunks_mut::<8>().0 {
                in_registers(head);
            }
        }
        _ => {
            for head in blocks.chunks_exact_mut(n_blocks.max(1)) {
                for block in head.iter_mut() {
                    *block = array(within(register(*block)));
                }
                let head = head.as_flattened_mut();
                step_by_step(Target(Kind::Avx512), head, n_blocks * BLOCK, BLOCK);
            }
        }
    }
}

/// A head that fits the registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn in_registers<const N: usize>(head: &mut [[f32; BLOCK]; N]) {
    use std::arch::x86_64::{_mm512_add_ps, _mm512_setzero_ps, _mm512_sub_ps};
    let mut x = [_mm512_setzero_ps(); N];
    for i in 0..N {
        x[i] = within(register(head[i]));
    }
    let mut near = 1;
    while near < N {
        for i in 0..N {
            if i & near == 0 {
                (x[i], x[i | near]) = (_mm512_add_ps(x[i], x[i | near]), _mm512_sub_ps(x[i], x[i | near]));
            }
        }
        near *= 2;
    }
    for i in 0..N {
        head[i] = array(x[i]);
    }
}

/// The steps inside a register: a shuffle that brings each number beside its partner, their sum, and their difference where
/// the number is the second of the two. Compilers do not find these by themselves.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn within(x: std::arch::x86_64::__m512) -> std::arch::x86_64::__m512 {
    use std::arch::x86_64::{
        __m512, __mmask16, _mm512_add_ps, _mm512_mask_sub_ps, _mm512_permute_ps, _mm512_shuffle_f32x4,
    };
    #[target_feature(enable = "avx512f")]
    fn step(x: __m512, partner: __m512, second: __mmask16) -> __m512 {
        _mm512_mask_sub_ps(_mm512_add_ps(x, partner), second, partner, x)
    }
    let x = step(x, _mm512_permute_ps::<0b10_11_00_01>(x), 0xaaaa);
    let x = step(x, _mm512_permute_ps::<0b01_00_11_10>(x), 0xcccc);
    let x = step(x, _mm512_shuffle_f32x4::<0b10_11_00_01>(x, x), 0xf0f0);
    step(x, _mm512_shuffle_f32x4::<0b01_00_11_10>(x, x), 0xff00)
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "numbers in an array and in a register are the same bits")]
#[inline(always)]
fn register(block: [f32; BLOCK]) -> std::arch::x86_64::__m512 {
    // SAFETY: both types are 64 bytes in which every bit pattern is a value.
    unsafe { std::mem::transmute(block) }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "numbers in an array and in a register are the same bits")]
#[inline(always)]
fn array(register: std::arch::x86_64::__m512) -> [f32; BLOCK] {
    // SAFETY: both types are 64 bytes in which every bit pattern is a value.
    unsafe { std::mem::transmute(register) }
}
