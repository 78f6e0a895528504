//! The parts of the `lagdb` command, as a library so that tests and benches can call them.

pub mod commands;
pub mod train;
pub mod world;
