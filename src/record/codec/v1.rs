//! Version 1 of the records' archives, of lagdb before signatures, trust and status; only read. **Frozen**: bytes of these
//! structs are on disks.
//!
//! Closed sets are kept as their codes, so that an unknown code is refused here with its number.

use super::{Undecodable, unknown};
use crate::Id;
use crate::record::{
    Evidence, Judgment, JudgmentSource, Outcome, Polarity, Provenance, Rollout, Step, Strategy, StrategyKind,
    Trajectory,
};
use rkyv::{Archive, Deserialize};

#[derive(Archive, Deserialize)]
pub(super) struct TrajectoryV1 {
    task: String,
    steps: Vec<StepV1>,
    labels: Vec<String>,
    rollout: Option<RolloutV1>,
    started_at_ms: u64,
}

#[derive(Archive, Deserialize)]
struct StepV1 {
    observation: String,
    action: String,
}

#[derive(Archive, Deserialize)]
struct RolloutV1 {
    group: String,
    attempt: u32,
}

#[derive(Archive, Deserialize)]
pub(super) struct JudgmentV1 {
    outcome: u8,
    score: Option<f64>,
    evaluator: String,
    rationale: String,
    judged_at_ms: u64,
}

#[derive(Archive, Deserialize)]
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

#[derive(Archive, Deserialize)]
struct EvidenceV1 {
    trajectory: u64,
    first_step: u32,
    last_step: u32,
    polarity: u8,
}

impl TryFrom<TrajectoryV1> for Trajectory {
    type Error = Undecodable;

    fn try_from(t: TrajectoryV1) -> Result<Self, Undecodable> {
        Ok(Self {
            task: t.task,
            steps: t.steps.into_iter().map(|s| Step::new(s.observation, s.action)).collect(),
            labels: t.labels,
            rollout: t.rollout.map(|r| Rollout { group: r.group, attempt: r.attempt }),
            started_at_ms: t.started_at_ms,
            ..Self::default()
        })
    }
}

impl TryFrom<JudgmentV1> for Judgment {
    type Error = Undecodable;

    fn try_from(j: JudgmentV1) -> Result<Self, Undecodable> {
        Ok(Self {
            outcome: Outcome::from_code(j.outcome).ok_or_else(|| unknown("outcome", j.outcome))?,
            score: j.score,
            evaluator: j.evaluator,
            source: JudgmentSource::Unstated,
            rationale: j.rationale,
            judged_at_ms: j.judged_at_ms,
        })
    }
}

impl TryFrom<StrategyV1> for Strategy {
    type Error = Undecodable;

    fn try_from(s: StrategyV1) -> Result<Self, Undecodable> {
        let evidence = s.evidence.into_iter().map(Evidence::try_from).collect::<Result<_, _>>()?;
        Ok(Self {
            kind: StrategyKind::from_code(s.kind).ok_or_else(|| unknown("kind", s.kind))?,
            labels: s.labels,
            action_signatures: s.action_signature.into_iter().filter(|signature| !signature.is_empty()).collect(),
            provenance: Provenance { distiller: s.distiller, evidence },
            ..Self::new(s.title, s.description, s.content)
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
