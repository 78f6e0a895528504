//! A world for agents in tests: a door that opens to one word, and what else a test wants to happen.

use lagdb::agent::{Answer, Environment, EnvironmentError, Task};
use lagdb::{Judgment, JudgmentSource, Outcome, Step};

/// A door. Saying `word` opens it and ends the task; anything else is answered with `locked`.
pub(crate) struct Door {
    pub(crate) task: Task,
    pub(crate) word: &'static str,
    /// Whether the world says in the end if the door was opened.
    pub(crate) verifies: bool,
    /// The action, counted from 0, at which the world breaks down.
    pub(crate) breaks_at: Option<usize>,
    pub(crate) n_actions: usize,
}

impl Door {
    pub(crate) fn new(name: &str, word: &'static str) -> Self {
        Self { task: Task::new(name).domain("doors"), word, verifies: true, breaks_at: None, n_actions: 0 }
    }
}

impl Environment for Door {
    fn task(&self) -> &Task {
        &self.task
    }

    fn reset(&mut self) -> Result<String, EnvironmentError> {
        self.n_actions = 0;
        Ok(format!("task: {}\n", self.task.name))
    }

    fn step(&mut self, action: &str) -> Result<Answer, EnvironmentError> {
        let at = self.n_actions;
        self.n_actions += 1;
        if self.breaks_at == Some(at) {
            return Err("the lock is jammed".into());
        }
        Ok(if action.contains(self.word) { Answer::end("open\n") } else { Answer::next("locked\n").error("locked") })
    }

    fn verify(&mut self, steps: &[Step]) -> Result<Option<Judgment>, EnvironmentError> {
        let is_open = steps.iter().any(|step| step.action.contains(self.word));
        let outcome = if is_open { Outcome::Success } else { Outcome::Failure };
        Ok(self.verifies.then(|| Judgment::new(outcome, "door").source(JudgmentSource::Environment)))
    }

    fn signature(&self, action: &str) -> Option<String> {
        action.split_whitespace().next_back().map(|word| format!("say({word})"))
    }
}
