//! The commands, one per file.

pub mod backup;
pub mod compact;
pub mod contrast;
pub mod dump;
pub mod generate;
pub mod guard;
pub mod import;
pub mod info;
pub mod inspect;
pub mod learn;
pub mod purge;
pub mod search;
pub mod train;
pub mod verify;

use crate::demo;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use lagdb::{Database, Error, Scope};
use std::path::{Path, PathBuf};

/// What `lagdb` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show an agent that gets better because it remembers (start here).
    Demo(demo::Options),
    /// What memory is worth, measured beside an agent without one.
    Learn(learn::Options),
    /// Generate text with a local model, with or without a memory.
    Generate(generate::Options),
    /// Import trajectories and strategies.
    Import(import::Options),
    /// Find trajectories or strategies by what they are about.
    Search(search::Options),
    /// What failures taught about an action, before it is taken.
    Guard(guard::Options),
    /// The best success beside the failure nearest to it.
    Contrast(contrast::Options),
    /// What a database holds and what it costs.
    Info(info::Options),
    /// Look inside: segments, row groups, pages, trajectories, strategies.
    Inspect(inspect::Options),
    /// The bytes of a segment beside the names of its format.
    Dump(dump::Options),
    /// Check every checksum, record and page.
    Verify(verify::Options),
    /// Give back the space of what was deleted.
    Compact(compact::Options),
    /// Erase a trajectory and everything derived from it, from every file.
    Purge(purge::Options),
    /// Copy the latest commit into a directory of its own, with a manifest of digests.
    Backup(backup::BackupOptions),
    /// Make a database of a backup.
    Restore(backup::RestoreOptions),
    /// Train the demo model from a seed; its card is tools/demo-model/MODEL_CARD.md.
    TrainDemoModel(train::Args),
}

/// Runs one command.
///
/// # Errors
/// As the command fails.
pub fn run(command: Command, output: Output) -> Outcome {
    match command {
        Command::Demo(options) => demo::run(&options, output),
        Command::Learn(options) => learn::run(&options, output),
        Command::Generate(options) => generate::run(&options, output),
        Command::Import(options) => import::run(&options, output),
        Command::Search(options) => search::run(&options, output),
        Command::Guard(options) => guard::run(&options, output),
        Command::Contrast(options) => contrast::run(&options, output),
        Command::Info(options) => info::run(&options, output),
        Command::Inspect(options) => inspect::run(&options, output),
        Command::Dump(options) => dump::run(&options, output),
        Command::Verify(options) => verify::run(&options, output),
        Command::Compact(options) => compact::run(&options, output),
        Command::Purge(options) => purge::run(&options, output),
        Command::Backup(options) => backup::backup(&options, output),
        Command::Restore(options) => backup::restore(&options, output),
        Command::TrainDemoModel(args) => Ok(train::run(args, output)?),
    }
}

/// Which database, for commands that use one that exists.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseOptions {
    /// The database directory.
    #[arg(long)]
    pub db: PathBuf,
}

impl DatabaseOptions {
    /// Opens it; it must exist.
    ///
    /// # Errors
    /// When it is not there, damaged, or open elsewhere.
    pub fn open(&self) -> Result<Database, Failure> {
        Ok(Database::options().create(false).open(&self.db)?)
    }

    /// Opens it only to be read where another process has it open.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn open_to_read(&self) -> Result<Database, Failure> {
        open_to_read(&self.db)
    }
}

fn open_to_read(path: &Path) -> Result<Database, Failure> {
    match Database::options().create(false).open(path) {
        Err(Error::Locked { .. }) => Ok(Database::options().read_only(true).open(path)?),
        opened => Ok(opened?),
    }
}

/// Which part of a database.
#[derive(Clone, Debug, clap::Args)]
pub struct ScopeOptions {
    /// The database directory.
    #[arg(long)]
    pub db: PathBuf,
    /// The scope: whose memory it is.
    #[arg(long, default_value = "default")]
    pub scope: String,
}

impl ScopeOptions {
    /// Opens the scope; both must exist.
    ///
    /// # Errors
    /// When one is not there, or the database is damaged or open elsewhere.
    pub fn open(&self) -> Result<Scope, Failure> {
        self.in_database(Database::options().create(false).open(&self.db)?)
    }

    /// Opens the scope only to be read where another process has the database open.
    ///
    /// # Errors
    /// When one is not there, or the database is damaged.
    pub fn open_to_read(&self) -> Result<Scope, Failure> {
        self.in_database(open_to_read(&self.db)?)
    }

    fn in_database(&self, database: Database) -> Result<Scope, Failure> {
        let scopes = database.admin().scopes()?;
        if !scopes.contains(&self.scope) {
            let shown = scopes.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
            let detail = format!("there is no {:?} in {}; it has: {shown}", self.scope, self.db.display());
            return Err(Error::invalid("--scope", detail).into());
        }
        Ok(database.scope(&self.scope)?)
    }

    /// Opens the scope, creating the database where there is none.
    ///
    /// # Errors
    /// When the database is damaged or open elsewhere, or cannot be created.
    pub fn open_or_create(&self) -> Result<Scope, Failure> {
        Ok(Database::open(&self.db)?.scope(&self.scope)?)
    }
}
