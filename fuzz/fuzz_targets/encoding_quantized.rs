//! `cargo +nightly fuzz run encoding_quantized`; the body is [`lagdb_fuzz::encoding_quantized`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::encoding_quantized(data));

#[cfg(not(fuzzing))]
fn main() {}
