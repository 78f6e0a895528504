//! `lagdb inspect`: what lies in a segment, and where a strategy or a trajectory comes from.

mod segment;
mod strategy;
mod trajectory;

use crate::failure::Outcome;
use crate::output::Output;

/// What to look at.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Segments of a database, or row groups and pages of one: sizes, encodings, ratios.
    Segment(segment::Options),
    /// One strategy with its provenance.
    Strategy(strategy::Options),
    /// One trajectory with its judgments, strategies and KV logs.
    Trajectory(trajectory::Options),
}

/// Prints what was asked for.
///
/// # Errors
/// When it is not there, or damaged.
pub fn run(options: &Options, output: Output) -> Outcome {
    match &options.what {
        What::Segment(options) => segment::run(options, output),
        What::Strategy(options) => strategy::run(options, output),
        What::Trajectory(options) => trajectory::run(options, output),
    }
}
