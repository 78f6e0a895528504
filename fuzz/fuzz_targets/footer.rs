//! `cargo +nightly fuzz run footer`; the body is [`lagdb_fuzz::footer`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::footer(data));

#[cfg(not(fuzzing))]
fn main() {}
