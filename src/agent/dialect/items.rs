//! Lessons in a reply: blocks of `title:`, `description:`, `content:` and `steps:` lines.
//!
//! A key stands at the beginning of a line; list marks, headings and emphasis around it are forgiven, so `**Title:** x`,
//! `## Title x` and `- title: x` are one. A value goes on until the next key. `title` begins an item, and so does a heading
//! such as `Lesson 2`. What stands before the first item is not looked at. Nothing is ever made up: an item without one of
//! its three texts is rejected, and says so.
//!
//! Steps are `3` or `2-4`; of several attempts, those of one of them: `1:2-4`, `attempt 1, steps 2 to 4`.

use crate::StrategyKind;
use std::ops::RangeInclusive;

/// The most bytes of a reply that are read.
const REPLY_BYTES: usize = 1 << 16;
/// The most characters of a rejected text that are kept.
const EXCERPT_CHARS: usize = 160;

/// A lesson as a model wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// What it is about, in a few words.
    pub title: String,
    /// When it applies, in one sentence.
    pub description: String,
    /// What to do, and why.
    pub content: String,
    /// The steps it comes from; all, where it was not said.
    pub steps: Option<RangeInclusive<u32>>,
    /// Of which attempt, where there are several: its place among those that were looked at, counted from 0.
    pub attempt: Option<u32>,
    /// How it is meant; as the material suggests, where it was not said.
    pub kind: Option<StrategyKind>,
    /// The actions it speaks about. Where there are none, a guardrail gets those of its steps.
    pub action_signatures: Vec<String>,
    /// The errors it speaks about. Where there are none, a guardrail gets those of its steps.
    pub error_signatures: Vec<String>,
    /// Words to filter by, beside those of the task.
    pub labels: Vec<String>,
}

/// An item that is not kept, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub reason: Rejection,
    /// The beginning of its text.
    pub excerpt: String,
}

/// Why an item is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// The reply says something, but no item is found in it.
    Unreadable,
    /// One of its texts is missing or empty.
    Empty,
    /// One of its texts is too long, or a label or signature that cannot be kept.
    TooLong,
    /// The same reply has it already.
    Duplicate,
    /// It repeats the answer of the task, if that is more than a short word.
    LeaksAnswer,
    /// It cites a step or an attempt that is not there.
    NoSuchStep,
    /// There are enough without it.
    TooMany,
}

impl Rejection {
    /// All, in the order in which they are looked for.
    pub const ALL: [Self; 7] = [
        Self::Unreadable,
        Self::Empty,
        Self::TooLong,
        Self::Duplicate,
        Self::LeaksAnswer,
        Self::NoSuchStep,
        Self::TooMany,
    ];

    /// One or two lower-case words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Empty => "empty",
            Self::TooLong => "too long",
            Self::Duplicate => "duplicate",
            Self::LeaksAnswer => "leaks answer",
            Self::NoSuchStep => "no such step",
            Self::TooMany => "too many",
        }
    }
}

impl Rejected {
    /// `text` is not kept for this reason.
    pub fn new(reason: Rejection, text: &str) -> Self {
        Self { reason, excerpt: text.trim().chars().take(EXCERPT_CHARS).collect() }
    }
}

/// The keys of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Title,
    Description,
    Content,
    Steps,
}

/// An item while its lines are read.
#[derive(Default)]
struct Draft {
    texts: [String; 4],
    open: Option<Key>,
    any: bool,
}

/// The items of a reply, in order. An empty reply, or one that says `NONE`, has none; any other reply in which no item is
/// found is one rejection.
pub(crate) fn read_items(reply: &str) -> Vec<Result<Item, Rejected>> {
    let reply = cut(reply);
    let mut items = Vec::new();
    let mut draft = Draft::default();
    for line in reply.lines() {
        match key_of(line) {
            Some(Line::Heading) => draft.end(&mut items),
            Some(Line::Value(Key::Title, value)) => {
                if draft.has(Key::Title) || draft.has(Key::Content) {
                    draft.end(&mut items);
                }
                draft.begin(Key::Title, value);
            }
            Some(Line::Value(key, value)) => draft.begin(key, value),
            None => draft.go_on(line),
        }
    }
    draft.end(&mut items);
    let says_none = reply.trim().trim_matches(|c: char| !c.is_alphanumeric()).eq_ignore_ascii_case("none");
    if items.is_empty() && !reply.trim().is_empty() && !says_none {
        items.push(Err(Rejected::new(Rejection::Unreadable, reply)));
    }
    items
}

impl Draft {
    fn text(&mut self, key: Key) -> &mut String {
        let [title, description, content, steps] = &mut self.texts;
        match key {
            Key::Title => title,
            Key::Description => description,
            Key::Content => content,
            Key::Steps => steps,
        }
    }

    fn has(&mut self, key: Key) -> bool {
        !self.text(key).is_empty()
    }

    fn begin(&mut self, key: Key, value: &str) {
        // Said twice, both are kept: nothing that was written is lost unseen.
        self.any = true;
        self.open = Some(key);
        self.go_on(value);
    }

    fn go_on(&mut self, line: &str) {
        let Some(key) = self.open else { return };
        let line = trimmed(line);
        let text = self.text(key);
        if !text.is_empty() && !line.is_empty() {
            text.push(' ');
        }
        text.push_str(line);
    }

    fn end(&mut self, items: &mut Vec<Result<Item, Rejected>>) {
        let draft = std::mem::take(self);
        if !draft.any {
            return;
        }
        let [title, description, content, steps] = draft.texts;
        if title.is_empty() || description.is_empty() || content.is_empty() {
            let text = [title, description, content].join(" ");
            items.push(Err(Rejected::new(Rejection::Empty, &text)));
            return;
        }
        let (attempt, steps) = cited(&steps);
        items.push(Ok(Item { title, description, content, steps, attempt, ..Item::default() }));
    }
}

/// What a line that is no mere continuation is.
enum Line<'a> {
    /// Begins an item, such as `Lesson 2`.
    Heading,
    /// A key and the beginning of its value.
    Value(Key, &'a str),
}

fn key_of(line: &str) -> Option<Line<'_>> {
    let is_heading = line.trim_start().starts_with('#');
    let text = trimmed(line.trim_start_matches(|c: char| decoration(c) || c.is_ascii_digit() || ".)".contains(c)));
    let n_letters = text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(n_letters)?;
    let after = rest.trim_start_matches(['*', '_', '`']);
    let value = match after.strip_prefix(':') {
        Some(value) => trimmed(value),
        // A heading needs no colon: `## Title Check the cart first`.
        None if is_heading && (after.is_empty() || after.starts_with(char::is_whitespace)) => trimmed(after),
        None => return None,
    };
    let is_number = value.chars().all(|c| c.is_ascii_digit() || !c.is_alphanumeric());
    match word.to_ascii_lowercase().as_str() {
        "title" => Some(Line::Value(Key::Title, value)),
        "description" => Some(Line::Value(Key::Description, value)),
        "content" => Some(Line::Value(Key::Content, value)),
        "step" | "steps" => Some(Line::Value(Key::Steps, value)),
        "lesson" | "item" if is_number => Some(Line::Heading),
        "memory" if is_heading && value.to_ascii_lowercase().starts_with("item") => Some(Line::Heading),
        _ => None,
    }
}

/// Marks of lists, headings, quotes and emphasis.
fn decoration(c: char) -> bool {
    c.is_whitespace() || "#*_->`•+".contains(c)
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || "*_`".contains(c))
}

/// Steps, and of which attempt: `2-4`, `1:2-4`, `attempt 1, steps 2 to 4`.
fn cited(text: &str) -> (Option<u32>, Option<RangeInclusive<u32>>) {
    let lower = text.to_ascii_lowercase();
    let rest = lower.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).strip_prefix("attempt");
    let parts = match rest {
        Some(rest) => {
            let rest = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
            rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()))
        }
        None => lower.split_once(':'),
    };
    match parts.map(|(attempt, steps)| (range_of(attempt), range_of(steps))) {
        // Two numbers before the colon are no attempt.
        Some((Some(attempt), steps)) if attempt.start() == attempt.end() => (Some(*attempt.start()), steps),
        Some(_) => (None, None),
        None => (None, range_of(&lower)),
    }
}

/// `3`, `2-4` or `2 to 4`: the first number and the last, if there are one or two in order.
fn range_of(text: &str) -> Option<RangeInclusive<u32>> {
    let numbers: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).collect();
    let number = |digits: &str| digits.parse::<u32>().ok();
    match numbers.as_slice() {
        [one] => number(one).map(|one| one..=one),
        [first, last] => number(first).zip(number(last)).filter(|(first, last)| first <= last).map(|(a, b)| a..=b),
        _ => None,
    }
}

/// The beginning of a reply that is too long, at a whole character.
fn cut(reply: &str) -> &str {
    let mut end = reply.len().min(REPLY_BYTES);
    while !reply.is_char_boundary(end) {
        end -= 1;
    }
    reply.get(..end).unwrap_or(reply)
}
