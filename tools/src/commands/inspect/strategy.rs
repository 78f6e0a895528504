//! One strategy: what it says, and the passages of trajectories it was distilled from.

use crate::commands::ScopeOptions;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use lagdb::{Error, Evidence, Id, Polarity, Snapshot, Strategy};
use serde_json::{Value, json};

/// Which strategy.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    scope: ScopeOptions,
    /// Its number, as `lagdb search --what strategies` prints it.
    id: u64,
}

/// Prints the strategy.
///
/// # Errors
/// When it is not in the scope.
pub(super) fn run(options: &Options, output: Output) -> Outcome {
    let snapshot = options.scope.open_to_read()?.snapshot()?;
    let missing = || Error::invalid("strategy", format!("there is no strategy {} in this scope", options.id));
    let strategy = snapshot.get(Id::<Strategy>::from_u64(options.id))?.ok_or_else(missing)?;
    let evidence: Result<Vec<Value>, Failure> =
        strategy.provenance.evidence.iter().map(|evidence| passage(evidence, &snapshot)).collect();
    let evidence = evidence?;
    output.print(|| text(&strategy, &evidence), || json(options.id, &strategy, &evidence))?;
    Ok(())
}

fn passage(evidence: &Evidence, snapshot: &Snapshot) -> Result<Value, Failure> {
    let trajectory = snapshot.get(evidence.trajectory)?;
    let rollout = trajectory.as_ref().and_then(|trajectory| trajectory.rollout.as_ref());
    Ok(json!({
        "trajectory": evidence.trajectory.as_u64(), "present": trajectory.is_some(),
        "group": rollout.map(|r| &r.group), "attempt": rollout.map(|r| r.attempt),
        "outcome": snapshot.outcome(evidence.trajectory)?.as_str(),
        "first_step": evidence.first_step, "last_step": evidence.last_step,
        "polarity": match evidence.polarity { Polarity::Support => "support", Polarity::Contradict => "contradict" },
    }))
}

fn text(strategy: &Strategy, evidence: &[Value]) -> String {
    let mut lines = vec![
        format!("{} ({})", strategy.title, strategy.kind.as_str()),
        format!("when     {}", strategy.description),
        format!("advice   {}", strategy.content),
    ];
    lines.extend(strategy.action_signature.iter().map(|signature| format!("call     {signature}")));
    if !strategy.labels.is_empty() {
        lines.push(format!("labels   {}", strategy.labels.join(", ")));
    }
    lines.push(format!("from     {} ({} passages)", strategy.provenance.distiller, evidence.len()));
    lines.extend(evidence.iter().map(|passage| {
        format!(
            "         trajectory {} ({}), steps {} to {}: {}",
            passage["trajectory"],
            passage["outcome"].as_str().unwrap_or_default(),
            passage["first_step"],
            passage["last_step"],
            passage["polarity"].as_str().unwrap_or_default()
        )
    }));
    lines.join("\n")
}

fn json(id: u64, strategy: &Strategy, evidence: &[Value]) -> Value {
    json!({
        "schema": "lagdb.strategy/1", "strategy": id, "title": strategy.title, "description": strategy.description,
        "content": strategy.content, "kind": strategy.kind.as_str(), "labels": strategy.labels,
        "action_signature": strategy.action_signature, "distiller": strategy.provenance.distiller,
        "evidence": evidence,
    })
}
