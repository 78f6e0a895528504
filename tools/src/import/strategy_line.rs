//! A strategy as one JSON object:
//! `{"title", "description", "content", "kind"?, "labels"?, "action_signature"?, "distiller"?, "evidence"?:[{"group" or
//! "task_id", "attempt" or "trial", "first_step", "last_step", "polarity"?}]}`.
//!
//! Evidence names a trajectory by rollout group and attempt, since numbers are given out at import. Its steps count
//! the messages of the recording, both ends inclusive.

use lagdb::{Polarity, StrategyKind};
use serde::Deserialize;
use serde_json::Value;

/// A strategy whose evidence still names trajectories by group and attempt.
#[derive(Clone, Debug, Deserialize)]
pub struct StrategyLine {
    /// Short name.
    pub title: String,
    /// When to use it, and when not.
    pub description: String,
    /// The advice.
    pub content: String,
    #[serde(default)]
    kind: KindWord,
    /// Labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The call the lesson is about.
    pub action_signature: Option<String>,
    /// Who distilled it.
    #[serde(default)]
    pub distiller: Option<String>,
    /// Where it was seen.
    #[serde(default)]
    pub evidence: Vec<EvidenceLine>,
}

/// A passage of a trajectory.
#[derive(Clone, Debug, Deserialize)]
pub struct EvidenceLine {
    #[serde(alias = "task_id")]
    group: Value,
    /// Attempt of the group.
    #[serde(alias = "trial")]
    pub attempt: u32,
    /// First message, from 0.
    pub first_step: u32,
    /// Last message, inclusive.
    pub last_step: u32,
    #[serde(default)]
    polarity: PolarityWord,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindWord {
    #[default]
    Procedure,
    Guardrail,
    Contrast,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PolarityWord {
    #[default]
    Support,
    Contradict,
}

impl StrategyLine {
    /// Reads one strategy.
    ///
    /// # Errors
    /// What is missing or of the wrong type.
    pub fn parse(value: Value) -> Result<Self, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    /// What kind of advice it is.
    pub fn kind(&self) -> StrategyKind {
        match self.kind {
            KindWord::Procedure => StrategyKind::Procedure,
            KindWord::Guardrail => StrategyKind::Guardrail,
            KindWord::Contrast => StrategyKind::Contrast,
        }
    }
}

impl EvidenceLine {
    /// The rollout group, as text.
    pub fn group(&self) -> String {
        match &self.group {
            Value::String(group) => group.clone(),
            other => other.to_string(),
        }
    }

    /// Whether the passage speaks for the advice or against it.
    pub fn polarity(&self) -> Polarity {
        match self.polarity {
            PolarityWord::Support => Polarity::Support,
            PolarityWord::Contradict => Polarity::Contradict,
        }
    }
}
