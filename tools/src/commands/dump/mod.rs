//! `lagdb dump`: bytes beside the names that the format's description gives them.

mod segment;

use crate::failure::Outcome;
use crate::output::Output;

/// What to dump.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// A segment file, sound or damaged: every field with its offset and the name that FORMAT.md gives it.
    Segment(segment::Options),
}

/// Prints what was asked for.
///
/// # Errors
/// When the file cannot be read, or is damaged.
pub fn run(options: &Options, output: Output) -> Outcome {
    match &options.what {
        What::Segment(options) => segment::run(options, output),
    }
}
