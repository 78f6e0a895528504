//! A task as it was lived: the task, then observation and action in turn.
//!
//! A trajectory does not say how it ended; judgments do ([`Judgment`](super::Judgment)), so that it can be judged
//! again without being rewritten.

use super::codec::{self, Undecodable, Versioned};
use super::{Record, RecordKind, Trust, limits};
use crate::{Error, Result};

/// One task as it was lived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trajectory {
    /// What was asked; the text that is embedded.
    pub task: String,
    /// What was seen and done, in order.
    pub steps: Vec<Step>,
    /// Words to filter by.
    pub labels: Vec<String>,
    /// What it is about: one word or two that the agent's tasks are sorted by.
    pub domain: Option<String>,
    /// Which attempt at which task, where a task is tried several times.
    pub rollout: Option<Rollout>,
    /// How far its text may be believed.
    pub trust: Trust,
    /// When the task began, ms since 1970; 0 when unknown.
    pub started_at_ms: u64,
    /// Until when it is kept, ms since 1970; from then on no search finds it, and [upkeep](crate::Database::keep_up)
    /// deletes it.
    pub expires_at_ms: Option<u64>,
}

/// One observation and the action taken on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// What the agent saw.
    pub observation: String,
    /// What it did.
    pub action: String,
    /// The action in the agent's own normal form, such as `cancel(*)`.
    pub action_signature: Option<String>,
    /// The error that came of it, in the agent's own normal form.
    pub error_signature: Option<String>,
}

/// One of several attempts at the same task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The same for all attempts at one task.
    pub group: String,
    /// Which of them, counted from 0.
    pub attempt: u32,
}

impl Step {
    /// A step without signatures.
    pub fn new(observation: impl Into<String>, action: impl Into<String>) -> Self {
        Self { observation: observation.into(), action: action.into(), ..Self::default() }
    }

    /// With the action in normal form.
    #[must_use]
    pub fn action_signature(mut self, signature: impl Into<String>) -> Self {
        self.action_signature = Some(signature.into());
        self
    }

    /// With the error in normal form.
    #[must_use]
    pub fn error_signature(mut self, signature: impl Into<String>) -> Self {
        self.error_signature = Some(signature.into());
        self
    }
}

impl Trajectory {
    /// A trajectory of `task` without steps.
    pub fn new(task: impl Into<String>) -> Self {
        Self { task: task.into(), ..Self::default() }
    }

    /// With one more step.
    #[must_use]
    pub fn step(mut self, observation: impl Into<String>, action: impl Into<String>) -> Self {
        self.steps.push(Step::new(observation, action));
        self
    }

    /// About this domain.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// To be believed so far.
    #[must_use]
    pub fn trust(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// With one more label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// As attempt number `attempt` at the task `group`.
    #[must_use]
    pub fn rollout(mut self, group: impl Into<String>, attempt: u32) -> Self {
        self.rollout = Some(Rollout { group: group.into(), attempt });
        self
    }

    /// Kept until `ms` since 1970.
    #[must_use]
    pub fn expires_at_ms(mut self, ms: u64) -> Self {
        self.expires_at_ms = Some(ms);
        self
    }

    /// Begun at `ms` since 1970.
    #[must_use]
    pub fn started_at_ms(mut self, ms: u64) -> Self {
        self.started_at_ms = ms;
        self
    }
}

impl Record for Trajectory {
    const KIND: RecordKind = RecordKind::Trajectory;

    fn check(&self) -> Result<()> {
        if self.task.is_empty() {
            return Err(Error::invalid("task", "is empty"));
        }
        limits::check_labels(&self.labels)?;
        limits::check_domain(self.domain.as_deref())?;
        for step in &self.steps {
            limits::check_signatures("action signature", step.action_signature.as_slice())?;
            limits::check_signatures("error signature", step.error_signature.as_slice())?;
        }
        if let Some(rollout) = &self.rollout {
            limits::check_name("rollout group", &rollout.group)?;
        }
        let steps: usize = self.steps.iter().map(|s| s.observation.len() + s.action.len() + 16).sum();
        limits::check_size("trajectory", self.task.len() + steps)
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    fn trust(&self) -> Trust {
        self.trust
    }

    fn time_ms(&self) -> Option<u64> {
        (self.started_at_ms > 0).then_some(self.started_at_ms)
    }

    fn expires_at_ms(&self) -> Option<u64> {
        self.expires_at_ms
    }

    fn with_trust(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    fn encode(&self) -> Versioned {
        codec::encode_trajectory(self)
    }

    fn decode(schema: u16, bytes: &[u8]) -> std::result::Result<Self, Undecodable> {
        codec::decode_trajectory(schema, bytes)
    }

    fn as_trajectory(&self) -> Option<&Trajectory> {
        Some(self)
    }
}
