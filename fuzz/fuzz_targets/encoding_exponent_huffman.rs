//! `cargo +nightly fuzz run encoding_exponent_huffman`; the body is [`lagdb_fuzz::encoding_exponent_huffman`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::encoding_exponent_huffman(data));

#[cfg(not(fuzzing))]
fn main() {}
