//! What the benches beside lagdb's peers share: peers that speak Python, as a child process.

pub mod python;

/// A bench fails as a whole, with whatever went wrong.
pub type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;
