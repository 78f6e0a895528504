//! One stream told in English, so that a person sees what the numbers are about.

use super::tasks::{FollowUpTask, words};
use super::{Arm, Stream};
use crate::failure::Failure;
use crate::world::{Kind, Through, english_fact, english_question, english_response};
use lagdb::agent::{Agent, Environment};
use lagdb::format::KvRead;
use lagdb::generate::Generator;

/// Who plays.
pub(super) fn introduction(generator: &Generator) -> String {
    let geometry = generator.fingerprint().geometry;
    format!(
        "model: {} layers, {} KV heads x {}; fingerprint {}\n",
        geometry.n_layers,
        geometry.n_kv_heads,
        geometry.head_dim,
        &generator.fingerprint().id().to_string()[..16]
    )
}

/// A source task, and a follow-up that needs what it saw, under three arms.
///
/// # Errors
/// When the database or the model fails.
pub(super) fn tell(agent: &Agent, generator: &Generator, stream: &Stream) -> Result<String, Failure> {
    let Some((source, id)) = stream.sources.first() else { return Ok(String::new()) };
    let snapshot = agent.scope().snapshot()?;
    let answer = snapshot.get(*id)?.and_then(|trajectory| trajectory.steps.last().map(|step| words(&step.action)));
    let n_tokens = snapshot.kv_log(*id, generator.fingerprint())?.map_or(0, |log| log.n_tokens());
    let mut lines = vec!["An earlier task".to_owned(), format!("  read    {} facts, among them:", source.facts.len())];
    lines.extend(source.org_facts().map(|fact| format!("          {}", english_fact(fact))));
    lines.push(format!("  asked   {}", english_question(source.question)));
    lines.push(format!("  said    {}", english_response(&answer.unwrap_or_default())));
    lines.push(format!(
        "  kept    keys and values of {n_tokens} tokens, {} layers",
        generator.fingerprint().geometry.n_layers
    ));
    let mut world = stream.world.clone();
    let follow_up = world.follow_up(source, Kind::Unspelled, Through::Bridge).map_err(super::live::exhausted)?;
    let employer = follow_up.facts.iter().find(|fact| fact.subject == follow_up.question.person);
    lines.push("A later task, other documents".to_owned());
    lines.extend(employer.map(|fact| format!("  read    {}", english_fact(*fact))));
    lines.push(format!("  asked   {}", english_question(follow_up.question)));
    for arm in [Arm::None, Arm::Text, Arm::Kv] {
        let mut environment = FollowUpTask::new(&follow_up);
        let recollection = agent.recall(environment.task(), arm.recall(), 1, &[])?;
        let attempt = agent.solve(&mut environment, &recollection)?;
        let first = attempt.steps.first().map(|step| english_response(&words(&step.action)));
        lines.push(format!("  {:<7} {}", arm.name(), first.unwrap_or_default()));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}
