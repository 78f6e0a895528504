//! One strategy: what it says, and the passages of trajectories it was distilled from.

use crate::commands::ScopeOptions;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use lagdb::{Error, Estimate, Evidence, Id, Polarity, Snapshot, Strategy, StrategyStats, Tally};
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
    let stats = snapshot.strategy_stats(Id::from_u64(options.id))?;
    output.print(
        || text(&strategy, &evidence, stats.as_ref()),
        || json(options.id, &strategy, &evidence, stats.as_ref()),
    )?;
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

fn text(strategy: &Strategy, evidence: &[Value], stats: Option<&StrategyStats>) -> String {
    let mut lines = vec![
        format!("{} ({})", strategy.title, strategy.kind.as_str()),
        format!("when     {}", strategy.description),
        format!("advice   {}", strategy.content),
    ];
    lines.extend(strategy.action_signatures.iter().map(|signature| format!("call     {signature}")));
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
    lines.extend(stats.map(used));
    lines.join("\n")
}

/// What became of it, in three lines.
fn used(stats: &StrategyStats) -> String {
    let tally = |t: &Tally| {
        format!(
            "{} times: {} success, {} partial, {} failure, {} unknown",
            t.n(),
            t.success,
            t.partial,
            t.failure,
            t.unknown
        )
    };
    let estimate = |e: &Estimate| format!("{:.3} ({:.3} to {:.3})", e.mean, e.lower, e.upper);
    format!(
        "injected {}\nwithheld {}\nsuccess  {}, uplift {}",
        tally(&stats.injected),
        tally(&stats.withheld),
        estimate(&stats.success),
        stats.uplift.as_ref().map_or_else(|| "not known".to_owned(), estimate)
    )
}

fn estimate(estimate: &Estimate) -> Value {
    json!({ "mean": estimate.mean, "lower": estimate.lower, "upper": estimate.upper })
}

fn tally(tally: &Tally) -> Value {
    json!({
        "success": tally.success, "partial": tally.partial, "failure": tally.failure, "unknown": tally.unknown,
    })
}

fn json(id: u64, strategy: &Strategy, evidence: &[Value], stats: Option<&StrategyStats>) -> Value {
    json!({
        "schema": "lagdb.strategy/1", "strategy": id, "title": strategy.title, "description": strategy.description,
        "content": strategy.content, "kind": strategy.kind.as_str(), "labels": strategy.labels,
        "action_signatures": strategy.action_signatures,
        "error_signatures": strategy.error_signatures, "status": strategy.status.as_str(),
        "superseded_by": strategy.superseded_by.map(Id::as_u64), "trust": strategy.trust.as_str(),
        "domain": strategy.domain, "created_at_ms": strategy.created_at_ms,
        "expires_at_ms": strategy.expires_at_ms, "distiller": strategy.provenance.distiller,
        "evidence": evidence,
        "stats": stats.map(|stats| json!({
            "injected": tally(&stats.injected), "withheld": tally(&stats.withheld), "unused": stats.n_unused,
            "success": estimate(&stats.success), "success_without": estimate(&stats.success_without),
            "uplift": stats.uplift.as_ref().map(estimate),
        })),
    })
}
