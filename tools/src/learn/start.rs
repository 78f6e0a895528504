//! What a memory holds before the first task: items from elsewhere, right or wrong, or KV logs of another stream.

use super::dialect::{ToolDialect, lesson};
use super::environment::task;
use super::mind::Speaker;
use super::recorder::{Recorder, take};
use super::settings::Start;
use crate::failure::Failure;
use crate::tool_choice::{Choice, Item, N_TOOLS, ToolWorld, Word, page, text};
use crate::world::Rng;
use lagdb::agent::{Agent, Attempt, ConversationOptions, Decoding, Dialect, Ending, LanguageModel};
use lagdb::{Judgment, LexicalEmbedder, Outcome, Scope, Step, Strategy};
use std::time::Duration;

/// Attempts that the control finds of another stream.
const N_OF_ANOTHER: usize = 24;

/// Puts the items that an arm begins with into its memory: lessons without evidence.
///
/// # Errors
/// When the database cannot be written.
pub(super) fn import_items(scope: &Scope, items: Vec<Item>) -> Result<(), Failure> {
    let mut tx = scope.begin()?;
    let embedder = LexicalEmbedder::default();
    for item in items {
        let lesson = strategy(item);
        let id = tx.put_new(&lesson)?;
        tx.embed(id, &embedder.embed(&ToolDialect::default().search_text(&lesson)))?;
    }
    tx.commit()?;
    Ok(())
}

/// Recommendations from elsewhere: for every pair, or only the wrong ones; one of each site's is wrong unless all are right.
pub(super) fn items(world: &ToolWorld, start: Start, rng: &mut Rng) -> Vec<Item> {
    let pairs = world.pairs();
    let mut items = Vec::new();
    for site in pairs.chunks(pairs.len() / 4) {
        let wrong = rng.below(site.len());
        for (i, &(site, subgoal, right)) in site.iter().enumerate() {
            let off = 1 + rng.below(N_TOOLS - 1);
            let other = Word::tool((right.tool_number().unwrap_or(0) + off) % N_TOOLS).unwrap_or(right);
            let good = Item { site, subgoal, tool: right, works: true };
            match (start, i == wrong) {
                (Start::Empty, _) | (Start::Poison, false) => {}
                (Start::Poison | Start::WrongPlaybook, true) => items.push(Item { tool: other, ..good }),
                (Start::Playbook, _) | (Start::WrongPlaybook, false) => items.push(good),
            }
        }
    }
    items
}

/// Remembers successes of a stream with the same sites and subgoals and another mapping, with the KV logs of their judging.
///
/// # Errors
/// When the model or the database fails.
pub(super) fn import_logs(agent: &Agent, model: &Speaker, world: &ToolWorld, rng: &mut Rng) -> Result<(), Failure> {
    let another = world.with_other_tools(rng);
    let recorder = Recorder::new(model.clone());
    for number in 0..N_OF_ANOTHER {
        let tool_task = another.task(rng);
        let choices: Vec<Choice> = tool_task
            .subgoals
            .iter()
            .filter_map(|subgoal| {
                let tool = another.right_tool(tool_task.site, *subgoal)?;
                Some(Choice { subgoal: *subgoal, tool, page: page(*subgoal, true, rng) })
            })
            .collect();
        let mut conversation = recorder.open(&ConversationOptions::default())?;
        conversation.say(&text(&tool_task.judge_prompt(&choices)))?;
        conversation.reply(&Decoding::greedy(1), &mut |_| {})?;
        let steps = choices.iter().map(|choice| Step::new(choice.subgoal.text(), choice.tool.text()));
        let attempt = Attempt {
            steps: steps.collect(),
            ending: Ending::Done,
            prefill_tokens: 0,
            attached_tokens: 0,
            logs: Vec::new(),
            time_to_first_token: Duration::ZERO,
            kv_log: take(&recorder.kept()).pop(),
            problem: None,
            warnings: Vec::new(),
        };
        let mut task = task(&tool_task, number);
        task.name = format!("{} of another stream", task.name);
        agent.remember(&task, &attempt, &Judgment::new(Outcome::Success, "another stream"), 0)?;
    }
    Ok(())
}

fn strategy(item: Item) -> Strategy {
    let lesson = lesson(item);
    let mut strategy = Strategy::new(lesson.title, lesson.description, lesson.content).domain(item.site.text());
    strategy.kind = lesson.kind.unwrap_or(strategy.kind);
    strategy.labels = lesson.labels;
    strategy.action_signatures = lesson.action_signatures;
    strategy.provenance.distiller = "imported".to_owned();
    strategy
}
