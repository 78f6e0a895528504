//! `cargo +nightly fuzz run store_power_cuts`; the body is [`lagdb_fuzz::store_power_cuts`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| lagdb_fuzz::store_power_cuts(data));

#[cfg(not(fuzzing))]
fn main() {}
