//! `cargo +nightly fuzz run encoding_byte_split`; the body is [`lagdb_fuzz::encoding_byte_split`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::encoding_byte_split(data));

#[cfg(not(fuzzing))]
fn main() {}
