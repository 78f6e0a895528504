//! `cargo +nightly fuzz run segment_round_trip`; the body is [`lagdb_fuzz::segment_round_trip`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::segment_round_trip(data));

#[cfg(not(fuzzing))]
fn main() {}
