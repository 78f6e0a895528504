//! The subcommands of `lagdb`, one a file: each has its arguments and a `run`.

pub mod train;
