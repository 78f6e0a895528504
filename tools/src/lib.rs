//! The parts of the `lagdb` command, as a library so that tests and benches can call them.

pub mod commands;
pub mod demo;
pub mod failure;
pub mod import;
mod interrupt;
mod journal;
pub mod learn;
mod memory;
pub mod output;
mod parallel;
pub mod qa;
pub mod questions;
pub mod replay;
pub mod serving;
pub mod statistics;
pub mod threads;
pub mod tool_choice;
pub mod train;
mod word_level;
pub mod world;
