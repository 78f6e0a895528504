//! One trajectory: its steps, what was said of it, what was learned from it, and the KV logs it left.

use crate::commands::ScopeOptions;
use crate::failure::Outcome;
use crate::output::{Output, bytes};
use lagdb::{Error, Id, Judgment, KvLogInfo, Trajectory};
use serde_json::{Value, json};

/// Which trajectory.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    scope: ScopeOptions,
    /// Its number, as `lagdb search` prints it.
    id: u64,
}

/// Prints the trajectory.
///
/// # Errors
/// When it is not in the scope.
pub(super) fn run(options: &Options, output: Output) -> Outcome {
    let snapshot = options.scope.open_to_read()?.snapshot()?;
    let id = Id::<Trajectory>::from_u64(options.id);
    let missing = || Error::invalid("trajectory", format!("there is no trajectory {} in this scope", options.id));
    let trajectory = snapshot.get(id)?.ok_or_else(missing)?;
    let (judgments, logs) = (snapshot.judgments(id)?, snapshot.kv_logs(id)?);
    let strategies: Vec<u64> = snapshot.strategies_from(id)?.iter().map(|id| id.as_u64()).collect();
    output.print(
        || text(&trajectory, &judgments, &strategies, &logs),
        || json(options.id, &trajectory, &judgments, &strategies, &logs),
    )?;
    Ok(())
}

fn text(trajectory: &Trajectory, judgments: &[Judgment], strategies: &[u64], logs: &[KvLogInfo]) -> String {
    let mut lines = vec![format!("task       {}", trajectory.task)];
    lines.extend(trajectory.rollout.iter().map(|r| format!("rollout    group {}, attempt {}", r.group, r.attempt)));
    lines.extend(judgments.iter().map(|judgment| {
        let score = judgment.score.map_or_else(String::new, |score| format!(", score {score}"));
        format!("judged     {} by {}{score}", judgment.outcome.as_str(), judgment.evaluator)
    }));
    if !strategies.is_empty() {
        lines.push(format!("strategies {strategies:?}"));
    }
    lines.extend(logs.iter().map(|log| {
        let model = &log.fingerprint_id.to_string()[..16];
        format!(
            "KV log     {} tokens, {}, segment {}, model {model}",
            log.n_tokens,
            bytes(log.n_bytes),
            log.segment.as_u64()
        )
    }));
    for (i, step) in trajectory.steps.iter().enumerate() {
        lines.push(format!("step {i}\n  read  {}\n  did   {}", indented(&step.observation), indented(&step.action)));
    }
    lines.join("\n")
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n        ")
}

fn json(id: u64, trajectory: &Trajectory, judgments: &[Judgment], strategies: &[u64], logs: &[KvLogInfo]) -> Value {
    let steps = trajectory.steps.iter().map(|s| json!({ "observation": s.observation, "action": s.action }));
    let judgments = judgments.iter().map(|judgment| {
        json!({
            "outcome": judgment.outcome.as_str(), "score": judgment.score, "evaluator": judgment.evaluator,
            "rationale": judgment.rationale,
        })
    });
    let logs = logs.iter().map(|log| {
        json!({
            "fingerprint": log.fingerprint_id.to_string(), "n_tokens": log.n_tokens, "n_bytes": log.n_bytes,
            "segment": log.segment.as_u64(),
        })
    });
    json!({
        "schema": "lagdb.trajectory/1", "trajectory": id, "task": trajectory.task, "labels": trajectory.labels,
        "group": trajectory.rollout.as_ref().map(|r| &r.group),
        "attempt": trajectory.rollout.as_ref().map(|r| r.attempt), "started_at_ms": trajectory.started_at_ms,
        "judgments": judgments.collect::<Vec<_>>(), "strategies": strategies, "kv_logs": logs.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
    })
}
