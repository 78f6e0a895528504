//! What of the past reaches the model: as attention (KV logs), as the same tokens in the prompt, or as whole texts.

use super::{Agent, Task};
use crate::{Id, Outcome, Query, Result, Snapshot, StoredKvLog, Trajectory};
use lagdb_format::KvRead;

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

/// What was recalled for one task, best match first.
#[derive(Default)]
pub struct Recollection {
    /// The trajectories, with their similarity to the task's query.
    pub hits: Vec<(Id<Trajectory>, f32)>,
    /// KV logs to attach.
    pub kv_logs: Vec<StoredKvLog>,
    /// Tokens to compute in front of the prompt.
    pub tokens: Vec<u32>,
}

impl Agent {
    /// Recalls at most `limit` successful trajectories that have a KV log of this agent's model.
    ///
    /// `exclude` are left out: the task itself, or what an experiment takes away.
    ///
    /// # Errors
    /// When the database cannot be read, or a recalled KV log is corrupt.
    pub fn recall(
        &self,
        task: &Task,
        how: Recall,
        limit: usize,
        exclude: &[Id<Trajectory>],
    ) -> Result<Recollection> {
        let mut recollection = Recollection::default();
        if how == Recall::Nothing || limit == 0 {
            return Ok(recollection);
        }
        let snapshot = self.scope.snapshot()?;
        let query = Query::near(self.embedder.embed(&task.query)).outcome(Outcome::Success).limit(limit);
        let query = exclude.iter().fold(query, |query, id| query.exclude(*id));
        for hit in snapshot.search::<Trajectory>(&query)? {
            if self.recall_one(&snapshot, hit.id, &hit.record, how, &mut recollection)? {
                recollection.hits.push((hit.id, hit.score));
            }
        }
        Ok(recollection)
    }

    /// Adds one trajectory; false when it has nothing that this model can read.
    fn recall_one(
        &self,
        snapshot: &Snapshot,
        id: Id<Trajectory>,
        trajectory: &Trajectory,
        how: Recall,
        recollection: &mut Recollection,
    ) -> Result<bool> {
        let Some(log) = snapshot.kv_log(id, self.generator.fingerprint())? else {
            return Ok(false);
        };
        match how {
            Recall::Nothing => {}
            Recall::KvLogs => recollection.kv_logs.push(log),
            Recall::LogText => recollection.tokens.extend(log.token_ids()),
            Recall::FullContext => {
                for step in &trajectory.steps {
                    recollection.tokens.extend(self.generator.encode(&step.observation)?);
                    recollection.tokens.extend(self.generator.encode(&step.action)?);
                }
            }
        }
        Ok(true)
    }
}
