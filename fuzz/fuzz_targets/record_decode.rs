//! `cargo +nightly fuzz run record_decode`; the body is [`lagdb_fuzz::record_decode`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::record_decode(data));

#[cfg(not(fuzzing))]
fn main() {}
