//! A trajectory as one JSON object:
//! `{"task", "steps":[{"observation","action"}], "outcome"?, "score"?, "evaluator"?, "rationale"?, "labels"?, "group"?,
//! "attempt"?, "started_at_ms"?}`.

use super::{ImportedTrajectory, StepMap};
use lagdb::{Judgment, Outcome, Rollout, Step, Trajectory};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    task: String,
    steps: Vec<StepLine>,
    outcome: Option<OutcomeWord>,
    score: Option<f64>,
    evaluator: Option<String>,
    rationale: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    group: Option<String>,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    started_at_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepLine {
    observation: String,
    action: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OutcomeWord {
    Success,
    Partial,
    Failure,
    Unknown,
}

/// Reads one trajectory.
///
/// # Errors
/// What is missing, unknown or of the wrong type.
pub fn trajectory_line(value: Value) -> Result<ImportedTrajectory, String> {
    let line: Line = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let judgment = line.judgment()?;
    let steps: Vec<Step> = line.steps.into_iter().map(|step| Step::new(step.observation, step.action)).collect();
    let map = StepMap::identity(steps.len());
    let rollout = line.group.map(|group| Rollout { group, attempt: line.attempt });
    let trajectory = Trajectory {
        steps,
        labels: line.labels,
        rollout,
        ..Trajectory::new(line.task).started_at_ms(line.started_at_ms)
    };
    Ok(ImportedTrajectory { trajectory, judgment, steps: map, recording: None })
}

impl Line {
    /// What was said of it; a score or a rationale without an outcome would be lost, so it is refused.
    fn judgment(&self) -> Result<Option<Judgment>, String> {
        let Some(outcome) = self.outcome else {
            let said = self.score.is_some() || self.rationale.is_some() || self.evaluator.is_some();
            return if said { Err("score, evaluator and rationale need an `outcome`".to_owned()) } else { Ok(None) };
        };
        let evaluator = self.evaluator.clone().unwrap_or_else(|| "imported".to_owned());
        let judgment = Judgment::new(outcome.into(), evaluator).rationale(self.rationale.clone().unwrap_or_default());
        Ok(Some(self.score.into_iter().fold(judgment, Judgment::score)))
    }
}

impl From<OutcomeWord> for Outcome {
    fn from(word: OutcomeWord) -> Self {
        match word {
            OutcomeWord::Success => Self::Success,
            OutcomeWord::Partial => Self::Partial,
            OutcomeWord::Failure => Self::Failure,
            OutcomeWord::Unknown => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_full_line_keeps_every_field() {
        let line = json!({"task": "t", "steps": [{"observation": "o", "action": "a"}], "outcome": "partial",
            "score": 0.5, "evaluator": "e", "labels": ["l"], "group": "g", "attempt": 2, "started_at_ms": 7});
        let ImportedTrajectory { trajectory, judgment, .. } = trajectory_line(line).expect("a trajectory");
        assert_eq!(trajectory.rollout, Some(Rollout { group: "g".into(), attempt: 2 }));
        assert_eq!(judgment.map(|j| (j.outcome, j.score)), Some((Outcome::Partial, Some(0.5))));
        assert_eq!((trajectory.steps.len(), trajectory.started_at_ms), (1, 7));
    }

    #[test]
    fn a_misspelled_field_is_refused_not_dropped() {
        let error = trajectory_line(json!({"task": "t", "steps": [], "outcom": "success"})).expect_err("refused");
        assert!(error.contains("outcom"), "{error}");
    }

    #[test]
    fn a_score_without_an_outcome_is_refused_not_dropped() {
        let error = trajectory_line(json!({"task": "t", "steps": [], "score": 1.0})).expect_err("refused");
        assert!(error.contains("outcome"), "{error}");
    }
}
