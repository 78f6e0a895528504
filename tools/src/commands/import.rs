//! `lagdb import`: trajectories first, then the strategies that cite them; committed in batches.

use super::ScopeOptions;
use crate::failure::{Failure, Outcome};
use crate::import::{self, Entry, EvidenceLine, ImportedRecord, ImportedTrajectory, Place, StepMap, StrategyLine};
use crate::interrupt;
use crate::output::Output;
use lagdb::{Evidence, Id, LexicalEmbedder, Provenance, Record, Scope, Strategy, Trajectory, Transaction};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

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
/// [`Failure::Input`] for the first line that is not understood, is already there, or cites a trajectory that is not;
/// on Ctrl-C, [`Failure::Interrupted`]: finished batches stay.
pub fn run(options: &Options, output: Output) -> Outcome {
    interrupt::listen();
    let (mut trajectories, mut strategies) = (Vec::new(), Vec::new());
    for path in &options.files {
        for Entry { place, record } in import::read(path)? {
            match record {
                ImportedRecord::Trajectory(trajectory) => trajectories.push((place, trajectory)),
                ImportedRecord::Strategy(strategy) => strategies.push((place, strategy)),
            }
        }
    }
    label(&mut trajectories, &mut strategies, &options.label);
    let scope = options.scope.open_or_create()?;
    let mut cited = Cited::of(&scope)?;
    trajectories.iter().try_for_each(|(place, trajectory)| cited.add(place, trajectory))?;
    strategies.iter().try_for_each(|(place, strategy)| cited.check(place, strategy))?;
    let n = (trajectories.len() + strategies.len()) as u64;
    let mut import =
        Import { scope: &scope, cited, embedder: LexicalEmbedder::default(), bar: output.progress(n, "importing") };
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

fn label(
    trajectories: &mut [(Place, ImportedTrajectory)],
    strategies: &mut [(Place, StrategyLine)],
    labels: &[String],
) {
    trajectories.iter_mut().for_each(|(_, imported)| imported.trajectory.labels.extend_from_slice(labels));
    strategies.iter_mut().for_each(|(_, strategy)| strategy.labels.extend_from_slice(labels));
}

/// A rollout group and an attempt.
type Attempt = (String, u32);

/// The trajectories that evidence may cite: those in the scope, and those about to be imported.
#[derive(Default)]
struct Cited(BTreeMap<Attempt, Target>);

/// A trajectory as evidence finds it.
#[derive(Clone)]
struct Target {
    /// Its number, once it is stored.
    id: Option<Id<Trajectory>>,
    /// Which step each message became; `None` when only the recording knew.
    steps: Option<StepMap>,
}

impl Cited {
    fn of(scope: &Scope) -> Result<Self, Failure> {
        let mut cited = Self::default();
        let snapshot = scope.snapshot()?;
        for id in snapshot.ids::<Trajectory>()? {
            if let Some(Trajectory { steps, labels, rollout: Some(rollout), .. }) = snapshot.get(id)? {
                let counts_messages = labels.iter().any(|label| label == import::COUNTS_MESSAGES);
                let steps = (!counts_messages).then(|| StepMap::identity(steps.len()));
                cited.0.insert((rollout.group, rollout.attempt), Target { id: Some(id), steps });
            }
        }
        Ok(cited)
    }

    /// Takes in a trajectory that will be imported, after checking it.
    fn add(&mut self, place: &Place, imported: &ImportedTrajectory) -> Outcome {
        imported.trajectory.check().map_err(|error| place.fail(error))?;
        imported.judgment.iter().try_for_each(|judgment| judgment.check().map_err(|error| place.fail(error)))?;
        let Some(rollout) = &imported.trajectory.rollout else { return Ok(()) };
        let attempt = (rollout.group.clone(), rollout.attempt);
        let target = Target { id: None, steps: Some(imported.steps.clone()) };
        match self.0.insert(attempt, target) {
            Some(_) => Err(place.fail(format!("{} is already there", named(&rollout.group, rollout.attempt)))),
            None => Ok(()),
        }
    }

    /// Whether a strategy can be stored once the trajectories are.
    fn check(&self, place: &Place, line: &StrategyLine) -> Outcome {
        line.evidence.iter().try_for_each(|evidence| self.resolve(place, evidence).map(|_| ()))?;
        line.strategy(place, Vec::new()).check().map_err(|error| place.fail(error))
    }

    /// The trajectory that evidence cites, and its steps.
    fn resolve(&self, place: &Place, evidence: &EvidenceLine) -> Result<(Option<Id<Trajectory>>, u32, u32), Failure> {
        let name = || named(&evidence.group(), evidence.attempt);
        let target = self.0.get(&(evidence.group(), evidence.attempt)).ok_or_else(|| {
            place.fail(format!("evidence cites {}, which is not in this scope; import its trajectory first", name()))
        })?;
        let steps = target.steps.as_ref().ok_or_else(|| {
            place.fail(format!("evidence counts the messages of {}; import it together with its recording", name()))
        })?;
        let (first, last) = (evidence.first_step, evidence.last_step);
        let (first_step, last_step) = steps.steps(first, last).ok_or_else(|| {
            place.fail(format!("evidence cites steps {first} to {last}, which {} does not have", name()))
        })?;
        Ok((target.id, first_step, last_step))
    }
}

fn named(group: &str, attempt: u32) -> String {
    format!("group {group}, attempt {attempt}")
}

struct Import<'a> {
    scope: &'a Scope,
    cited: Cited,
    embedder: LexicalEmbedder,
    bar: indicatif::ProgressBar,
}

impl Import<'_> {
    fn in_batches<T>(
        &mut self,
        records: &[T],
        put: impl Fn(&mut Self, &mut Transaction, &T) -> Result<(), Failure>,
    ) -> Outcome {
        for batch in records.chunks(BATCH) {
            if interrupt::requested() {
                return Err(Failure::Interrupted(format!("{} records were committed and stay", self.bar.position())));
            }
            let mut tx = self.scope.begin()?;
            batch.iter().try_for_each(|record| put(self, &mut tx, record))?;
            tx.commit()?;
            self.bar.inc(batch.len() as u64);
        }
        Ok(())
    }

    fn put_trajectory(&mut self, tx: &mut Transaction, (_, imported): &(Place, ImportedTrajectory)) -> Outcome {
        let trajectory = &imported.trajectory;
        let id = tx.put(trajectory)?;
        tx.embed(id, &self.embedder.embed(&trajectory.task))?;
        // What was imported before is there already, judgment and all.
        let judged = tx.judgments(id)?;
        imported.judgment.iter().filter(|judgment| !judged.contains(judgment)).try_for_each(|j| tx.judge(id, j))?;
        if let Some(rollout) = &trajectory.rollout {
            let target = self.cited.0.get_mut(&(rollout.group.clone(), rollout.attempt));
            target.into_iter().for_each(|target| target.id = Some(id));
        }
        Ok(())
    }

    fn put_strategy(&mut self, tx: &mut Transaction, (place, line): &(Place, StrategyLine)) -> Outcome {
        let mut evidence = Vec::with_capacity(line.evidence.len());
        for cited in &line.evidence {
            let (id, first_step, last_step) = self.cited.resolve(place, cited)?;
            // Trajectories come first, so every one that is cited has its number by now.
            let trajectory = id.ok_or_else(|| place.fail("evidence cites a trajectory that was not stored"))?;
            evidence.push(Evidence { trajectory, first_step, last_step, polarity: cited.polarity() });
        }
        let strategy = line.strategy(place, evidence);
        let id = tx.put(&strategy)?;
        let text = format!("{} {} {}", strategy.title, strategy.description, strategy.content);
        Ok(tx.embed(id, &self.embedder.embed(&text))?)
    }
}

impl StrategyLine {
    fn strategy(&self, place: &Place, evidence: Vec<Evidence>) -> Strategy {
        let file_name = || place.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Strategy {
            kind: self.kind(),
            labels: self.labels.clone(),
            action_signatures: self.action_signature.iter().filter(|it| !it.is_empty()).cloned().collect(),
            provenance: Provenance { distiller: self.distiller.clone().unwrap_or_else(file_name), evidence },
            ..Strategy::new(&self.title, &self.description, &self.content)
        }
    }
}
