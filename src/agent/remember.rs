//! Remembering a task: trajectories, judgments, exposures, embeddings and KV logs, all in one transaction.

use super::{Agent, Attempt, Task};
use crate::{Embedding, Exposure, Id, Judgment, Offered, Record, Result, Rollout, Strategy, Trajectory, Transaction};

/// An attempt and what is remembered beside it.
pub(super) struct Memory<'a> {
    pub(super) task: &'a Task,
    pub(super) attempt: &'a Attempt,
    pub(super) judgment: &'a Judgment,
    /// What it is found by.
    pub(super) embedding: Option<&'a Embedding>,
    /// What was offered.
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
        let embedding = self.embed_attempt(task, attempt)?;
        let mut tx = self.scope.begin()?;
        let (embedding, exposures) = (Some(&embedding), attempt.warnings.as_slice());
        let memory = Memory { task, attempt, judgment, embedding, exposures, rollout: None, started_at_ms };
        let id = put_memory(&mut tx, &memory)?;
        tx.commit()?;
        Ok(id)
    }

    /// What an attempt is found by: the task's query and the last action.
    pub(super) fn embed_attempt(&self, task: &Task, attempt: &Attempt) -> Result<Embedding> {
        let last_action = attempt.steps.iter().rev().map(|step| step.action.as_str()).find(|action| !action.is_empty());
        self.embedder.embed(&format!("{} {}", task.query, last_action.unwrap_or_default()))
    }

    /// What a lesson is found by.
    pub(super) fn embed_lesson(&self, lesson: &Strategy) -> Result<Embedding> {
        self.embedder.embed(&self.dialect.search_text(lesson))
    }
}

/// Puts what was lived, how it was judged, what it is found by and what was offered.
pub(super) fn put_memory(tx: &mut Transaction, memory: &Memory<'_>) -> Result<Id<Trajectory>> {
    let Memory { task, attempt, judgment, .. } = memory;
    let trajectory = Trajectory {
        steps: attempt.steps.clone(),
        rollout: memory.rollout.clone(),
        started_at_ms: memory.started_at_ms,
        ..task.trajectory()
    };
    // Lived twice is two attempts, also when word for word the same.
    let id = tx.put_new(&trajectory)?;
    tx.judge(id, judgment)?;
    if let Some(embedding) = memory.embedding {
        tx.embed(id, embedding)?;
    }
    if let Some(log) = &attempt.kv_log {
        tx.put_kv_log(id, log)?;
    }
    let exposures = still_there(tx, memory.exposures.iter())?;
    tx.expose(id, &exposures)?;
    Ok(id)
}

impl Task {
    /// Whether a trajectory of it may be stored, in a rollout group if there is one: asked before it is lived.
    pub(super) fn check(&self, group: Option<String>) -> Result<()> {
        Trajectory { rollout: group.map(|group| Rollout { group, attempt: 0 }), ..self.trajectory() }.check()
    }

    /// A trajectory of it, without what was lived.
    fn trajectory(&self) -> Trajectory {
        Trajectory {
            task: self.name.clone(),
            labels: self.labels.clone(),
            domain: self.domain.clone(),
            trust: self.trust,
            ..Trajectory::default()
        }
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
