//! Solutions of grade-school-math problems, right and wrong, in the form of GSM8K's `example_model_solutions`: a line is
//! `{question, ground_truth, NAME: {is_correct, solution}, …}`.
//!
//! The solutions of a problem become one rollout group. A line of a solution is a step; what it computes (`<<16-3=13>>`) and
//! what it answers (`A: 18`) are calls, so that solutions part where they compute something else. The published solution is the
//! reference: a failure is told by the first call that is not in it, which a right detour would be as well.
//!
//! Cobbe et al., *Training verifiers to solve math word problems*, 2021, <https://arxiv.org/abs/2110.14168>.

use super::{Call, Event, ImportedTrajectory, Recording, StepMap};
use lagdb::{Judgment, JudgmentSource, Outcome, Rollout, Step, Trajectory};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Problem {
    question: String,
    ground_truth: String,
    #[serde(flatten)]
    solutions: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Solution {
    is_correct: bool,
    solution: String,
}

/// Reads the solutions of one problem; `number` says which problem it is.
///
/// # Errors
/// What is missing or of the wrong type.
pub fn gsm8k_line(value: Value, number: usize) -> Result<Vec<ImportedTrajectory>, String> {
    let problem: Problem = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let group = number.to_string();
    let reference: Vec<Call> = problem.ground_truth.lines().flat_map(|line| calls(&group, line)).collect();
    let imported = |((name, solution), attempt): ((&String, &Value), u32)| {
        let solution: Solution = Solution::deserialize(solution).map_err(|error| format!("{name}: {error}"))?;
        let mut steps = Vec::new();
        let mut events = vec![Event::Said(problem.question.clone())];
        for (at, line) in (0..).zip(solution.solution.lines()) {
            let mut step = Step::new(if at == 0 { problem.question.as_str() } else { "" }, line);
            for call in calls(&group, line) {
                step.action_signature = Some(call.action().map_err(|error| error.to_string())?.call());
                events.push(Event::Called { step: at, call });
            }
            steps.push(step);
        }
        let map = StepMap::identity(steps.len());
        let rollout = Some(Rollout { group: group.clone(), attempt });
        let labels = vec![name.clone()];
        let trajectory = Trajectory { steps, rollout, labels, ..Trajectory::new(&problem.question) };
        let (outcome, score) = if solution.is_correct { (Outcome::Success, 1.0) } else { (Outcome::Failure, 0.0) };
        let judgment = Judgment::new(outcome, "gsm8k answer").source(JudgmentSource::Environment).score(score);
        let recording = Some(Recording { events, reference: Some(reference.clone()) });
        Ok(ImportedTrajectory { trajectory, judgment: Some(judgment), steps: map, recording })
    };
    problem.solutions.iter().zip(0..).map(imported).collect()
}

/// What a line computes and answers, in order.
fn calls(problem: &str, line: &str) -> Vec<Call> {
    let call = |tool: &str, text: &str| {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        Call { tool: tool.to_owned(), arguments: json!({ "problem": problem, tool: text }) }
    };
    let computed = line.split("<<").skip(1).filter_map(|rest| rest.split_once(">>"));
    let answered = ["A:", "####"].into_iter().find_map(|mark| line.trim().strip_prefix(mark));
    computed.map(|(text, _)| call("compute", text)).chain(answered.map(|text| call("answer", text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solutions_of_a_problem_are_attempts_that_part_where_they_compute_something_else() {
        let line = json!({"question": "How many?", "ground_truth": "16 - 7 = <<16-7=9>>9\nA: 9",
            "small": {"is_correct": false, "solution": "16 - 3 = <<16 - 3=13>>13\nso\nA: 13"},
            "large": {"is_correct": true, "solution": "16 - 7 = <<16-7=9>>9\nA: 9"}});
        let all = gsm8k_line(line, 12).expect("two solutions");
        let [wrong, right] = all.as_slice() else { panic!("not two") };
        assert_eq!(wrong.trajectory.rollout, Some(Rollout { group: "12".into(), attempt: 0 }));
        assert_eq!(wrong.judgment.as_ref().map(|it| it.outcome), Some(Outcome::Failure));
        assert_eq!(right.judgment.as_ref().map(|it| it.outcome), Some(Outcome::Success));
        let signature = wrong.trajectory.steps[0].action_signature.as_deref();
        assert_eq!(signature, Some(r#"compute(compute="16-3=13", problem="12")"#));
        assert_eq!(wrong.trajectory.steps[1].action_signature, None);
        let recording = right.recording.as_ref().expect("a recording");
        let did: Vec<Call> = recording
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Called { call, .. } => Some(call.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(recording.reference.as_ref(), Some(&did), "the right one did what the published one does");
        assert!(
            gsm8k_line(json!({"question": "q", "ground_truth": "t", "x": 1}), 1).is_err_and(|it| it.contains("x: "))
        );
    }
}
