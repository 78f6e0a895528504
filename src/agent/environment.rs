//! A task, and the world in which it is lived: it answers the agent's actions and, where it can, checks what came of them.
//!
//! A world may fail: a site is down, a test does not start. That is no failure of the agent, and is recorded as what it
//! is: an attempt that ended because [the environment failed](super::Ending::EnvironmentFailed), of unknown outcome.

use crate::{Judgment, Step, Trust};

/// What is asked of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// What the trajectory is filed under: the task as a person would name it. Memory never answers a task with itself.
    pub name: String,
    /// What to look for in memory: the task's keywords (LAG searches by question, later by the model's keywords).
    pub query: String,
    /// Labels of the trajectory.
    pub labels: Vec<String>,
    /// What the task is about: one word or two that tasks are sorted by. Lessons of it are about the same.
    pub domain: Option<String>,
    /// What no lesson of it may repeat: the answer, word for word.
    pub answers: Vec<String>,
    /// How far what is seen in it may be believed, and so its lessons: low where strangers can write what the agent reads.
    pub trust: Trust,
}

/// What the world answers to an action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What the agent sees next. If the task has ended with it, the trajectory closes with it, as a step without action.
    pub observation: String,
    /// Whether the task has ended.
    pub ended: bool,
    /// The error that came of the action, in the world's own normal form.
    pub error_signature: Option<String>,
}

/// Why a world could not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EnvironmentError(pub String);

/// The world in which a task is lived, once or several times.
pub trait Environment {
    /// The task.
    fn task(&self) -> &Task;

    /// Begins the task anew and says what the agent sees first: the whole prompt of the task.
    ///
    /// # Errors
    /// When the world does not start.
    fn reset(&mut self) -> Result<String, EnvironmentError>;

    /// Answers `action`, the text of one reply.
    ///
    /// # Errors
    /// When the world breaks down.
    fn step(&mut self, action: &str) -> Result<Answer, EnvironmentError>;

    /// Checks what was done since the last reset; `None` where the world cannot tell.
    ///
    /// # Errors
    /// When the check breaks down.
    fn verify(&mut self, steps: &[Step]) -> Result<Option<Judgment>, EnvironmentError>;

    /// The normal form of an action, such as `cancel(*)`, asked for before the action is taken; the trajectory keeps it.
    fn signature(&self, action: &str) -> Option<String> {
        let _ = action;
        None
    }

    /// Whether actions have [signatures](Self::signature): guardrails that name one then wait for it, and are given with the
    /// other lessons where they would wait for ever.
    fn has_signatures(&self) -> bool {
        false
    }

    /// The signatures by which lessons of failures are looked up before an action is taken; those of an
    /// [`Action`](crate::Action) at several levels, for example. Its [`signature`](Self::signature) unless said otherwise.
    ///
    /// `steps` is the attempt so far; what was seen last closes it, as a step whose action is empty.
    fn guarded_by(&self, action: &str, steps: &[Step]) -> Vec<String> {
        let _ = steps;
        self.signature(action).into_iter().collect()
    }
}

impl Task {
    /// A task that is looked for in memory by its name.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { query: name.clone(), name, ..Self::default() }
    }

    /// Looked for in memory by these words.
    #[must_use]
    pub fn query(self, query: impl Into<String>) -> Self {
        Self { query: query.into(), ..self }
    }

    /// With one more label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// About this domain.
    #[must_use]
    pub fn domain(self, domain: impl Into<String>) -> Self {
        Self { domain: Some(domain.into()), ..self }
    }

    /// To be believed so far.
    #[must_use]
    pub fn trust(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// With one more text that no lesson may repeat.
    #[must_use]
    pub fn answer(mut self, answer: impl Into<String>) -> Self {
        self.answers.push(answer.into());
        self
    }
}

impl Answer {
    /// The agent sees this and goes on.
    pub fn next(observation: impl Into<String>) -> Self {
        Self { observation: observation.into(), ..Self::default() }
    }

    /// The task has ended; `observation` is what is seen last, and may be empty.
    pub fn end(observation: impl Into<String>) -> Self {
        Self { ended: true, ..Self::next(observation) }
    }

    /// An error came of the action.
    #[must_use]
    pub fn error(self, signature: impl Into<String>) -> Self {
        Self { error_signature: Some(signature.into()), ..self }
    }
}

impl From<String> for EnvironmentError {
    fn from(what: String) -> Self {
        Self(what)
    }
}

impl From<&str> for EnvironmentError {
    fn from(what: &str) -> Self {
        Self(what.to_owned())
    }
}
