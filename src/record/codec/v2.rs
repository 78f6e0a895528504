//! Version 2 of the records' archives: signatures, domain, trust, status, expiry and the source of a judgment.
//! **Frozen**: bytes of these structs are on disks.

use super::{Undecodable, unknown};
use crate::Id;
use crate::record::{
    Evidence, Judgment, JudgmentSource, Outcome, Polarity, Provenance, Rollout, Status, Step, Strategy, StrategyKind,
    Trajectory, Trust,
};
use rkyv::{Archive, Deserialize, Serialize};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct TrajectoryV2 {
    task: String,
    steps: Vec<StepV2>,
    labels: Vec<String>,
    domain: Option<String>,
    rollout: Option<RolloutV2>,
    trust: u8,
    started_at_ms: u64,
    expires_at_ms: Option<u64>,
}

#[derive(Archive, Serialize, Deserialize)]
struct StepV2 {
    observation: String,
    action: String,
    action_signature: Option<String>,
    error_signature: Option<String>,
}

#[derive(Archive, Serialize, Deserialize)]
struct RolloutV2 {
    group: String,
    attempt: u32,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct JudgmentV2 {
    outcome: u8,
    score: Option<f64>,
    evaluator: String,
    source: u8,
    rationale: String,
    judged_at_ms: u64,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct StrategyV2 {
    title: String,
    description: String,
    content: String,
    kind: u8,
    labels: Vec<String>,
    domain: Option<String>,
    action_signatures: Vec<String>,
    error_signatures: Vec<String>,
    status: u8,
    superseded_by: Option<u64>,
    trust: u8,
    created_at_ms: u64,
    expires_at_ms: Option<u64>,
    distiller: String,
    evidence: Vec<EvidenceV2>,
}

#[derive(Archive, Serialize, Deserialize)]
struct EvidenceV2 {
    trajectory: u64,
    first_step: u32,
    last_step: u32,
    polarity: u8,
}

impl From<&Trajectory> for TrajectoryV2 {
    fn from(t: &Trajectory) -> Self {
        let step = |s: &Step| StepV2 {
            observation: s.observation.clone(),
            action: s.action.clone(),
            action_signature: s.action_signature.clone(),
            error_signature: s.error_signature.clone(),
        };
        Self {
            task: t.task.clone(),
            steps: t.steps.iter().map(step).collect(),
            labels: t.labels.clone(),
            domain: t.domain.clone(),
            rollout: t.rollout.as_ref().map(|r| RolloutV2 { group: r.group.clone(), attempt: r.attempt }),
            trust: t.trust as u8,
            started_at_ms: t.started_at_ms,
            expires_at_ms: t.expires_at_ms,
        }
    }
}

impl TryFrom<TrajectoryV2> for Trajectory {
    type Error = Undecodable;

    fn try_from(t: TrajectoryV2) -> Result<Self, Undecodable> {
        let step = |s: StepV2| Step {
            observation: s.observation,
            action: s.action,
            action_signature: s.action_signature,
            error_signature: s.error_signature,
        };
        Ok(Self {
            task: t.task,
            steps: t.steps.into_iter().map(step).collect(),
            labels: t.labels,
            domain: t.domain,
            rollout: t.rollout.map(|r| Rollout { group: r.group, attempt: r.attempt }),
            trust: Trust::from_code(t.trust).ok_or_else(|| unknown("trust", t.trust))?,
            started_at_ms: t.started_at_ms,
            expires_at_ms: t.expires_at_ms,
        })
    }
}

impl From<&Judgment> for JudgmentV2 {
    fn from(j: &Judgment) -> Self {
        Self {
            outcome: j.outcome as u8,
            score: j.score,
            evaluator: j.evaluator.clone(),
            source: j.source as u8,
            rationale: j.rationale.clone(),
            judged_at_ms: j.judged_at_ms,
        }
    }
}

impl TryFrom<JudgmentV2> for Judgment {
    type Error = Undecodable;

    fn try_from(j: JudgmentV2) -> Result<Self, Undecodable> {
        Ok(Self {
            outcome: Outcome::from_code(j.outcome).ok_or_else(|| unknown("outcome", j.outcome))?,
            score: j.score,
            evaluator: j.evaluator,
            source: JudgmentSource::from_code(j.source).ok_or_else(|| unknown("source", j.source))?,
            rationale: j.rationale,
            judged_at_ms: j.judged_at_ms,
        })
    }
}

impl From<&Strategy> for StrategyV2 {
    fn from(s: &Strategy) -> Self {
        let evidence = |e: &Evidence| EvidenceV2 {
            trajectory: e.trajectory.as_u64(),
            first_step: e.first_step,
            last_step: e.last_step,
            polarity: e.polarity as u8,
        };
        Self {
            title: s.title.clone(),
            description: s.description.clone(),
            content: s.content.clone(),
            kind: s.kind as u8,
            labels: s.labels.clone(),
            domain: s.domain.clone(),
            action_signatures: s.action_signatures.clone(),
            error_signatures: s.error_signatures.clone(),
            status: s.status as u8,
            superseded_by: s.superseded_by.map(Id::as_u64),
            trust: s.trust as u8,
            created_at_ms: s.created_at_ms,
            expires_at_ms: s.expires_at_ms,
            distiller: s.provenance.distiller.clone(),
            evidence: s.provenance.evidence.iter().map(evidence).collect(),
        }
    }
}

impl TryFrom<StrategyV2> for Strategy {
    type Error = Undecodable;

    fn try_from(s: StrategyV2) -> Result<Self, Undecodable> {
        Ok(Self {
            title: s.title,
            description: s.description,
            content: s.content,
            kind: StrategyKind::from_code(s.kind).ok_or_else(|| unknown("kind", s.kind))?,
            labels: s.labels,
            domain: s.domain,
            action_signatures: s.action_signatures,
            error_signatures: s.error_signatures,
            status: Status::from_code(s.status).ok_or_else(|| unknown("status", s.status))?,
            superseded_by: s.superseded_by.map(Id::from_u64),
            trust: Trust::from_code(s.trust).ok_or_else(|| unknown("trust", s.trust))?,
            created_at_ms: s.created_at_ms,
            expires_at_ms: s.expires_at_ms,
            provenance: Provenance {
                distiller: s.distiller,
                evidence: s.evidence.into_iter().map(Evidence::try_from).collect::<Result<_, _>>()?,
            },
        })
    }
}

impl TryFrom<EvidenceV2> for Evidence {
    type Error = Undecodable;

    fn try_from(e: EvidenceV2) -> Result<Self, Undecodable> {
        Ok(Self {
            trajectory: Id::from_u64(e.trajectory),
            first_step: e.first_step,
            last_step: e.last_step,
            polarity: Polarity::from_code(e.polarity).ok_or_else(|| unknown("polarity", e.polarity))?,
        })
    }
}
