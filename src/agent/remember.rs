//! Remembering a task: trajectories, judgments, exposures, embeddings and KV logs, all in one transaction.

use super::{Agent, Attempt, Task};
use crate::{Exposure, Id, Judgment, Offered, Result, Rollout, Trajectory, Transaction};

/// An attempt and what is remembered beside it.
pub(super) struct Memory<'a> {
    pub(super) task: &'a Task,
    pub(super) attempt: &'a Attempt,
    pub(super) judgment: &'a Judgment,
    /// What was offered before the first step.
    pub(super) exposures: &'a [Exposure],
    pub(super) rollout: Option<Rollout>,
    pub(super) started_at_ms: u64,
}

impl Agent {
    /// Commits what was lived and computed, and how it was judged. Durable when it returns.
    ///
    /// The trajectory is found again by its query and its last action (LAG's key: question and last response).
    ///
    /// # Errors
    /// When the commit fails; then nothing was remembered.
    pub fn remember(
        &self,
        task: &Task,
        attempt: &Attempt,
        judgment: &Judgment,
        started_at_ms: u64,
    ) -> Result<Id<Trajectory>> {
        let mut tx = self.scope.begin()?;
        let memory = Memory { task, attempt, judgment, exposures: &[], rollout: None, started_at_ms };
        let id = self.put_memory(&mut tx, &memory)?;
        tx.commit()?;
        Ok(id)
    }

    pub(super) fn put_memory(&self, tx: &mut Transaction, memory: &Memory<'_>) -> Result<Id<Trajectory>> {
        let Memory { task, attempt, judgment, .. } = memory;
        let trajectory = Trajectory {
            task: task.name.clone(),
            steps: attempt.steps.clone(),
            labels: task.labels.clone(),
            domain: task.domain.clone(),
            rollout: memory.rollout.clone(),
            trust: task.trust,
            started_at_ms: memory.started_at_ms,
            ..Trajectory::default()
        };
        let last_action = attempt.steps.iter().rev().map(|step| step.action.as_str()).find(|action| !action.is_empty());
        let embedding = self.embedder.embed(&format!("{} {}", task.query, last_action.unwrap_or_default()));
        // Lived twice is two attempts, also when word for word the same.
        let id = tx.put_new(&trajectory)?;
        tx.judge(id, judgment)?;
        tx.embed(id, &embedding)?;
        if let Some(log) = &attempt.kv_log {
            tx.put_kv_log(id, log)?;
        }
        let exposures = still_there(tx, memory.exposures.iter().chain(&attempt.warnings))?;
        tx.expose(id, &exposures)?;
        Ok(id)
    }
}

/// What was offered and was not deleted while the task was lived: a purge must not cost the task.
fn still_there<'a>(tx: &Transaction, exposures: impl Iterator<Item = &'a Exposure>) -> Result<Vec<Exposure>> {
    let mut kept = Vec::new();
    for exposure in exposures {
        let is_there = match exposure.offered {
            Offered::Strategy(id) => tx.contains(id)?,
            Offered::KvLog(id) => tx.contains(id)?,
        };
        if is_there {
            kept.push(*exposure);
        }
    }
    Ok(kept)
}
