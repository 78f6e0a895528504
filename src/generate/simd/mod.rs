//! The loops that decide how fast attention over rows of f16 and of eight bits is, compiled for several processors and chosen at run time.
//!
//! As in `lagdb-format`, a loop is written once as safe Rust and compiled for AVX-512, for AVX2 and for whatever the program
//! is built for. What stands in intrinsics, for both of them, are the loops over f16, since compilers do not widen f16 by
//! themselves, and products with codes of eight bits, which they do not keep in registers; where a processor does not either, sessions hold f32 unless they are told otherwise.
//! Unlike there, results may differ in the last bit from one processor to another: multiplication and addition are fused
//! where the processor can. The generator has `unsafe` in this folder only: calling what needs a processor feature.

mod bytes;
mod dots;
mod heads;
mod products;
#[cfg(target_arch = "x86_64")]
mod registers;
mod softmax;
mod table;
#[cfg(test)]
mod tests;

pub(super) use bytes::{BLOCK, narrow_row, scale_weights, widen_rows};
pub(super) use dots::{byte_dots, dots};
pub(super) use heads::narrow_heads;
pub(super) use products::{Columns, add_byte_products, add_products};
pub(super) use softmax::{exponentials, softmax};
pub(super) use table::dot_blocks;

/// Numbers that are computed together.
pub(super) const LANES: usize = 16;

/// Bits of f16 numbers that are neighbours in a row. Bits, because memory for zeroed integers costs nothing until it is used.
pub(super) type Halves = [u16; LANES];

/// Codes of eight bits that are neighbours in a row.
pub(super) type Codes = [i8; LANES];

/// A processor that loops were compiled for, and that this one is: there is no other way to get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Target {
    /// The widest this machine has. Asking costs a load; the answer is kept by the standard library.
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return Self(Kind::Avx512);
            }
            if has_avx2() {
                return Self(Kind::Avx2);
            }
        }
        Self(Kind::Portable)
    }

    /// Whether f16 is widened many at a time: without, attention over f16 is slower than over f32.
    pub(super) fn widens_f16(self) -> bool {
        self.0 != Kind::Portable
    }

    /// Every target this machine can run, the reference first.
    #[cfg(test)]
    fn all() -> Vec<Self> {
        let mut targets = vec![Self(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            targets.extend(has_avx2().then_some(Self(Kind::Avx2)));
            targets.extend(std::arch::is_x86_feature_detected!("avx512f").then_some(Self(Kind::Avx512)));
        }
        targets
    }
}

/// Every feature that `compiled` enables for AVX2.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c")
}

/// Compiles one safe function for every target; the caller says which. Functions of intrinsics that are named after `by`
/// take its place for AVX-512 and for AVX2.
macro_rules! compiled {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) by $avx512:path, $avx2:path; $body:block) => {
        compiled!(@targets $(#[$doc])* $name($($arg: $type),*) ($avx512) ($avx2) $body);
    };
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        compiled!(@targets $(#[$doc])* $name($($arg: $type),*) (portable) (portable) $body);
    };
    (@targets $(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) ($avx512:path) ($avx2:path) $body:block) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "calls code of a processor feature")]
        #[allow(clippy::too_many_arguments, reason = "slices and the steps between their rows")]
        pub(in crate::generate) fn $name(target: $crate::generate::simd::Target, $($arg: $type),*) {
            #[inline(always)]
            fn portable($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            fn by_avx512($($arg: $type),*) {
                $avx512($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn by_avx2($($arg: $type),*) {
                $avx2($($arg),*)
            }
            match target.0 {
                // SAFETY: the function is safe but for AVX-512 F, and a `Target` of this kind is made only by
                // `Target::best` and `Target::all`, after it was found.
                #[cfg(target_arch = "x86_64")]
                $crate::generate::simd::Kind::Avx512 => unsafe { by_avx512($($arg),*) },
                // SAFETY: as above, after `has_avx2` found all three.
                #[cfg(target_arch = "x86_64")]
                $crate::generate::simd::Kind::Avx2 => unsafe { by_avx2($($arg),*) },
                $crate::generate::simd::Kind::Portable => portable($($arg),*),
            }
        }
    };
}
use compiled;
