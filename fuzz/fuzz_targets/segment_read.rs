//! `cargo +nightly fuzz run segment_read`; the body is [`lagdb_fuzz::segment_read`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::segment_read(data));

#[cfg(not(fuzzing))]
fn main() {}
