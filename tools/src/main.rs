//! The `lagdb` command: parses the command line, runs one command, turns its end into an exit code.

use clap::Parser;
use lagdb_tools::commands::{self, Command};
use lagdb_tools::failure::Failure;
use lagdb_tools::output::Output;
use lagdb_tools::threads;
use std::process::ExitCode;

/// An embedded memory for agents: trajectories, strategies and KV logs in one commit.
///
/// Exit codes: 0 done; 1 wrong input or call; 2 wrong command line; 3 corrupt data or a failed check; 4 the database is
/// open elsewhere; 5 disk, permissions or another trouble of the machine; 130 interrupted.
#[derive(Parser)]
#[command(name = "lagdb", version, max_term_width = 100)]
struct CommandLine {
    /// Print JSON on standard output.
    #[arg(long, global = true)]
    json: bool,
    /// No progress and no remarks on standard error.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let output = Output { json: line.json, quiet: line.quiet };
    threads::settle(&line.command);
    match commands::run(line.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has read enough, as `head` does.
        Err(Failure::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            // Errors are said even when quiet.
            Output { quiet: false, ..output }.say(format!("lagdb: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}
