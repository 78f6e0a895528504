//! The `lagdb` command.

use clap::{Parser, Subcommand};
use lagdb_tools::commands;
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    TrainDemoModel(commands::train::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::TrainDemoModel(args) => commands::train::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}: {error:?}");
            ExitCode::FAILURE
        }
    }
}
