//! A world for agents in tests: a door that opens to one word, and what else a test wants to happen.

use lagdb::agent::{
    Agent, Answer, Dialect, Distiller, English, Environment, EnvironmentError, Item, Learner, Material, Policy,
    Rejected, Scripted, Task, Verifier,
};
use lagdb::{Judgment, JudgmentSource, Outcome, Scope, Step};
use std::sync::Arc;

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

    fn has_signatures(&self) -> bool {
        true
    }
}

/// Learns in `scope` what `model` writes; the door says how it ended.
pub(crate) fn learner(model: &Scripted, scope: &Scope) -> Learner {
    learner_with(model, scope, Policy { max_steps: 3, ..Policy::default() })
}

pub(crate) fn learner_of_one_step(model: &Scripted, scope: &Scope) -> Learner {
    learner_with(model, scope, Policy { max_steps: 1, guard: None, ..Policy::default() })
}

pub(crate) fn learner_with(model: &Scripted, scope: &Scope, policy: Policy) -> Learner {
    let agent = Agent::new(model.clone(), scope.clone(), policy);
    Learner::new(agent, Arc::new(Verifier), Distiller::new(Arc::new(model.clone()), Arc::new(English)))
}

/// Always takes the same action, once, and learns nothing.
pub(crate) fn saying(action: &'static str, scope: &Scope) -> Learner {
    let model = Scripted::answering(move |_, _| Some(action.to_owned()));
    Learner { distiller: None, ..learner_of_one_step(&model, scope) }
}

/// Solves every task, and writes this one item about it.
pub(crate) fn writing(item: Item, scope: &Scope) -> Learner {
    let model = Scripted::answering(|_, _| Some("sesame".to_owned()));
    let distiller = Distiller::new(Arc::new(model.clone()), Arc::new(Fixed(item)));
    Learner { distiller: Some(distiller), ..learner_of_one_step(&model, scope) }
}

/// Reads the same item out of every reply.
struct Fixed(Item);

impl Dialect for Fixed {
    fn name(&self) -> &str {
        "fixed/1"
    }

    fn read_lessons(&self, _: &str, _: &Material<'_>) -> Vec<Result<Item, Rejected>> {
        vec![Ok(self.0.clone())]
    }
}
