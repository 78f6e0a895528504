//! `cargo +nightly fuzz run agent_items`; the body is [`lagdb_fuzz::agent_items`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::agent_items(data));

#[cfg(not(fuzzing))]
fn main() {}
