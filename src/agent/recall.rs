//! What of the past reaches the model: as attention (KV logs), as the same tokens in the prompt, or as whole texts.

use super::{Agent, Task};
use crate::{Id, Outcome, Query, Result, Snapshot, Trajectory};
use lagdb_format::{KvLogView, KvRead};

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
    pub kv_logs: Vec<KvLogView<'static>>,
    /// Tokens to compute in front of the prompt.
    pub tokens: Vec<u32>,
    /// Trajectories left out because another model made their KV logs, and the field in which that model differs.
    pub foreign: Vec<(Id<Trajectory>, &'static str)>,
}

impl Agent {
    /// Recalls, of the `limit` trajectories nearest to the task's query, those with a KV log of this agent's model.
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
        let query = Query::near(self.embedder.embed(&task.query)).limit(limit);
        let query = exclude.iter().fold(query, |query, id| query.exclude(*id));
        let query = self.policy.recall_outcome.into_iter().fold(query, Query::outcome);
        for hit in snapshot.search::<Trajectory>(&query)? {
            let failed = snapshot.outcome(hit.id)? == Outcome::Failure && self.policy.recall_outcome.is_none();
            if !failed && self.recall_one(&snapshot, hit.id, &hit.record, how, &mut recollection)? {
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
            let field = snapshot.kv_log_mismatch(id, self.generator.fingerprint())?;
            recollection.foreign.extend(field.map(|field| (id, field)));
            return Ok(false);
        };
        match how {
            Recall::Nothing => {}
            Recall::KvLogs => recollection.kv_logs.push(log),
            Recall::LogText => recollection.tokens.extend(log.token_ids()),
            Recall::FullContext => {
                for step in &trajectory.steps {
                    recollection.tokens.extend(self.generator.encode(&step.observation, false)?);
                    recollection.tokens.extend(self.generator.encode(&step.action, false)?);
                }
            }
        }
        Ok(true)
    }
}
