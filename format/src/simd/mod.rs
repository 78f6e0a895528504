//! The loops that decide how fast pages are read, compiled for several processors and chosen at run time.
//!
//! A loop is written once, as safe Rust, and compiled three times: for AVX-512, for AVX2 and for whatever the program is
//! built for (which on AArch64 has NEON). Rust neither fuses nor reorders float arithmetic, so all three give the same
//! bits, and tests compare them; but for sums over `codes`, of which nothing is stored. Where compilers do not find the instructions (permutations of bytes, above all), a loop of
//! intrinsics stands beside the one that says what it does. The crate has `unsafe` here and in `crc.rs` only: calling what
//! needs a processor feature, loads and stores at addresses that were checked, and asking for memory ahead.

mod bounds;
mod codes;
mod expand;
mod floats;
mod lanes;
mod marks;
mod planes;
#[cfg(target_arch = "x86_64")]
mod registers;
mod rotate;
mod shrink;
#[cfg(test)]
mod tests;
mod widen;

pub(crate) use bounds::{BoundSums, add_bounds};
pub(crate) use codes::{CodeRows, add_dots, add_rows, scale, transpose};
pub(crate) use expand::{expand_4_by_channel, expand_8_by_channel, expand_8_by_token, join_halves, split_halves};
pub(crate) use floats::{
    Layout, Parts, References, exponents_16, exponents_32, join_16, join_32, join_f32, mantissas_16, mantissas_32,
    pairs, parts_of, symbols_16, symbols_32,
};
pub(crate) use lanes::{LANES, LONGEST_CODE, OpenLanes, decode_lanes, encode_lanes};
pub(crate) use marks::{find_marked, merge_marked, replace};
pub(crate) use planes::{pack_bits, unpack_bits};
pub(crate) use rotate::walsh_hadamard;
pub(crate) use shrink::{DifferenceSums, add_differences, extremes_by_channel, extremes_by_token};
pub(crate) use shrink::{pack_halves, shrink_by_channel, shrink_by_token};
pub(crate) use widen::{widen_bf16, widen_f16};

/// A processor that loops were compiled for, and that this one is: there is no other way to get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// AVX-512 that also permutes bytes.
    #[cfg(target_arch = "x86_64")]
    Vbmi,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Target {
    /// The widest this machine has. Asking costs a load; the answer is kept by the standard library.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                return Self(if has_vbmi() { Kind::Vbmi } else { Kind::Avx512 });
            }
            if has_avx2() {
                return Self(Kind::Avx2);
            }
        }
        Self(Kind::Portable)
    }

    /// Every target this machine can run, the reference first.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let mut targets = vec![Self(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            targets.extend(has_avx2().then_some(Self(Kind::Avx2)));
            targets.extend(has_avx512().then_some(Self(Kind::Avx512)));
            targets.extend((has_avx512() && has_vbmi()).then_some(Self(Kind::Vbmi)));
        }
        targets
    }
}

/// Every feature that `compiled` enables for AVX2, and those of its loops of intrinsics: what widens f16 and what fuses.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("f16c")
        && std::arch::is_x86_feature_detected!("fma")
}

/// What permutes bytes and shifts pairs of registers; beside all of [`has_avx512`].
#[cfg(target_arch = "x86_64")]
fn has_vbmi() -> bool {
    std::arch::is_x86_feature_detected!("avx512vbmi") && std::arch::is_x86_feature_detected!("avx512vbmi2")
}

/// Every feature that `compiled` enables for AVX-512.
#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512vl")
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
        #[allow(clippy::too_many_arguments, reason = "slices of one page")]
        pub(crate) fn $name(target: $crate::simd::Target, $($arg: $type),*) {
            #[inline(always)]
            fn portable($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn by_avx512($($arg: $type),*) {
                $avx512($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,bmi2,fma")]
            fn by_avx2($($arg: $type),*) {
                $avx2($($arg),*)
            }
            match target.0 {
                // SAFETY: the function is safe but for the features it is compiled with, and a `Target` of this kind
                // is made only by `Target::best` and `Target::all`, after `has_avx512` found all four of them.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Kind::Vbmi | $crate::simd::Kind::Avx512 => unsafe { by_avx512($($arg),*) },
                // SAFETY: as above, after `has_avx2` found all three.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Kind::Avx2 => unsafe { by_avx2($($arg),*) },
                $crate::simd::Kind::Portable => portable($($arg),*),
            }
        }
    };
}
use compiled;
