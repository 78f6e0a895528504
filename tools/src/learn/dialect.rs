//! How an agent of the tool-choice world speaks with its model: sixty words, one token each, no sentence.
//!
//! A lesson is a strategy whose content is an item (`Delta search api works`) and whose title says it to people. Its action
//! signature is what the item is about (`Delta search api`), so that what works and what fails of one choice meet.

use super::environment::choices;
use crate::tool_choice::{Item, ToolTask, Word, parse_items, text, words};
use lagdb::agent::{Caution, Dialect, Item as Lesson, Learning, Lived, Material, Rejected, Rejection, Task, Verdict};
use lagdb::{Judgment, Outcome, Step, Strategy, StrategyKind};

/// The language of the tool-choice model.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToolDialect {
    /// Read only what to avoid from failures.
    pub avoid_only: bool,
}

/// The lesson that says an item.
pub(super) fn lesson(item: Item) -> Lesson {
    let Item { site, subgoal, tool, works } = item;
    let kind = if works { StrategyKind::Procedure } else { StrategyKind::Guardrail };
    Lesson {
        title: item.english(),
        description: format!("{subgoal} at {site}"),
        content: text(&item.words()),
        kind: Some(kind),
        action_signatures: vec![text(&[site, subgoal, tool])],
        labels: vec![format!("at {site}"), format!("for {subgoal}")],
        ..Lesson::default()
    }
}

/// The item that a strategy says, if it is of this world.
pub(super) fn item_of(strategy: &Strategy) -> Option<Item> {
    Item::parse(&words(&strategy.content)?)
}

/// The task, as its keywords tell it.
fn tool_task(task: &Task) -> Option<ToolTask> {
    let words = words(&task.query)?;
    let (site, subgoals) = words.split_first()?;
    Some(ToolTask { site: *site, subgoals: subgoals.to_vec() })
}

/// A number that depends on all of a text, FNV-1a.
fn mixed(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

impl Dialect for ToolDialect {
    fn name(&self) -> &str {
        "tool-choice/1"
    }

    /// The items, right after `<bos>`, in an order that says nothing, as in training.
    fn remind(&self, lessons: &[Strategy], observation: &str) -> String {
        let mut items: Vec<&str> = lessons.iter().map(|lesson| lesson.content.as_str()).collect();
        items.sort_by_key(|item| mixed(&format!("{item} {observation}")));
        let bos = Word::BOS.text();
        let rest = observation.strip_prefix(bos).unwrap_or(observation);
        format!("{bos} {}{rest}", items.join(" "))
    }

    /// What the model has just said becomes an item that refutes: `Delta pay [menu] fails Delta pay`.
    fn warn(&self, lessons: &[Strategy]) -> String {
        let place = lessons.iter().find_map(item_of).map(|item| text(&[Word::FAILS, item.site, item.subgoal]));
        place.unwrap_or_default()
    }

    fn retry(&self, observation: &str, _: usize, _: &Judgment) -> String {
        let words: Vec<&str> = observation.split_whitespace().collect();
        let place = words[words.len().saturating_sub(2)..].join(" ");
        format!("{} {place}", Word::AGAIN)
    }

    fn ask_verdict(&self, task: &Task, steps: &[Step], _: Caution) -> String {
        tool_task(task).map(|task| text(&task.judge_prompt(&choices(steps)))).unwrap_or_default()
    }

    fn read_verdict(&self, reply: &str) -> Verdict {
        match Word::parse(reply.trim()) {
            Some(Word::SUCCESS) => Verdict::Is(Outcome::Success),
            Some(Word::FAILURE) => Verdict::Is(Outcome::Failure),
            _ => Verdict::Abstains(format!("{reply:?} is no verdict")),
        }
    }

    fn verdict_first(&self) -> bool {
        true
    }

    /// Several attempts are told with one that succeeded first, then those that did not.
    fn ask_lessons(&self, material: &Material<'_>) -> String {
        let is_success = |lived: &Lived<'_>| lived.judgment.outcome == Outcome::Success;
        let (Some(task), Some(last)) = (tool_task(material.task), material.attempts.last()) else {
            return String::new();
        };
        match material.attempts.iter().find(|lived| is_success(lived)) {
            Some(won) if material.kind == Learning::Contrast => {
                let lost = material.attempts.iter().filter(|lived| !is_success(lived));
                let lost: Vec<_> = lost.map(|lived| choices(lived.steps)).collect();
                text(&task.contrast_prompt(&choices(won.steps), &lost))
            }
            _ => text(&task.write_prompt(&choices(last.steps), is_success(last))),
        }
    }

    fn read_lessons(&self, reply: &str, material: &Material<'_>) -> Vec<Result<Lesson, Rejected>> {
        let Some(words) = words(reply) else {
            return vec![Err(Rejected::new(Rejection::Unreadable, reply))];
        };
        let (items, n_bad) = parse_items(&words);
        let wanted = |item: &Item| !(self.avoid_only && material.kind == Learning::Failure && item.works);
        let bad = (0..n_bad).map(|_| Err(Rejected::new(Rejection::Unreadable, reply)));
        items.into_iter().filter(wanted).map(|item| Ok(lesson(item))).chain(bad).collect()
    }

    fn search_text(&self, lesson: &Strategy) -> String {
        match item_of(lesson) {
            Some(item) => text(&[item.site, item.subgoal]),
            None => lesson.title.clone(),
        }
    }

    fn n_tokens(&self, lesson: &Strategy) -> usize {
        lesson.content.split_whitespace().count()
    }
}
