//! `cargo +nightly fuzz run store_ops`; the body is [`lagdb_fuzz::store_ops`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::store_ops(data));

#[cfg(not(fuzzing))]
fn main() {}
