//! Lessons from what was lived: a model is asked, its reply is read, and only items that hold up are kept.
//!
//! What a lesson comes from is part of it: the trajectory and its steps as evidence, and the dialect, the model and a digest
//! of the very prompt as the distiller, so that a lesson can be traced to the words that made it.
//!
//! ReasoningBank, <https://arxiv.org/abs/2509.25140>; the prompts are lagdb's own.

mod strategy;
mod validate;

pub(super) use strategy::Draft;
pub use validate::ItemLimits;

use super::dialect::{Dialect, Item, Learning, Lived, Material, Rejected};
use super::{ConversationOptions, Decoding, LanguageModel, Task};
use crate::record::limits;
use crate::{Result, Step};
use lagdb_format::Digest;
use std::sync::Arc;

/// The most tokens of a reply unless said otherwise.
const MAX_TOKENS: usize = 1024;
/// Hexadecimal digits of a prompt's digest.
const DIGEST_LEN: usize = 16;

/// Asks a model for lessons.
#[derive(Clone)]
pub struct Distiller {
    model: Arc<dyn LanguageModel>,
    dialect: Arc<dyn Dialect>,
    /// How replies are chosen.
    pub decoding: Decoding,
    /// What is kept of a reply.
    pub limits: ItemLimits,
}

/// What came of asking for lessons.
#[derive(Clone, Debug)]
pub struct Distilled {
    /// The items that hold up.
    pub items: Vec<Item>,
    /// The others, each with its reason.
    pub rejected: Vec<Rejected>,
    /// Who distilled, in which words: dialect, kind, model and digest of the prompt.
    pub distiller: String,
    /// What kind of lessons they are.
    pub kind: Learning,
}

impl Distiller {
    /// Asks `model` in `dialect`, at temperature 0.
    pub fn new(model: Arc<dyn LanguageModel>, dialect: Arc<dyn Dialect>) -> Self {
        Self { model, dialect, decoding: Decoding::greedy(MAX_TOKENS), limits: ItemLimits::default() }
    }

    /// Lessons from attempts at a task: from one, or from several looked at together.
    ///
    /// # Errors
    /// When the model gives no reply. A reply that cannot be read is no error but a rejection.
    pub fn distill(&self, kind: Learning, task: &Task, attempts: &[Lived<'_>]) -> Result<Distilled> {
        let max_items = match kind {
            Learning::Contrast => self.limits.per_group,
            Learning::Success | Learning::Failure => self.limits.per_trajectory,
        };
        let material = Material { kind, task, attempts, max_items };
        let prompt = self.dialect.ask_lessons(&material);
        let mut conversation = self.model.open(&ConversationOptions::default())?;
        conversation.say(&prompt)?;
        let reply = conversation.reply(&self.decoding, &mut |_| {})?;
        let (items, rejected) =
            validate::kept(self.dialect.read_lessons(&reply.text, &material), &material, &self.limits);
        let digest = Digest::of("lagdb prompt", &[prompt.as_bytes()]).to_string();
        let digest = digest.get(..DIGEST_LEN).unwrap_or(&digest);
        let (dialect, model) = (self.dialect.name(), self.model.identity());
        let mut distiller = format!("{dialect} {} {model} prompt {digest}", kind.as_str());
        // Names that are longer than they should be must not cost the lessons.
        distiller.truncate(distiller.floor_char_boundary(limits::NAME_BYTES));
        Ok(Distilled { items, rejected, distiller, kind })
    }
}

/// The body of the fuzz target `agent_items`.
///
/// # Panics
/// When an item is kept that should not be, or is not read again after it was written down.
pub(crate) fn fuzz(reply: &str) {
    let task = Task::new("task").answer("the answer");
    let judgment = crate::Judgment::new(crate::Outcome::Success, "fuzz");
    let steps = [Step::new("saw", "did"), Step::new("saw", "did")];
    let attempts = [Lived { steps: &steps, judgment: &judgment }];
    let material = Material { kind: Learning::Success, task: &task, attempts: &attempts, max_items: 3 };
    let limits = ItemLimits::default();
    let (items, rejected) = validate::kept(super::dialect::read_items(reply), &material, &limits);
    assert!(items.len() <= limits.per_trajectory);
    assert!(rejected.iter().all(|rejected| rejected.excerpt.chars().count() <= 160));
    for item in &items {
        assert!(item.title.chars().count() <= limits.title_chars && !item.title.is_empty());
        assert!(item.steps.as_ref().is_none_or(|steps| (*steps.end() as usize) < attempts.len() * steps_of(&attempts)));
        let again = format!("title: {}\ndescription: {}\ncontent: {}\n", item.title, item.description, item.content);
        let (read, _) = validate::kept(super::dialect::read_items(&again), &material, &limits);
        let first = read.first().map(|item| (&item.title, &item.description, &item.content));
        assert_eq!(first, Some((&item.title, &item.description, &item.content)), "{again:?}");
    }
}

fn steps_of(attempts: &[Lived<'_>]) -> usize {
    attempts.iter().map(|lived| lived.steps.len()).max().unwrap_or(0)
}
