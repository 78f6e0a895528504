//! Version 1 of the records' archives. **Frozen**: bytes of these structs are on disks.
//!
//! Closed sets are kept as their codes, so that an unknown code is refused here with its number.

use super::Undecodable;
use crate::Id;
use crate::record::{
    Evidence, Judgment, Outcome, Polarity, Provenance, Rollout, Step, Strategy, StrategyKind, Trajectory,
};
use rkyv::{Archive, Deserialize, Serialize};

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct TrajectoryV1 {
    task: String,
    steps: Vec<StepV1>,
    labels: Vec<String>,
    rollout: Option<RolloutV1>,
    started_at_ms: u64,
}

#[derive(Archive, Serialize, Deserialize)]
struct StepV1 {
    observation: String,
    action: String,
}

#[derive(Archive, Serialize, Deserialize)]
struct RolloutV1 {
    group: String,
    attempt: u32,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct JudgmentV1 {
    outcome: u8,
    score: Option<f64>,
    evaluator: String,
    rationale: String,
    judged_at_ms: u64,
}

#[derive(Archive, Serialize, Deserialize)]
pub(super) struct StrategyV1 {
    title: String,
    description: String,
    content: String,
    kind: u8,
    labels: Vec<String>,
    action_signature: Option<String>,
    distiller: String,
    evidence: Vec<EvidenceV1>,
}

#[derive(Archive, Serialize, Deserialize)]
struct EvidenceV1 {
    trajectory: u64,
    first_step: u32,
    last_step: u32,
    polarity: u8,
}

fn unknown(field: &str, code: u8) -> Undecodable {
    Undecodable::Wrong(format!("{field} has the unknown code {code}"))
}

impl From<&Trajectory> for TrajectoryV1 {
    fn from(t: &Trajectory) -> Self {
        let step = |s: &Step| StepV1 { observation: s.observation.clone(), action: s.action.clone() };
        Self {
            task: t.task.clone(),
            steps: t.steps.iter().map(step).collect(),
            labels: t.labels.clone(),
            rollout: t.rollout.as_ref().map(|r| RolloutV1 { group: r.group.clone(), attempt: r.attempt }),
            started_at_ms: t.started_at_ms,
        }
    }
}

impl TryFrom<TrajectoryV1> for Trajectory {
    type Error = Undecodable;

    fn try_from(t: TrajectoryV1) -> Result<Self, Undecodable> {
        let step = |s: StepV1| Step { observation: s.observation, action: s.action };
        Ok(Self {
            task: t.task,
            steps: t.steps.into_iter().map(step).collect(),
            labels: t.labels,
            rollout: t.rollout.map(|r| Rollout { group: r.group, attempt: r.attempt }),
            started_at_ms: t.started_at_ms,
        })
    }
}

impl From<&Judgment> for JudgmentV1 {
    fn from(j: &Judgment) -> Self {
        Self {
            outcome: j.outcome as u8,
            score: j.score,
            evaluator: j.evaluator.clone(),
            rationale: j.rationale.clone(),
            judged_at_ms: j.judged_at_ms,
        }
    }
}

impl TryFrom<JudgmentV1> for Judgment {
    type Error = Undecodable;

    fn try_from(j: JudgmentV1) -> Result<Self, Undecodable> {
        Ok(Self {
            outcome: Outcome::from_code(j.outcome).ok_or_else(|| unknown("outcome", j.outcome))?,
            score: j.score,
            evaluator: j.evaluator,
            rationale: j.rationale,
            judged_at_ms: j.judged_at_ms,
        })
    }
}

impl From<&Strategy> for StrategyV1 {
    fn from(s: &Strategy) -> Self {
        let evidence = |e: &Evidence| EvidenceV1 {
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
            action_signature: s.action_signature.clone(),
            distiller: s.provenance.distiller.clone(),
            evidence: s.provenance.evidence.iter().map(evidence).collect(),
        }
    }
}

impl TryFrom<StrategyV1> for Strategy {
    type Error = Undecodable;

    fn try_from(s: StrategyV1) -> Result<Self, Undecodable> {
        Ok(Self {
            title: s.title,
            description: s.description,
            content: s.content,
            kind: StrategyKind::from_code(s.kind).ok_or_else(|| unknown("kind", s.kind))?,
            labels: s.labels,
            action_signature: s.action_signature,
            provenance: Provenance {
                distiller: s.distiller,
                evidence: s.evidence.into_iter().map(Evidence::try_from).collect::<Result<_, _>>()?,
            },
        })
    }
}

impl TryFrom<EvidenceV1> for Evidence {
    type Error = Undecodable;

    fn try_from(e: EvidenceV1) -> Result<Self, Undecodable> {
        Ok(Self {
            trajectory: Id::from_u64(e.trajectory),
            first_step: e.first_step,
            last_step: e.last_step,
            polarity: Polarity::from_code(e.polarity).ok_or_else(|| unknown("polarity", e.polarity))?,
        })
    }
}
