//! `cargo +nightly fuzz run model_gguf`; the body is [`lagdb_fuzz::model_gguf`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::model_gguf(data));

#[cfg(not(fuzzing))]
fn main() {}
