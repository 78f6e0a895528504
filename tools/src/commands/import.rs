//! `lagdb import`: trajectories first, then the strategies that cite them; committed in batches.

use super::ScopeOptions;
use crate::failure::{Failure, Outcome};
use crate::import::{self, Entry, EvidenceLine, ImportedRecord, StepMap, StrategyLine};
use crate::interrupt;
use crate::output::Output;
use lagdb::{
    Evidence, Id, Judgment, LexicalEmbedder, Provenance, Scope, Strategy, Trajectory, Transaction,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Records in one commit: an interrupted import keeps whole batches.
const BATCH: usize = 50;

/// What to import.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    scope: ScopeOptions,
    /// JSON lines of trajectories or strategies, or a JSON array of tau-bench conversations.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// A label for everything imported; may be given several times.
    #[arg(long)]
    label: Vec<String>,
}

/// Imports all files. All are read and checked before the first record is written.
///
/// # Errors
/// [`Failure::Line`] for the first line that is not understood or cites a trajectory that is not there; on Ctrl-C,
/// [`Failure::Interrupted`]: finished batches stay.
pub fn run(options: &Options, output: Output) -> Outcome {
    interrupt::listen();
    let (mut trajectories, mut strategies) = (Vec::new(), Vec::new());
    for path in &options.files {
        for Entry { line, record } in import::read(path)? {
            let at = Place { path: path.clone(), line };
            match record {
                ImportedRecord::Trajectory { trajectory, judgment, steps } => {
                    trajectories.push((at, trajectory, judgment, steps));
                }
                ImportedRecord::Strategy(strategy) => strategies.push((at, strategy)),
            }
        }
    }
    let scope = options.scope.open_or_create()?;
    let mut import = Import::new(&scope, &options.label, output, (trajectories.len() + strategies.len()) as u64)?;
    import.in_batches(&trajectories, Import::put_trajectory)?;
    import.in_batches(&strategies, Import::put_strategy)?;
    import.bar.finish_and_clear();
    let (n_trajectories, n_strategies) = (trajectories.len(), strategies.len());
    output.print(
        || format!("imported {n_trajectories} trajectories and {n_strategies} strategies"),
        || json!({ "schema": "lagdb.import/1", "trajectories": n_trajectories, "strategies": n_strategies }),
    )?;
    Ok(())
}

/// Where a record stood.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    line: usize,
}

impl Place {
    fn fail(&self, problem: impl Into<String>) -> Failure {
        Failure::Line { path: self.path.clone(), line: self.line, problem: problem.into() }
    }

    /// A refusal by the database, told with the line that caused it; other failures as they are.
    fn blame(&self, error: lagdb::Error) -> Failure {
        match error.kind() {
            lagdb::ErrorKind::Invalid => self.fail(error.to_string()),
            _ => error.into(),
        }
    }
}

/// A trajectory already in the scope, as evidence may cite it.
#[derive(Clone)]
struct Cited {
    id: Id<Trajectory>,
    steps: StepMap,
}

struct Import<'a> {
    scope: &'a Scope,
    labels: &'a [String],
    embedder: LexicalEmbedder,
    cited: BTreeMap<(String, u32), Cited>,
    n_committed: usize,
    bar: indicatif::ProgressBar,
}

impl<'a> Import<'a> {
    fn new(scope: &'a Scope, labels: &'a [String], output: Output, n: u64) -> Result<Self, Failure> {
        let mut cited = BTreeMap::new();
        let snapshot = scope.snapshot()?;
        for id in snapshot.ids::<Trajectory>()? {
            if let Some(Trajectory { steps, rollout: Some(rollout), .. }) = snapshot.get(id)? {
                cited.insert((rollout.group, rollout.attempt), Cited { id, steps: StepMap::identity(steps.len()) });
            }
        }
        let bar = output.progress(n, "importing");
        Ok(Self { scope, labels, embedder: LexicalEmbedder::default(), cited, n_committed: 0, bar })
    }

    fn in_batches<T>(
        &mut self,
        records: &[T],
        put: impl Fn(&mut Self, &mut Transaction, &T) -> Result<(), Failure>,
    ) -> Outcome {
        for batch in records.chunks(BATCH) {
            let mut tx = self.scope.begin()?;
            for record in batch {
                put(self, &mut tx, record)?;
                self.bar.inc(1);
            }
            tx.commit()?;
            self.n_committed += batch.len();
            if interrupt::requested() {
                return Err(Failure::Interrupted(format!("{} records were committed and stay", self.n_committed)));
            }
        }
        Ok(())
    }

    fn put_trajectory(
        &mut self,
        tx: &mut Transaction,
        (place, trajectory, judgment, steps): &(Place, Trajectory, Option<Judgment>, StepMap),
    ) -> Outcome {
        let mut trajectory = trajectory.clone();
        trajectory.labels.extend_from_slice(self.labels);
        let id = tx.put(&trajectory).map_err(|error| place.blame(error))?;
        tx.embed(id, &self.embedder.embed(&trajectory.task)).map_err(|error| place.blame(error))?;
        if let Some(judgment) = judgment {
            tx.judge(id, judgment).map_err(|error| place.blame(error))?;
        }
        if let Some(rollout) = trajectory.rollout {
            self.cited.insert((rollout.group, rollout.attempt), Cited { id, steps: steps.clone() });
        }
        Ok(())
    }

    fn put_strategy(&mut self, tx: &mut Transaction, (place, line): &(Place, StrategyLine)) -> Outcome {
        let evidence: Result<Vec<Evidence>, Failure> =
            line.evidence.iter().map(|evidence| self.resolve(place, evidence)).collect();
        let distiller = line.distiller.clone().unwrap_or_else(|| file_name(&place.path));
        let strategy = Strategy {
            title: line.title.clone(),
            description: line.description.clone(),
            content: line.content.clone(),
            kind: line.kind(),
            labels: line.labels.iter().chain(self.labels).cloned().collect(),
            action_signature: line.action_signature.clone(),
            provenance: Provenance { distiller, evidence: evidence? },
        };
        let id = tx.put(&strategy).map_err(|error| place.blame(error))?;
        let text = format!("{} {} {}", strategy.title, strategy.description, strategy.content);
        tx.embed(id, &self.embedder.embed(&text)).map_err(|error| place.blame(error))
    }

    fn resolve(&self, place: &Place, evidence: &EvidenceLine) -> Result<Evidence, Failure> {
        let rollout = (evidence.group(), evidence.attempt);
        let named = || format!("group {}, attempt {}", rollout.0, rollout.1);
        let cited = self.cited.get(&rollout).ok_or_else(|| {
            place.fail(format!("evidence cites {}, which is not in this scope; import its trajectory first", named()))
        })?;
        let (first_step, last_step) =
            cited.steps.steps(evidence.first_step, evidence.last_step).ok_or_else(|| {
                let (first, last) = (evidence.first_step, evidence.last_step);
                place.fail(format!("evidence cites steps {first} to {last}, which {} does not have", named()))
            })?;
        Ok(Evidence { trajectory: cited.id, first_step, last_step, polarity: evidence.polarity() })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
