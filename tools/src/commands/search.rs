//! `lagdb search`: trajectories or strategies by what they are about; or how well memory finds siblings of a task.

use super::ScopeOptions;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use lagdb::retrieval::Path;
use lagdb::{
    Error, Explanation, Filter, Hit, Id, LexicalEmbedder, Query, Record, Signals, Snapshot, Status, Strategy,
    StrategyKind, Trajectory, Trust,
};
use serde_json::{Value, json};

/// What to look for.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    scope: ScopeOptions,
    /// The words to look for.
    #[arg(required_unless_present_any = ["like", "leave_one_out", "newest"])]
    query: Vec<String>,
    /// Look for what is like this trajectory (its number), itself left out.
    #[arg(long, conflicts_with_all = ["query", "leave_one_out"])]
    like: Option<u64>,
    /// For every trajectory: look for what is like it, itself left out, and count how often another attempt of its
    /// rollout group comes first, and among the first three.
    #[arg(long, conflicts_with = "query")]
    leave_one_out: bool,
    /// The latest put first, whatever they are about.
    #[arg(long, conflicts_with_all = ["query", "like", "leave_one_out"])]
    newest: bool,
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
    #[command(flatten)]
    filter: FilterOptions,
    /// Prefer hits unlike those before them: 1 is relevance alone, 0 diversity alone.
    #[arg(long, value_name = "LAMBDA")]
    mmr: Option<f32>,
    /// Add so much of what is known of a record's success, 0 to 1, to its score.
    #[arg(long, value_name = "WEIGHT")]
    utility: Option<f32>,
    /// Say what each filter left, which way the index went, and what became of each candidate.
    #[arg(long)]
    explain: bool,
}

/// What must hold beside that; all of it.
#[derive(Clone, Debug, clap::Args)]
struct FilterOptions {
    /// Only without this label; may be given several times.
    #[arg(long)]
    not_label: Vec<String>,
    /// Only about this domain.
    #[arg(long)]
    domain: Option<String>,
    /// Only strategies with this status; otherwise active ones. May be given several times, then one must hold.
    #[arg(long, value_parser = status)]
    status: Vec<Status>,
    /// Only what is to be believed at least so far: low, medium or high.
    #[arg(long, value_parser = trust)]
    trust: Option<Trust>,
    /// Only from this time on, ms since 1970.
    #[arg(long)]
    since_ms: Option<u64>,
    /// Only before this time, ms since 1970.
    #[arg(long)]
    until_ms: Option<u64>,
    /// Only what took this action, or speaks about it.
    #[arg(long)]
    action_signature: Option<String>,
    /// Only what met this error, or speaks about it.
    #[arg(long)]
    error_signature: Option<String>,
}

impl FilterOptions {
    fn filter(&self) -> Filter {
        let mut all: Vec<Filter> = self.not_label.iter().map(|label| !Filter::label(label)).collect();
        all.extend(self.domain.iter().map(Filter::domain));
        all.extend(self.trust.map(|trust| Filter::trust(trust..)));
        all.extend(self.action_signature.iter().map(Filter::action_signature));
        all.extend(self.error_signature.iter().map(Filter::error_signature));
        if !self.status.is_empty() {
            all.push(Filter::any_of(self.status.iter().copied().map(Filter::status)));
        }
        if self.since_ms.is_some() || self.until_ms.is_some() {
            all.push(Filter::time_ms(self.since_ms.unwrap_or(0)..self.until_ms.unwrap_or(u64::MAX)));
        }
        Filter::all_of(all)
    }

    fn is_empty(&self) -> bool {
        self.filter() == Filter::everything()
    }
}

fn status(word: &str) -> Result<Status, String> {
    named(&Status::ALL, Status::as_str, word)
}

fn trust(word: &str) -> Result<Trust, String> {
    named(&Trust::ALL, Trust::as_str, word)
}

fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, word: &str) -> Result<T, String> {
    let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
    let found = all.iter().find(|one| name(**one) == word).copied();
    found.ok_or_else(|| format!("one of: {}", names.join(", ")))
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
    let (hits, explained) = match options.what {
        What::Trajectories => hits::<Trajectory>(&snapshot, &query)?,
        What::Strategies => hits::<Strategy>(&snapshot, &query)?,
    };
    if options.explain {
        return Ok(output.print(
            || format!("{}\n\n{}", text(&hits), explained_text(&explained)),
            || json!({ "schema": "lagdb.search/1", "hits": hits, "explanation": explained }),
        )?);
    }
    output.print(|| text(&hits), || json!({ "schema": "lagdb.search/1", "hits": hits }))?;
    Ok(())
}

impl Options {
    fn query(&self, snapshot: &Snapshot) -> Result<Query, Failure> {
        let words = match self.like {
            Some(number) => trajectory(snapshot, number)?.task,
            None => self.query.join(" "),
        };
        let mut query = if self.newest { Query::newest() } else { near(&words) }.limit(self.limit);
        if !self.filter.is_empty() {
            query = query.filter(self.filter.filter());
        }
        query = self.mmr.into_iter().fold(query, Query::mmr);
        query = self.utility.into_iter().fold(query, Query::utility);
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
pub(super) fn near(words: &str) -> Query {
    Query::near(LexicalEmbedder::default().embed(words))
}

fn trajectory(snapshot: &Snapshot, number: u64) -> Result<Trajectory, Failure> {
    let found = snapshot.get(Id::<Trajectory>::from_u64(number))?;
    Ok(found.ok_or_else(|| Error::invalid("trajectory", format!("there is no trajectory {number} in this scope")))?)
}

/// A record that can be shown as a hit.
pub(super) trait Shown: Record + Sized {
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
            "kind": self.kind.as_str(), "labels": self.labels, "status": self.status.as_str(),
            "action_signatures": self.action_signatures,
            "evidence": self.provenance.evidence.len(),
        }))
    }
}

fn hits<R: Shown>(snapshot: &Snapshot, query: &Query) -> lagdb::Result<(Vec<Value>, Value)> {
    let explanation = snapshot.explain::<R>(query)?;
    let hits = explanation.hits.iter().map(|hit| shown(snapshot, hit)).collect::<lagdb::Result<Vec<_>>>()?;
    Ok((hits, explained(&explanation)))
}

/// A hit as it is printed.
pub(super) fn shown<R: Shown>(snapshot: &Snapshot, hit: &Hit<R>) -> lagdb::Result<Value> {
    let mut fields = hit.record.fields(hit.id, snapshot)?;
    fields["score"] = json!(hit.score);
    fields["signals"] = signals(&hit.signals);
    Ok(fields)
}

fn signals(signals: &Signals) -> Value {
    json!({ "similarity": signals.similarity, "utility": signals.utility, "recency": signals.recency })
}

fn explained<R: Record>(explanation: &Explanation<R>) -> Value {
    let filters =
        explanation.filters.iter().map(|kept| json!({ "filter": kept.filter.to_string(), "left": kept.n_left }));
    let considered = explanation.considered.iter().map(|one| {
        json!({
            "id": one.id.as_u64(), "score": one.score, "signals": signals(&one.signals), "fate": one.fate.as_str(),
        })
    });
    json!({
        "records": explanation.n_records, "filters": filters.collect::<Vec<_>>(), "path": path(explanation.path),
        "considered": considered.collect::<Vec<_>>(),
    })
}

fn path(path: Path) -> String {
    match path {
        Path::Nothing => "nothing to look at".to_owned(),
        Path::Nearest(plan) => plan.to_string(),
        Path::Newest => "the latest put first".to_owned(),
        other => format!("{other:?}"),
    }
}

fn explained_text(explanation: &Value) -> String {
    let list = |field: &str| explanation[field].as_array().cloned().unwrap_or_default();
    let mut lines = vec![format!("{} records in the scope", explanation["records"])];
    lines.extend(
        list("filters")
            .iter()
            .map(|kept| format!("{:>7} left by: {}", kept["left"], kept["filter"].as_str().unwrap_or_default())),
    );
    lines.push(explanation["path"].as_str().unwrap_or_default().to_owned());
    lines.extend(list("considered").iter().map(|one| {
        let score = one["score"].as_f64().unwrap_or_default();
        format!("{score:>7.3} {:<6} {}", one["id"], one["fate"].as_str().unwrap_or_default())
    }));
    lines.join("\n")
}

/// Hits for people.
pub(super) fn text(hits: &[Value]) -> String {
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
