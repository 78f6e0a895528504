//! Remembering one task: trajectory, judgment, embedding and KV log in one transaction.

use super::{Agent, Attempt, Task};
use crate::{Id, Judgment, Result, Trajectory};

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
        let trajectory = Trajectory {
            task: task.name.clone(),
            steps: attempt.steps.clone(),
            labels: task.labels.clone(),
            domain: task.domain.clone(),
            started_at_ms,
            ..Trajectory::default()
        };
        let last_action = attempt.steps.iter().rev().map(|step| step.action.as_str()).find(|action| !action.is_empty());
        let embedding = self.embedder.embed(&format!("{} {}", task.query, last_action.unwrap_or_default()));
        let mut tx = self.scope.begin()?;
        // Lived twice is two attempts, also when word for word the same.
        let id = tx.put_new(&trajectory)?;
        tx.judge(id, judgment)?;
        tx.embed(id, &embedding)?;
        if let Some(log) = &attempt.kv_log {
            tx.put_kv_log(id, log)?;
        }
        tx.commit()?;
        Ok(id)
    }
}
