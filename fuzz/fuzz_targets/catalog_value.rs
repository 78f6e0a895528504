//! `cargo +nightly fuzz run catalog_value`; the body is [`lagdb_fuzz::catalog_value`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::catalog_value(data));

#[cfg(not(fuzzing))]
fn main() {}
