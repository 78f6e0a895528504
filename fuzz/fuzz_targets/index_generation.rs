//! `cargo +nightly fuzz run index_generation`; the body is [`lagdb_fuzz::index_generation`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::index_generation(data));

#[cfg(not(fuzzing))]
fn main() {}
