//! All trials, stored as an agent stores them: one task a commit, recall before it and record after it, both timed.

use super::{Half, Trial, check_interrupt};
use crate::failure::Failure;
use crate::output::Output;
use crate::statistics::median;
use cpu_time::ProcessTime;
use lagdb::{Database, Id, LexicalEmbedder, Outcome, Query, Scope, Trajectory};
use std::path::Path;
use std::time::Instant;

/// Trajectories recalled for a task.
pub(super) const N_RECALLED: usize = 3;

/// The trials in a database.
pub(super) struct Stored {
    /// Keeps everything open.
    pub(super) database: Database,
    /// Where the trials are.
    pub(super) scope: Scope,
    /// In the order in which they were stored.
    pub(super) trials: Vec<Trial>,
    /// Their numbers, in the same order.
    pub(super) ids: Vec<Id<Trajectory>>,
    /// What the memory cost, in ms.
    pub(super) overhead: Overhead,
}

/// Over tasks, in ms; medians of wall time where not said otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overhead {
    /// Embedding the task, and searching among what is stored by then.
    pub(super) recall_ms_p50: f64,
    /// Trajectory, judgment and embedding in one durable commit.
    pub(super) record_ms_p50: f64,
    /// Both.
    pub(super) total_ms_p50: f64,
    /// Both, in ms of the processor: the mean. What a busy machine and its disk add is not in it.
    pub(super) cpu_ms: f64,
}

/// Stores `trials` in a new database.
///
/// # Errors
/// When the database cannot be written; on Ctrl-C, [`Failure::Interrupted`].
pub(super) fn store(path: &Path, trials: Vec<Trial>, output: Output) -> Result<Stored, Failure> {
    let database = Database::open(path)?;
    let scope = database.scope("replay")?;
    let embedder = LexicalEmbedder::default();
    let bar = output.progress(trials.len() as u64, "storing");
    let (mut ids, mut recall, mut record) = (Vec::with_capacity(trials.len()), Vec::new(), Vec::new());
    let cpu = ProcessTime::now();
    for trial in &trials {
        check_interrupt()?;
        let start = Instant::now();
        let embedding = embedder.embed(&trial.trajectory.task);
        let query = Query::near(embedding.clone()).outcome(Outcome::Success).limit(N_RECALLED);
        scope.snapshot()?.search::<Trajectory>(&query)?;
        recall.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        let mut tx = scope.begin()?;
        let id = tx.put_new(&trial.trajectory)?;
        tx.judge(id, &trial.judgment)?;
        tx.embed(id, &embedding)?;
        tx.commit()?;
        record.push(start.elapsed().as_secs_f64() * 1e3);
        ids.push(id);
        bar.inc(1);
    }
    let cpu_ms = cpu.elapsed().as_secs_f64() * 1e3 / trials.len().max(1) as f64;
    bar.finish_and_clear();
    let total = recall.iter().zip(&record).map(|(a, b)| a + b).collect();
    let overhead =
        Overhead { recall_ms_p50: median(recall), record_ms_p50: median(record), total_ms_p50: median(total), cpu_ms };
    Ok(Stored { database, scope, trials, ids, overhead })
}

impl Stored {
    /// Trials with their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (Id<Trajectory>, &Trial)> {
        self.ids.iter().copied().zip(&self.trials)
    }

    /// Trials of one half.
    pub(super) fn of(&self, half: Half) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(move |trial| trial.half == half)
    }
}
