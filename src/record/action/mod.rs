//! An action about to be taken, and its signatures: one text per level of generality, made to be compared by equality.
//!
//! `guard` looks a signature up as it is, so a lesson is delivered when it and the action have a text in common. A tool's
//! name is too coarse for that (every later call has it in common with the one that went wrong), the whole call too narrow
//! (few are ever made twice). Between them lie one argument's value, which names what is acted on, and what the
//! trajectory has shown before ([`Condition`]):
//!
//! | level | signatures of `cancel` with `id` = `"H9ZU1C"`, no bag, after a refund |
//! |---|---|
//! | [`Level::Tool`] | `cancel(*)` |
//! | [`Level::Argument`] | `cancel(bags)`, `cancel(id)` |
//! | [`Level::ToolWhen`] | `cancel(*) when after refund` |
//! | [`Level::Value`] | `cancel(bags=0)`, `cancel(id="H9ZU1C")` |
//! | [`Level::ValueWhen`] | `cancel(bags=0) when after refund`, `cancel(id="H9ZU1C") when after refund` |
//! | [`Level::Call`] | `cancel(bags=0, id="H9ZU1C")` |
//!
//! Values are compared in one normal form: free text counts as `*`, what is long by its digest. Which level an agent asks
//! is its choice; a lesson can speak at several. [`most_general`] finds those of a failure that no success refutes.

mod condition;
mod unrefuted;

pub use condition::Condition;
pub use unrefuted::most_general;

use super::limits;
use crate::{Error, Result};
use std::collections::BTreeMap;

/// Most arguments of an action.
pub const N_ARGUMENTS: usize = 64;
/// Bytes of a value that stand in a signature; longer ones are represented by their digest.
const VALUE_BYTES: usize = 120;
/// Bytes of all arguments together, as for a value.
const CALL_BYTES: usize = 2048;
/// A text of more words is free text: nobody writes it twice.
const WORDS: usize = 3;

/// A call of a tool: its name, and the values of its arguments as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    tool: String,
    arguments: BTreeMap<String, String>,
}

/// How much of an action a signature says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The tool.
    Tool,
    /// The tool, and that it is given this argument.
    Argument,
    /// The tool, and one condition.
    ToolWhen,
    /// The tool, and the value of one argument.
    Value,
    /// The tool, the value of one argument, and one condition.
    ValueWhen,
    /// The tool and the values of all arguments.
    Call,
}

impl Level {
    /// All levels, the most general first.
    pub const ALL: [Self; 6] = [Self::Tool, Self::Argument, Self::ToolWhen, Self::Value, Self::ValueWhen, Self::Call];

    /// One or two lower-case words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Argument => "argument",
            Self::ToolWhen => "tool when",
            Self::Value => "value",
            Self::ValueWhen => "value when",
            Self::Call => "call",
        }
    }
}

impl Action {
    /// A call of `tool` without arguments.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name is empty, longer than [`limits::NAME_BYTES`] or has control characters.
    pub fn new(tool: impl Into<String>) -> Result<Self> {
        let tool = tool.into();
        limits::check_name("tool", &tool)?;
        Ok(Self { tool, arguments: BTreeMap::new() })
    }

    /// With one more argument. `value` is its text in the agent's one way to write it, such as JSON with sorted keys;
    /// strings in quotes.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name is no name, or there are [`N_ARGUMENTS`] already.
    pub fn argument(mut self, name: impl Into<String>, value: &str) -> Result<Self> {
        let name = name.into();
        limits::check_name("argument", &name)?;
        if self.arguments.len() == N_ARGUMENTS && !self.arguments.contains_key(&name) {
            return Err(Error::invalid("argument", format!("more than {N_ARGUMENTS}")));
        }
        self.arguments.insert(name, normal(value));
        Ok(self)
    }

    /// The name of the tool.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// Names and normal values of the arguments, in the order of their names.
    pub fn arguments(&self) -> impl Iterator<Item = (&str, &str)> {
        self.arguments.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Its signatures of one level, taken under these conditions; [`limits::N_SIGNATURES`] at most, in a fixed order.
    pub fn signatures(&self, level: Level, conditions: &[Condition]) -> Vec<String> {
        let tool = &self.tool;
        let when = |of: String| conditions.iter().map(move |condition| format!("{of} when {condition}"));
        let mut signatures: Vec<String> = match level {
            Level::Tool => vec![format!("{tool}(*)")],
            Level::Argument => self.arguments.keys().map(|name| format!("{tool}({name})")).collect(),
            Level::ToolWhen => when(format!("{tool}(*)")).collect(),
            Level::Value => self.values().collect(),
            Level::ValueWhen => self.values().flat_map(when).collect(),
            Level::Call => vec![self.call()],
        };
        signatures.truncate(limits::N_SIGNATURES);
        signatures
    }

    /// The signature of the whole call.
    pub fn call(&self) -> String {
        let all: Vec<String> = self.arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let all = all.join(", ");
        let all = if all.len() > CALL_BYTES { digest(&all) } else { all };
        format!("{}({all})", self.tool)
    }

    /// One signature per argument whose value says something.
    fn values(&self) -> impl Iterator<Item = String> {
        let telling = self.arguments.iter().filter(|(_, value)| *value != FREE);
        telling.map(|(name, value)| format!("{}({name}={value})", self.tool))
    }
}

/// What stands for free text.
const FREE: &str = "*";

/// The text by which values are compared.
fn normal(value: &str) -> String {
    let words: Vec<&str> = value.split_whitespace().collect();
    if value.starts_with('"') && words.len() > WORDS {
        return FREE.to_owned();
    }
    let value = words.join(" ");
    if value.len() > VALUE_BYTES { digest(&value) } else { value }
}

fn digest(text: &str) -> String {
    let hex = blake3::hash(text.as_bytes()).to_hex();
    format!("#{}", hex.get(..32).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancel() -> Action {
        let action = Action::new("cancel").and_then(|it| it.argument("id", "\"H9ZU1C\""));
        action.and_then(|it| it.argument("bags", "0")).unwrap()
    }

    #[test]
    fn every_level_says_more_of_the_action() {
        let when = [Condition::After("refund".into()), Condition::Unconfirmed];
        let at = |level| cancel().signatures(level, &when);
        assert_eq!(at(Level::Tool), ["cancel(*)"]);
        assert_eq!(at(Level::Argument), ["cancel(bags)", "cancel(id)"]);
        assert_eq!(at(Level::ToolWhen), ["cancel(*) when after refund", "cancel(*) when unconfirmed"]);
        assert_eq!(at(Level::Value), ["cancel(bags=0)", "cancel(id=\"H9ZU1C\")"]);
        assert_eq!(at(Level::ValueWhen).len(), 4);
        assert_eq!(at(Level::Call), ["cancel(bags=0, id=\"H9ZU1C\")"]);
    }

    #[test]
    fn values_have_one_normal_form() {
        let of = |value: &str| Action::new("f").and_then(|it| it.argument("x", value)).unwrap();
        assert_eq!(of(" [1,\n 2] ").call(), "f(x=[1, 2])");
        let free = of("\"the user would like a refund\"");
        assert_eq!(free.call(), "f(x=*)");
        assert!(free.signatures(Level::Value, &[]).is_empty(), "free text names nothing");
        let long = of(&format!("[{}]", "1,".repeat(500)));
        assert!(long.call().starts_with("f(x=#") && long.call().len() < 50, "{}", long.call());
        assert_ne!(long.call(), of(&format!("[{}]", "1,".repeat(501))).call());
    }

    #[test]
    fn signatures_are_few_and_short_whatever_the_action() {
        let many = (0..N_ARGUMENTS).try_fold(Action::new("t".repeat(255)).unwrap(), |action, i| {
            action.argument(format!("{i}{}", "n".repeat(250)), &"v".repeat(10_000))
        });
        let conditions = vec![Condition::Seen { name: "n".repeat(300), value: "v".repeat(9000) }; 64];
        for level in Level::ALL {
            let signatures = many.as_ref().unwrap().signatures(level, &conditions);
            assert!(limits::check_signatures("action signature", &signatures).is_ok(), "{level:?}");
        }
        assert!(many.unwrap().argument("one more", "1").is_err());
        assert!(Action::new("").is_err() && cancel().argument("", "1").is_err());
    }
}
