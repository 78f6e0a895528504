//! Numbers of two bytes as f32. Widening is exact; of f16, a signalling NaN becomes a quiet one, as processors have it.

#[cfg(target_arch = "x86_64")]
use super::Kind;
use super::{Target, compiled};
use half::f16;

compiled! {
    /// A bf16 is the upper half of an f32.
    fn widen_bf16(numbers: &[[u8; 2]], out: &mut [f32]) {
        for (x, number) in out.iter_mut().zip(numbers) {
            *x = f32::from_bits(u32::from(u16::from_le_bytes(*number)) << 16);
        }
    }
}

/// Widens as many numbers as there is room for.
#[allow(unsafe_code, reason = "calls code of a processor feature")]
pub(crate) fn widen_f16(target: Target, numbers: &[[u8; 2]], out: &mut [f32]) {
    #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "all is left to the reference"))]
    let (mut numbers, mut out) = (numbers, out);
    #[cfg(target_arch = "x86_64")]
    if target.0 != Kind::Portable {
        let n = match target.0 {
            // SAFETY: the function is safe but for AVX-512 F, and a `Target` of these kinds is made only after
            // `has_avx512` found it.
            Kind::Vbmi | Kind::Avx512 => unsafe { by_16(numbers.as_chunks().0, out.as_chunks_mut().0) },
            // SAFETY: as above, of AVX2 and F16C, after `has_avx2`.
            _ => unsafe { by_8(numbers.as_chunks().0, out.as_chunks_mut().0) },
        };
        numbers = numbers.get(n..).unwrap_or_default();
        out = out.get_mut(n..).unwrap_or_default();
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
    for (x, number) in out.iter_mut().zip(numbers) {
        *x = f16::from_le_bytes(*number).to_f32();
    }
}

/// Sixteen at a time; how many.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn by_16(numbers: &[[[u8; 2]; 16]], out: &mut [[f32; 16]]) -> usize {
    use super::registers::{of_sixteen, to_sixteen};
    for (out, numbers) in out.iter_mut().zip(numbers) {
        *out = to_sixteen(std::arch::x86_64::_mm512_cvtph_ps(of_sixteen(*numbers)));
    }
    16 * out.len().min(numbers.len())
}

/// Eight at a time; how many.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,f16c")]
fn by_8(numbers: &[[[u8; 2]; 8]], out: &mut [[f32; 8]]) -> usize {
    use super::registers::{of_eight, to_eight};
    for (out, numbers) in out.iter_mut().zip(numbers) {
        *out = to_eight(std::arch::x86_64::_mm256_cvtph_ps(of_eight(*numbers)));
    }
    8 * out.len().min(numbers.len())
}
