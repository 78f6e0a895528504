//! `cargo +nightly fuzz run model_chat_template`; the body is [`lagdb_fuzz::model_chat_template`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::model_chat_template(data));

#[cfg(not(fuzzing))]
fn main() {}
