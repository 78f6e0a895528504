//! `lagdb guard`: what failures taught about an action, before it is taken; or about an error, after it was met.

use super::ScopeOptions;
use crate::failure::Outcome;
use crate::output::Output;
use lagdb::Lesson;
use serde_json::json;

/// About what.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    scope: ScopeOptions,
    /// The action in its normal form, such as `cancel(*)`.
    signature: String,
    /// It is an error that was met, not an action.
    #[arg(long)]
    error: bool,
}

/// Prints the lessons, the latest first.
///
/// # Errors
/// When the database cannot be read.
pub fn run(options: &Options, output: Output) -> Outcome {
    let snapshot = options.scope.open()?.snapshot()?;
    let signature = &options.signature;
    let lessons = if options.error { snapshot.guard_error(signature)? } else { snapshot.guard(signature)? };
    output.print(
        || if lessons.is_empty() { "nothing is known".to_owned() } else { lessons.iter().map(text).collect::<Vec<_>>().join("\n") },
        || json!({ "schema": "lagdb.guard/1", "signature": signature, "lessons": lessons.iter().map(fields).collect::<Vec<_>>() }),
    )?;
    Ok(())
}

fn text(lesson: &Lesson) -> String {
    let strategy = &lesson.strategy;
    format!("strategy {:<5} {:<10} {}\n       {}", lesson.id, strategy.kind.as_str(), strategy.title, strategy.content)
}

fn fields(lesson: &Lesson) -> serde_json::Value {
    let strategy = &lesson.strategy;
    json!({
        "strategy": lesson.id.as_u64(), "kind": strategy.kind.as_str(), "title": strategy.title,
        "description": strategy.description, "content": strategy.content, "trust": strategy.trust.as_str(),
    })
}
