//! `cargo +nightly fuzz run model_tokenizer`; the body is [`lagdb_fuzz::model_tokenizer`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::model_tokenizer(data));

#[cfg(not(fuzzing))]
fn main() {}
