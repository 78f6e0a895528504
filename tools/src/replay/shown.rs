//! What a conversation has shown so far, as conditions on the next action.
//!
//! Nothing here knows the domain. What is acted on is found by its identifiers: words of letters and digits in the action's
//! arguments; every JSON object that a tool answered and that names one of them speaks of it. Of these objects only fields
//! at the top whose values are words of a closed kind (`basic_economy`, `false`) become conditions.

use crate::import::Call;
use lagdb::Condition;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Words of agreement.
const YES: [&str; 7] = ["yes", "confirm", "confirmed", "proceed", "go ahead", "please do", "sounds good"];
/// Letters of a value of a closed kind.
const WORD_LETTERS: usize = 24;

/// All that was said and answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    objects: Vec<Map<String, Value>>,
    text: String,
    done: BTreeSet<String>,
    agreed: bool,
}

impl Shown {
    /// The user says something.
    pub(super) fn hear(&mut self, text: &str) {
        let lower = text.to_lowercase();
        let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let words = format!(" {} ", words.join(" "));
        self.agreed = YES.iter().any(|yes| words.contains(&format!(" {yes} ")));
        self.add(text);
    }

    /// A tool answers.
    pub(super) fn answer(&mut self, tool: &str, answer: &str, is_error: bool) {
        if !is_error {
            self.done.insert(tool.to_owned());
        }
        if let Ok(Value::Object(object)) = serde_json::from_str(answer) {
            self.objects.push(object);
        }
        self.add(answer);
    }

    /// What holds before `call`; `tools` are those that the agent has.
    pub(super) fn conditions(&self, call: &Call, tools: &BTreeSet<String>) -> Vec<Condition> {
        let named = identifiers(&call.arguments);
        let fields = self.fields(&named);
        let mut conditions = Vec::new();
        conditions.extend((!self.agreed).then_some(Condition::Unconfirmed));
        let unheard = named.iter().any(|identifier| !self.text.contains(identifier.as_str()));
        conditions.extend(unheard.then_some(Condition::Unheard));
        for (name, value) in call.arguments.as_object().into_iter().flatten() {
            match fields.get(name.as_str()) {
                Some(before) if identifiers(value).is_empty() || value.is_array() => {
                    let changes = !is_same(value, before);
                    conditions.push(if changes {
                        Condition::Changes(name.clone())
                    } else {
                        Condition::Keeps(name.clone())
                    });
                }
                _ => {}
            }
        }
        for (name, value) in &fields {
            let value = closed(value).map(|value| Condition::Seen { name: (*name).to_owned(), value });
            conditions.extend(value);
        }
        conditions.extend(self.done.iter().cloned().map(Condition::After));
        conditions.extend(tools.difference(&self.done).cloned().map(Condition::Before));
        conditions
    }

    /// The fields of everything that was answered about these; the latest counts.
    fn fields(&self, identifiers: &BTreeSet<String>) -> BTreeMap<&str, &Value> {
        let about = |object: &&Map<String, Value>| object.values().any(|value| names_one(value, identifiers));
        let fields = self.objects.iter().filter(about).flatten();
        fields.map(|(name, value)| (name.as_str(), value)).collect()
    }

    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }
}

/// A value of a closed kind: a short word in small letters, or yes or no.
fn closed(value: &Value) -> Option<String> {
    let is_word = |text: &str| {
        (1..=WORD_LETTERS).contains(&text.len()) && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::String(text) if is_word(text) => Some(text.clone()),
        _ => None,
    }
}

/// Whether `value` says what was there before; of lists of objects only the fields that it names are compared.
fn is_same(value: &Value, before: &Value) -> bool {
    match (value, before) {
        (Value::Array(items), Value::Array(others)) => {
            items.len() == others.len() && items.iter().zip(others).all(|(item, other)| is_same(item, other))
        }
        (Value::Object(fields), Value::Object(others)) => {
            fields.iter().all(|(name, value)| others.get(name).is_some_and(|other| is_same(value, other)))
        }
        _ => value == before,
    }
}

/// Words with letters and digits, wherever they stand in `value`.
fn identifiers(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => fields.values().flat_map(identifiers).collect(),
        Value::Array(items) => items.iter().flat_map(identifiers).collect(),
        Value::String(text) if is_identifier(text) => std::iter::once(text.clone()).collect(),
        _ => BTreeSet::new(),
    }
}

fn is_identifier(text: &str) -> bool {
    let has = |of: fn(&char) -> bool| text.chars().any(|c| of(&c));
    has(char::is_ascii_alphabetic) && has(char::is_ascii_digit) && !text.contains(char::is_whitespace)
}

/// Whether `value` names one of these anywhere.
fn names_one(value: &Value, identifiers: &BTreeSet<String>) -> bool {
    match value {
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| identifiers.contains(name) || names_one(value, identifiers))
        }
        Value::Array(items) => items.iter().any(|item| names_one(item, identifiers)),
        Value::String(text) => identifiers.contains(text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_speak_of_what_is_acted_on() {
        let mut shown = Shown::default();
        shown.hear("I'd like another cabin on booking AB12CD.");
        shown.answer(
            "get_booking",
            r#"{"id":"AB12CD","cabin":"basic_economy","bags":1,"legs":[{"flight":"F1","price":9}]}"#,
            false,
        );
        shown.answer("get_booking", r#"{"id":"OTHER9","cabin":"business"}"#, false);
        shown.answer("pay", "Error: no money", true);
        let tools = ["get_booking", "pay"].map(str::to_owned).into_iter().collect();
        let arguments = json!({"id": "AB12CD", "cabin": "economy", "legs": [{"flight": "F1"}], "card": "card_77"});
        let call = Call { tool: "pay".to_owned(), arguments };
        let conditions: Vec<String> = shown.conditions(&call, &tools).iter().map(ToString::to_string).collect();
        for holds in [
            "unconfirmed",
            "something unheard of",
            "cabin=basic_economy seen",
            "cabin changes",
            "legs stays",
            "after get_booking",
            "before any pay",
        ] {
            assert!(conditions.iter().any(|it| it == holds), "{holds} is not in {conditions:?}");
        }
        assert!(!conditions.iter().any(|it| it.contains("business")), "{conditions:?}");
        shown.hear("Yes, please proceed.");
        assert!(!shown.conditions(&call, &tools).contains(&Condition::Unconfirmed));
        shown.hear("Yesterday was fine.");
        assert!(shown.conditions(&call, &tools).contains(&Condition::Unconfirmed), "a word is a word");
    }
}
