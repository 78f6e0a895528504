//! What was learned: a title, when it applies, what to do, and from which trajectories it was distilled.
//!
//! The three texts are those of a memory item in ReasoningBank (Ouyang et al., 2025,
//! <https://arxiv.org/abs/2509.25140>). Provenance is part of the strategy, so that a lesson whose evidence is deleted
//! or judged anew can be found.

use super::codec::{self, Undecodable, Versioned};
use super::{Record, RecordKind, Status, Trajectory, Trust, limits};
use crate::{Error, Id, Result};
use std::ops::RangeInclusive;

/// One lesson.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// What it is about, in a few words.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// What to do, and why.
    pub content: String,
    /// How it is meant.
    pub kind: StrategyKind,
    /// Words to filter by.
    pub labels: Vec<String>,
    /// What it is about: one word or two that the agent's tasks are sorted by.
    pub domain: Option<String>,
    /// The actions it speaks about, in the agent's own normal form; guardrails are looked up by them.
    pub action_signatures: Vec<String>,
    /// The errors it speaks about, in the agent's own normal form.
    pub error_signatures: Vec<String>,
    /// Whether it is given to agents.
    pub status: Status,
    /// The strategy that took its place, if one did.
    pub superseded_by: Option<Id<Strategy>>,
    /// How far it may be believed; never further than what it was distilled from.
    pub trust: Trust,
    /// When it was distilled, ms since 1970; 0 when unknown.
    pub created_at_ms: u64,
    /// Until when it holds, ms since 1970; from then on no search finds it, and [upkeep](crate::Database::keep_up) notes
    /// it as [`Status::Expired`].
    pub expires_at_ms: Option<u64>,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// How a strategy is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum StrategyKind {
    /// Do this.
    Procedure = 1,
    /// Do not do that.
    Guardrail = 2,
    /// What the solved attempts did and the others did not.
    Contrast = 3,
}

impl StrategyKind {
    /// The kind with this code in the catalog, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Procedure, Self::Guardrail, Self::Contrast].into_iter().find(|kind| *kind as u8 == code)
    }

    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Procedure => "procedure",
            Self::Guardrail => "guardrail",
            Self::Contrast => "contrast",
        }
    }
}

/// Who distilled a strategy, and from what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The program, model and prompt that wrote the strategy.
    pub distiller: String,
    /// What it was distilled from.
    pub evidence: Vec<Evidence>,
}

/// Some steps of a trajectory, and what they speak for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Whose steps.
    pub trajectory: Id<Trajectory>,
    /// The first step, counted from 0.
    pub first_step: u32,
    /// The last step, itself included.
    pub last_step: u32,
    /// Whether the steps speak for the advice or against it.
    pub polarity: Polarity,
}

/// Whether a piece of evidence speaks for a strategy.
///
/// Not whether the trajectory succeeded: a failed run that shows the mistake a strategy warns of supports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Polarity {
    /// For it.
    Support = 1,
    /// Against it: a run that ignored it and succeeded, or followed it and failed.
    Contradict = 2,
}

impl Polarity {
    /// The polarity with this code in the catalog, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Support, Self::Contradict].into_iter().find(|polarity| *polarity as u8 == code)
    }
}

impl Strategy {
    /// A procedure with these texts, without labels and evidence.
    pub fn new(title: impl Into<String>, description: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            description: description.into(),
            content: content.into(),
            kind: StrategyKind::Procedure,
            labels: Vec::new(),
            domain: None,
            action_signatures: Vec::new(),
            error_signatures: Vec::new(),
            status: Status::Active,
            superseded_by: None,
            trust: Trust::default(),
            created_at_ms: 0,
            expires_at_ms: None,
            provenance: Provenance::default(),
        }
    }

    /// As a strategy of this kind.
    #[must_use]
    pub fn kind(mut self, kind: StrategyKind) -> Self {
        self.kind = kind;
        self
    }

    /// With one more label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// About this domain.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Speaking also about this action.
    #[must_use]
    pub fn action_signature(mut self, signature: impl Into<String>) -> Self {
        self.action_signatures.push(signature.into());
        self
    }

    /// Speaking also about this error.
    #[must_use]
    pub fn error_signature(mut self, signature: impl Into<String>) -> Self {
        self.error_signatures.push(signature.into());
        self
    }

    /// Believed no further than this.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Distilled at `ms` since 1970.
    #[must_use]
    pub fn created_at_ms(mut self, ms: u64) -> Self {
        self.created_at_ms = ms;
        self
    }

    /// Written by this program, model and prompt.
    #[must_use]
    pub fn distiller(mut self, distiller: impl Into<String>) -> Self {
        self.provenance.distiller = distiller.into();
        self
    }

    /// Holding until `ms` since 1970.
    #[must_use]
    pub fn expires_at_ms(mut self, ms: u64) -> Self {
        self.expires_at_ms = Some(ms);
        self
    }

    /// Distilled also from the steps `first_step` to `last_step` of `trajectory`.
    #[must_use]
    pub fn evidence(mut self, trajectory: Id<Trajectory>, steps: RangeInclusive<u32>, polarity: Polarity) -> Self {
        let (first_step, last_step) = steps.into_inner();
        self.provenance.evidence.push(Evidence { trajectory, first_step, last_step, polarity });
        self
    }

    /// Whether some of its evidence has this polarity.
    pub fn has_evidence(&self, polarity: Polarity) -> bool {
        self.provenance.evidence.iter().any(|evidence| evidence.polarity == polarity)
    }
}

impl Record for Strategy {
    const KIND: RecordKind = RecordKind::Strategy;

    fn check(&self) -> Result<()> {
        if self.title.is_empty() && self.content.is_empty() {
            return Err(Error::invalid("strategy", "neither title nor content"));
        }
        limits::check_labels(&self.labels)?;
        limits::check_domain(self.domain.as_deref())?;
        limits::check_signatures("action signature", &self.action_signatures)?;
        limits::check_signatures("error signature", &self.error_signatures)?;
        if self.superseded_by.is_some() != (self.status == Status::Superseded) {
            let by = self.superseded_by.map_or_else(|| "nothing".to_owned(), |id| format!("strategy {id}"));
            return Err(Error::invalid("status", format!("{} by {by}", self.status.as_str())));
        }
        check_provenance(&self.provenance)?;
        limits::check_size("strategy", self.title.len() + self.description.len() + self.content.len())
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
        (self.created_at_ms > 0).then_some(self.created_at_ms)
    }

    fn content(&self) -> Self {
        Self { status: Status::Active, superseded_by: None, ..self.clone() }
    }

    fn expires_at_ms(&self) -> Option<u64> {
        self.expires_at_ms
    }

    fn with_trust(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    fn encode(&self) -> Versioned {
        codec::encode_strategy(self)
    }

    fn decode(schema: u16, bytes: &[u8]) -> std::result::Result<Self, Undecodable> {
        codec::decode_strategy(schema, bytes)
    }

    fn as_strategy(&self) -> Option<&Strategy> {
        Some(self)
    }
}

fn check_provenance(provenance: &Provenance) -> Result<()> {
    if provenance.distiller.len() > limits::NAME_BYTES {
        return Err(Error::invalid("distiller", format!("{} bytes", provenance.distiller.len())));
    }
    if provenance.evidence.len() > limits::N_EVIDENCE {
        return Err(Error::invalid("evidence", format!("{} pieces", provenance.evidence.len())));
    }
    match provenance.evidence.iter().find(|evidence| evidence.first_step > evidence.last_step) {
        Some(evidence) => {
            Err(Error::invalid("evidence", format!("step {} after {}", evidence.first_step, evidence.last_step)))
        }
        None => Ok(()),
    }
}
