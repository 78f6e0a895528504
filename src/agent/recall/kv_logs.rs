//! Trajectories for a task: as attention (KV logs), as the same tokens in the prompt, or as whole texts.

use super::super::{Agent, Task};
use super::Recollection;
use crate::{Error, Hit, Id, Outcome, Query, Result, Snapshot, Trajectory};
use lagdb_format::{KvRead, ModelFingerprint};

/// How the past is given to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recall {
    /// Not at all: the memory-off arm.
    Nothing,
    /// KV logs, attached as attention sources.
    KvLogs,
    /// The tokens of the KV logs, computed again in front of the prompt (LAG's text baseline: same tokens, same place).
    LogText,
    /// Everything that was read and said in the recalled trajectories, computed again in front of the prompt.
    FullContext,
}

/// Something that is said to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A text.
    Text(String),
    /// Tokens of the model's own.
    Tokens(Vec<u32>),
}

/// Which trajectories a task gets, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrajectoryRecall {
    /// How they are given.
    pub how: Recall,
    /// The most trajectories.
    pub limit: usize,
}

impl Default for TrajectoryRecall {
    /// None.
    fn default() -> Self {
        Self { how: Recall::Nothing, limit: 0 }
    }
}

impl Agent {
    /// Recalls the `limit` trajectories nearest to the task's query that have a KV log of this agent's model.
    ///
    /// Earlier attempts at the task itself are left out, and so are `exclude`: what an experiment takes away.
    ///
    /// # Errors
    /// When the database cannot be read, or a recalled KV log is corrupt;
    /// [`KvLogsUnsupported`](crate::Error::KvLogsUnsupported) by a model that takes none.
    pub fn recall(&self, task: &Task, how: Recall, limit: usize, exclude: &[Id<Trajectory>]) -> Result<Recollection> {
        let mut recollection = Recollection::default();
        if how == Recall::Nothing || limit == 0 {
            return Ok(recollection);
        }
        let Some(model) = self.model.fingerprint() else {
            return Err(Error::KvLogsUnsupported { model: self.model.identity() });
        };
        let snapshot = self.scope.snapshot()?;
        let query = Query::near(self.embedder.embed(&task.query)?).exclude_task(&task.name);
        let query = exclude.iter().fold(query, |query, id| query.exclude(*id));
        let query = self.policy.recall_outcome.into_iter().fold(query, Query::outcome);
        let (mut n_seen, mut n_asked) = (0, limit);
        loop {
            let hits = snapshot.search::<Trajectory>(&query.clone().limit(n_asked))?;
            let n_found = hits.len();
            for hit in hits.into_iter().skip(n_seen) {
                if recollection.hits.len() < limit {
                    recall_one(&snapshot, model, &hit, how, &mut recollection)?;
                }
            }
            if recollection.hits.len() == limit || n_found < n_asked {
                return Ok(recollection);
            }
            // Some had no log that this model can read: look further down the list.
            (n_seen, n_asked) = (n_found, n_asked.saturating_mul(2));
        }
    }
}

/// Adds one trajectory, unless it failed or has nothing that this model can read.
fn recall_one(
    snapshot: &Snapshot,
    model: &ModelFingerprint,
    hit: &Hit<Trajectory>,
    how: Recall,
    recollection: &mut Recollection,
) -> Result<()> {
    if snapshot.outcome(hit.id)? == Outcome::Failure {
        return Ok(());
    }
    let Some(log) = snapshot.kv_log(hit.id, model)? else {
        let field = snapshot.kv_log_mismatch(hit.id, model)?;
        recollection.foreign.extend(field.map(|field| (hit.id, field)));
        return Ok(());
    };
    recollection.hits.push((hit.id, hit.score));
    match how {
        Recall::Nothing => {}
        Recall::KvLogs => recollection.kv_logs.push(log),
        Recall::LogText => recollection.said.push(Said::Tokens(log.token_ids().to_vec())),
        Recall::FullContext => {
            let texts = hit.record.steps.iter().flat_map(|step| [&step.observation, &step.action]);
            recollection.said.extend(texts.map(|text| Said::Text(text.clone())));
        }
    }
    Ok(())
}
