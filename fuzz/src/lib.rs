//! What fuzzing tries: plain functions of bytes that panic when a promise is broken.
//!
//! `fuzz_targets/` hands them to libFuzzer (`cargo +nightly fuzz run <target>`); `tests/corpus.rs` replays the kept
//! corpus on a stable compiler (`cargo test`, in this folder). One file per area, one function per target; a new one
//! is named in [`TARGETS`], in `Cargo.toml` and in `fuzz_targets/`.

mod encoding;
mod segment;

pub use encoding::encoding_byte_split;
pub use segment::{segment_read, segment_round_trip};

/// The body of a fuzz target.
pub type Target = fn(&[u8]);

/// Every target, by the name of its folder in `corpus/`.
pub const TARGETS: [(&str, Target); 3] = [
    ("segment_read", segment_read),
    ("segment_round_trip", segment_round_trip),
    ("encoding_byte_split", encoding_byte_split),
];
