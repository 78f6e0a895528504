//! What an evaluator said of a trajectory. Judgments are only ever added: **the outcome of a trajectory is the outcome
//! of its latest judgment, and [`Outcome::Unknown`] when it has none**.
//!
//! "Latest" is by order of commit, not by clock: an evaluator that comes later knows more.

use super::limits;
use crate::{Error, Result};

/// How a trajectory ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Nobody knows.
    #[default]
    Unknown = 0,
    /// The task was solved.
    Success = 1,
    /// A part was solved.
    Partial = 2,
    /// The task was not solved.
    Failure = 3,
}

impl Outcome {
    /// All outcomes, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Success, Self::Partial, Self::Failure];

    /// The outcome with this code in the catalog, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Failure => "failure",
        }
    }
}

/// What kind of evaluator judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum JudgmentSource {
    /// It was not said.
    #[default]
    Unstated = 0,
    /// The world in which the task was lived: its reward, its final state.
    Environment = 1,
    /// A test suite or another program that checks.
    Test = 2,
    /// A person.
    Person = 3,
    /// A model that was asked to judge.
    Model = 4,
    /// The agent itself.
    Agent = 5,
}

impl JudgmentSource {
    /// All, in the order of their codes.
    pub const ALL: [Self; 6] = [Self::Unstated, Self::Environment, Self::Test, Self::Person, Self::Model, Self::Agent];

    /// The source with this code in the catalog, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unstated => "unstated",
            Self::Environment => "environment",
            Self::Test => "test",
            Self::Person => "person",
            Self::Model => "model",
            Self::Agent => "agent",
        }
    }
}

/// What one evaluator said of one trajectory.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgment {
    /// How it ended.
    pub outcome: Outcome,
    /// A number, where the evaluator gives one; higher is better.
    pub score: Option<f64>,
    /// Who judged, by name: a test, a person, a model and its prompt.
    pub evaluator: String,
    /// What kind of evaluator that is.
    pub source: JudgmentSource,
    /// Why.
    pub rationale: String,
    /// When, ms since 1970; 0 when unknown.
    pub judged_at_ms: u64,
}

impl Judgment {
    /// `evaluator` says `outcome`.
    pub fn new(outcome: Outcome, evaluator: impl Into<String>) -> Self {
        Self {
            outcome,
            score: None,
            evaluator: evaluator.into(),
            source: JudgmentSource::Unstated,
            rationale: String::new(),
            judged_at_ms: 0,
        }
    }

    /// By an evaluator of this kind.
    #[must_use]
    pub fn source(mut self, source: JudgmentSource) -> Self {
        self.source = source;
        self
    }

    /// With a number.
    #[must_use]
    pub fn score(mut self, score: f64) -> Self {
        self.score = Some(score);
        self
    }

    /// With a reason.
    #[must_use]
    pub fn rationale(mut self, rationale: impl Into<String>) -> Self {
        self.rationale = rationale.into();
        self
    }

    /// Given at `ms` since 1970.
    #[must_use]
    pub fn judged_at_ms(mut self, ms: u64) -> Self {
        self.judged_at_ms = ms;
        self
    }

    /// Whether the judgment may be stored.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the evaluator has no name, the score is not finite or the rationale is too long.
    pub fn check(&self) -> Result<()> {
        limits::check_name("evaluator", &self.evaluator)?;
        limits::check_size("rationale", self.rationale.len())?;
        match self.score {
            Some(score) if !score.is_finite() => Err(Error::invalid("score", format!("{score} is not finite"))),
            _ => Ok(()),
        }
    }
}
