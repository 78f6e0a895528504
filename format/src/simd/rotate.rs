//! The fast Walsh-Hadamard transform: a rotation that spreads one large channel over all of a head.
//!
//! `y[i] = Σ ±x[j]` with the sign of bit parity of `i & j`; done twice it multiplies by the width. Fino & Algazi, *Unified
//! matrix treatment of the fast Walsh-Hadamard transform*, 1976, <https://doi.org/10.1109/TC.1976.1674569>. The order of
//! additions is fixed (neighbours 1 apart first, then 2, 4, …), so that every machine rounds alike.

use super::{Kind, Target, compiled};

/// Numbers in a block: what AVX-512 holds in a register.
const BLOCK: usize = 16;

/// Transforms every `width` numbers of `numbers` in place; `width` is a power of two.
pub(crate) fn walsh_hadamard(target: Target, numbers: &mut [f32], width: usize) {
    if width >= BLOCK {
        within_blocks(target, numbers);
        across(target, numbers, width, BLOCK);
    } else {
        across(target, numbers, width, 1);
    }
}

compiled! {
    /// The steps between numbers at least `near` apart.
    fn across(numbers: &mut [f32], width: usize, near: usize) {
        for head in numbers.chunks_exact_mut(width.max(1)) {
            let mut near = near;
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

/// The steps between numbers 1, 2, 4 and 8 apart. Compilers do not find the shuffles by themselves.
#[allow(unsafe_code, reason = "calls code of a processor feature")]
fn within_blocks(target: Target, numbers: &mut [f32]) {
    let blocks = numbers.as_chunks_mut::<BLOCK>().0;
    match target.0 {
        // SAFETY: the function is safe but for AVX-512 F, and a `Target` of this kind is made only after it was found.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { avx512(blocks) },
        _ => blocks.iter_mut().for_each(|block| *block = within(*block)),
    }
}

/// The reference.
fn within(mut x: [f32; BLOCK]) -> [f32; BLOCK] {
    for quad in x.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *quad;
        let [a, b, c, d] = [a + b, a - b, c + d, c - d];
        *quad = [a + c, b + d, a - c, b - d];
    }
    let [a, b, c, d] = [0, 4, 8, 12].map(|i| std::array::from_fn::<f32, 4, _>(|j| x[i + j]));
    for i in 0..4 {
        let [a, b, c, d] = [a[i] + b[i], a[i] - b[i], c[i] + d[i], c[i] - d[i]];
        (x[i], x[4 + i], x[8 + i], x[12 + i]) = (a + c, b + d, a - c, b - d);
    }
    x
}

/// A step is a shuffle that brings each number beside its partner, their sum, and their difference where the number is the
/// second of the two.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "numbers in a register and in an array are the same bits")]
#[target_feature(enable = "avx512f")]
fn avx512(blocks: &mut [[f32; BLOCK]]) {
    use std::arch::x86_64::{
        __m512, __mmask16, _mm512_add_ps, _mm512_mask_sub_ps, _mm512_permute_ps, _mm512_shuffle_f32x4,
    };
    #[target_feature(enable = "avx512f")]
    fn step(x: __m512, partner: __m512, second: __mmask16) -> __m512 {
        _mm512_mask_sub_ps(_mm512_add_ps(x, partner), second, partner, x)
    }
    for block in blocks {
        // SAFETY: both types are 64 bytes in which every bit pattern is a value.
        let x: __m512 = unsafe { std::mem::transmute(*block) };
        let x = step(x, _mm512_permute_ps::<0b10_11_00_01>(x), 0xaaaa);
        let x = step(x, _mm512_permute_ps::<0b01_00_11_10>(x), 0xcccc);
        let x = step(x, _mm512_shuffle_f32x4::<0b10_11_00_01>(x, x), 0xf0f0);
        let x = step(x, _mm512_shuffle_f32x4::<0b01_00_11_10>(x, x), 0xff00);
        // SAFETY: as above.
        *block = unsafe { std::mem::transmute::<__m512, [f32; BLOCK]>(x) };
    }
}
