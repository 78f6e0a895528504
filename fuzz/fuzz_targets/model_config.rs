//! `cargo +nightly fuzz run model_config`; the body is [`lagdb_fuzz::model_config`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::model_config(data));

#[cfg(not(fuzzing))]
fn main() {}
