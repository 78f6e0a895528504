//! `lagdb search`: trajectories or strategies by what they are about; or how well memory finds siblings of a task.

use super::ScopeOptions;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use lagdb::{Error, Hit, Id, LexicalEmbedder, Query, Record, Snapshot, Strategy, StrategyKind, Trajectory};
use serde_json::{Value, json};

/// What to look for.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    scope: ScopeOptions,
    /// The words to look for.
    #[arg(required_unless_present_any = ["like", "leave_one_out"])]
    query: Vec<String>,
    /// Look for what is like this trajectory (its number), itself left out.
    #[arg(long, conflicts_with_all = ["query", "leave_one_out"])]
    like: Option<u64>,
    /// For every trajectory: look for what is like it, itself left out, and count how often another attempt of its
    /// rollout group comes first, and among the first three.
    #[arg(long, conflicts_with = "query")]
    leave_one_out: bool,
    /// What to look for.
    #[arg(long, value_enum, default_value_t = What::Trajectories)]
    what: What,
    /// Most hits.
    #[arg(long, short = 'n', default_value_t = 5)]
    limit: usize,
    /// Only with this outcome.
    #[arg(long, value_enum)]
    outcome: Option<OutcomeName>,
    /// Only with this label; may be given several times, then all must hold.
    #[arg(long)]
    label: Vec<String>,
    /// Only strategies of this kind.
    #[arg(long, value_enum)]
    kind: Option<KindName>,
    /// Leave out this trajectory (its number) and what was distilled from it; may be given several times.
    #[arg(long)]
    exclude: Vec<u64>,
    /// Leave out all attempts of this rollout group, and what was distilled from them.
    #[arg(long)]
    exclude_group: Option<String>,
    /// Least cosine similarity.
    #[arg(long)]
    floor: Option<f32>,
}

/// Kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Tasks as they were lived.
    Trajectories,
    /// What was learned from them.
    Strategies,
}

/// Outcomes, as they are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OutcomeName {
    /// Judged a success.
    Success,
    /// Judged partly right.
    Partial,
    /// Judged a failure.
    Failure,
    /// Not judged.
    Unknown,
}

impl From<OutcomeName> for lagdb::Outcome {
    fn from(name: OutcomeName) -> Self {
        match name {
            OutcomeName::Success => Self::Success,
            OutcomeName::Partial => Self::Partial,
            OutcomeName::Failure => Self::Failure,
            OutcomeName::Unknown => Self::Unknown,
        }
    }
}

/// Kinds of strategies, as they are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KindName {
    /// What worked.
    Procedure,
    /// What to check or avoid.
    Guardrail,
    /// What parts a success from a failure.
    Contrast,
}

impl From<KindName> for StrategyKind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Procedure => Self::Procedure,
            KindName::Guardrail => Self::Guardrail,
            KindName::Contrast => Self::Contrast,
        }
    }
}

/// Searches and prints the hits, best first.
///
/// # Errors
/// When the database cannot be read, or a named trajectory is not there.
pub fn run(options: &Options, output: Output) -> Outcome {
    let snapshot = options.scope.open_to_read()?.snapshot()?;
    if options.leave_one_out {
        return leave_one_out(&snapshot, output);
    }
    let query = options.query(&snapshot)?;
    let hits = match options.what {
        What::Trajectories => hits::<Trajectory>(&snapshot, &query)?,
        What::Strategies => hits::<Strategy>(&snapshot, &query)?,
    };
    output.print(|| text(&hits), || json!({ "schema": "lagdb.search/1", "hits": hits }))?;
    Ok(())
}

impl Options {
    fn query(&self, snapshot: &Snapshot) -> Result<Query, Failure> {
        let words = match self.like {
            Some(number) => trajectory(snapshot, number)?.task,
            None => self.query.join(" "),
        };
        let mut query = near(&words).limit(self.limit);
        query = self.outcome.into_iter().fold(query, |query, outcome| query.outcome(outcome.into()));
        query = self.label.iter().fold(query, |query, label| query.label(label));
        query = self.kind.into_iter().fold(query, |query, kind| query.kind(kind.into()));
        let excluded = self.exclude.iter().chain(&self.like);
        query = excluded.fold(query, |query, id| query.exclude(Id::<Trajectory>::from_u64(*id)));
        query = self.exclude_group.iter().fold(query, |query, group| query.exclude_group(group));
        Ok(self.floor.into_iter().fold(query, Query::floor))
    }
}

/// A query in the lexical space; the search refuses it where embeddings were made by another embedder.
fn near(words: &str) -> Query {
    Query::near(LexicalEmbedder::default().embed(words))
}

fn trajectory(snapshot: &Snapshot, number: u64) -> Result<Trajectory, Failure> {
    let found = snapshot.get(Id::<Trajectory>::from_u64(number))?;
    Ok(found.ok_or_else(|| Error::invalid("trajectory", format!("there is no trajectory {number} in this scope")))?)
}

/// A record that can be shown as a hit.
trait Shown: Record + Sized {
    fn fields(&self, id: Id<Self>, snapshot: &Snapshot) -> lagdb::Result<Value>;
}

impl Shown for Trajectory {
    fn fields(&self, id: Id<Self>, snapshot: &Snapshot) -> lagdb::Result<Value> {
        let rollout = self.rollout.as_ref();
        Ok(json!({
            "trajectory": id.as_u64(), "task": self.task, "outcome": snapshot.outcome(id)?.as_str(),
            "steps": self.steps.len(), "labels": self.labels,
            "group": rollout.map(|r| &r.group), "attempt": rollout.map(|r| r.attempt),
        }))
    }
}

impl Shown for Strategy {
    fn fields(&self, id: Id<Self>, _: &Snapshot) -> lagdb::Result<Value> {
        Ok(json!({
            "strategy": id.as_u64(), "title": self.title, "description": self.description, "content": self.content,
            "kind": self.kind.as_str(), "labels": self.labels, "action_signature": self.action_signature,
            "evidence": self.provenance.evidence.len(),
        }))
    }
}

fn hits<R: Shown>(snapshot: &Snapshot, query: &Query) -> lagdb::Result<Vec<Value>> {
    let show = |hit: Hit<R>| {
        let mut fields = hit.record.fields(hit.id, snapshot)?;
        fields["score"] = json!(hit.score);
        Ok(fields)
    };
    snapshot.search::<R>(query)?.into_iter().map(show).collect()
}

fn text(hits: &[Value]) -> String {
    let line = |hit: &Value| {
        let string = |field: &str| hit[field].as_str().unwrap_or_default().replace('\n', " ");
        let score = hit["score"].as_f64().unwrap_or_default();
        match hit["trajectory"].as_u64() {
            Some(id) => format!("{score:.3}  trajectory {id:<5} {:<8} {}", string("outcome"), string("task")),
            None => format!(
                "{score:.3}  strategy {:<5} {:<10} {}\n       {}",
                hit["strategy"],
                string("kind"),
                string("title"),
                string("content")
            ),
        }
    };
    if hits.is_empty() { "nothing found".to_owned() } else { hits.iter().map(line).collect::<Vec<_>>().join("\n") }
}

/// How often a sibling of a trajectory's rollout group is found by the trajectory's own task, itself left out.
fn leave_one_out(snapshot: &Snapshot, output: Output) -> Outcome {
    let ids = snapshot.ids::<Trajectory>()?;
    let bar = output.progress(ids.len() as u64, "searching");
    let (mut n, mut first, mut among_three) = (0u64, 0u64, 0u64);
    for id in ids {
        bar.inc(1);
        let Some(Trajectory { task, rollout: Some(rollout), .. }) = snapshot.get(id)? else { continue };
        let query = near(&task).limit(3).exclude(id);
        let hits = snapshot.search::<Trajectory>(&query)?;
        let is_sibling = |hit: &Hit<Trajectory>| hit.record.rollout.as_ref().is_some_and(|r| r.group == rollout.group);
        n += 1;
        first += u64::from(hits.first().is_some_and(is_sibling));
        among_three += u64::from(hits.iter().any(is_sibling));
    }
    bar.finish_and_clear();
    let share = |count: u64| count as f64 / n.max(1) as f64;
    output.print(
        || {
            format!(
                "{n} trajectories: another attempt of the same group first in {:.3}, among three in {:.3}",
                share(first),
                share(among_three)
            )
        },
        || json!({ "schema": "lagdb.leave_one_out/1", "n": n, "first": share(first), "among_three": share(among_three) }),
    )?;
    Ok(())
}
