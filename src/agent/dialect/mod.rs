//! How an agent speaks with its model about tasks: the words of its prompts, and how replies are read.
//!
//! The loop itself says nothing: every word of a prompt and every rule of reading a reply is the dialect's. [`English`] is
//! for models that follow instructions; a model with a language of its own brings a dialect of its own.
//!
//! Reading never fails. A reply without a verdict is an abstention, a lesson that cannot be kept is rejected with a reason.

mod english;
mod items;
mod transcript;

pub use english::English;
pub(crate) use items::read_items;
pub use items::{Item, Rejected, Rejection};

use super::judge::Caution;
use super::{Task, Verdict};
use crate::{Judgment, Step, Strategy};

/// The words of prompts, and how replies are read. What a dialect does not say itself is said as [`English`] says it.
pub trait Dialect: Send + Sync {
    /// Its name and version, in at most 40 bytes: part of who judged and of who distilled.
    fn name(&self) -> &str;

    /// The first observation of a task, with what was learned before; called only when there is something.
    fn remind(&self, lessons: &[Strategy], observation: &str) -> String {
        English.remind(lessons, observation)
    }

    /// What is said after the model proposed an action that lessons of failures speak about, so that it can choose again.
    fn warn(&self, lessons: &[Strategy]) -> String {
        English.warn(lessons)
    }

    /// What is said, in the conversation in which a task was tried, to let it be tried again; `observation` is what the
    /// world says first in the new attempt, which is number `attempt`, counted from 0, and `judgment` what was said of the
    /// attempt before: an abstention is no failure.
    fn retry(&self, observation: &str, attempt: usize, judgment: &Judgment) -> String {
        English.retry(observation, attempt, judgment)
    }

    /// Asks how an attempt ended.
    fn ask_verdict(&self, task: &Task, steps: &[Step], caution: Caution) -> String {
        English.ask_verdict(task, steps, caution)
    }

    /// Reads the reply to [`ask_verdict`](Self::ask_verdict).
    fn read_verdict(&self, reply: &str) -> Verdict {
        English.read_verdict(reply)
    }

    /// Whether a reply to [`ask_verdict`](Self::ask_verdict) begins with the verdict: only then does the probability of its
    /// first token say how sure the judge is.
    fn verdict_first(&self) -> bool {
        false
    }

    /// Asks for lessons.
    fn ask_lessons(&self, material: &Material<'_>) -> String {
        English.ask_lessons(material)
    }

    /// Reads the reply to [`ask_lessons`](Self::ask_lessons): each item, or why it cannot be read as one.
    fn read_lessons(&self, reply: &str, material: &Material<'_>) -> Vec<Result<Item, Rejected>> {
        English.read_lessons(reply, material)
    }

    /// The text by which a lesson is found.
    fn search_text(&self, lesson: &Strategy) -> String {
        format!("{} {}", lesson.title, lesson.description)
    }

    /// About how many tokens a lesson takes in a prompt.
    fn n_tokens(&self, lesson: &Strategy) -> usize {
        (lesson.title.len() + lesson.description.len() + lesson.content.len()).div_ceil(4)
    }
}

/// What lessons are drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// What kind of lessons.
    pub kind: Learning,
    /// The task.
    pub task: &'a Task,
    /// The attempts at it; one, unless they are contrasted.
    pub attempts: &'a [Lived<'a>],
    /// The most lessons.
    pub max_items: usize,
}

/// An attempt and how it was judged.
#[derive(Clone, Copy, Debug)]
pub struct Lived<'a> {
    /// What was seen and done.
    pub steps: &'a [Step],
    /// What was said of it.
    pub judgment: &'a Judgment,
}

/// What can be learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Learning {
    /// An attempt that succeeded: what to do again.
    Success,
    /// An attempt that failed: what to avoid.
    Failure,
    /// Several attempts at one task, looked at together: what those did that succeeded and the others did not.
    Contrast,
}

impl Learning {
    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Contrast => "contrast",
        }
    }
}
