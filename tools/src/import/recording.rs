//! What a recording says beyond the steps: who said what, which tools were called with what, what they answered, and
//! which calls would have been right.

use lagdb::Action;
use serde_json::Value;

/// A conversation in the order of its events.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What happened.
    pub events: Vec<Event>,
    /// The calls of the task's reference solution, where the recording has one.
    pub reference: Option<Vec<Call>>,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The user said something.
    Said(String),
    /// The agent called a tool, in this step of the trajectory.
    Called {
        /// The step, from 0.
        step: u32,
        /// What was called.
        call: Call,
    },
    /// A tool answered.
    Answered {
        /// Which call, of all in this recording, from 0; `None` where the recording begins after it.
        call: Option<usize>,
        /// What it said.
        text: String,
        /// What went wrong, in one form for all numbers, if something did.
        error: Option<String>,
    },
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The tool.
    pub tool: String,
    /// Its arguments, an object as a rule; a text that is not JSON is kept as a string.
    pub arguments: Value,
}

/// How the names of tools begin that only read.
const READING: [&str; 6] = ["get_", "search_", "list_", "find_", "calculate", "think"];

impl Event {
    /// Whether this changed nothing: no call, or one that only reads.
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Called { call, .. } => call.only_reads(),
            _ => true,
        }
    }
}

impl Call {
    /// Whether the tool only reads, by the beginning of its name.
    pub fn only_reads(&self) -> bool {
        READING.iter().any(|prefix| self.tool.starts_with(prefix))
    }

    /// A call with arguments as the model wrote them.
    pub fn parse(tool: &str, arguments: &str) -> Self {
        let arguments = serde_json::from_str(arguments).unwrap_or_else(|_| Value::String(arguments.to_owned()));
        Self { tool: tool.to_owned(), arguments }
    }

    /// The call in the form that signatures are made of.
    ///
    /// # Errors
    /// When the name of the tool or of an argument is none.
    pub fn action(&self) -> lagdb::Result<Action> {
        let action = Action::new(&self.tool)?;
        match &self.arguments {
            Value::Object(arguments) => {
                arguments.iter().try_fold(action, |action, (name, value)| action.argument(name, &canonical(value)))
            }
            other => action.argument("arguments", &canonical(other)),
        }
    }
}

/// JSON with sorted keys and no spaces.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let field =
                |(name, value): (&String, &Value)| format!("{}:{}", Value::from(name.as_str()), canonical(value));
            format!("{{{}}}", fields.into_iter().map(field).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// What a tool said went wrong, in one form for all numbers; `None` when it did not fail.
pub fn error_signature(tool: &str, answer: &str) -> Option<String> {
    const BYTES: usize = 200;
    let problem = answer.strip_prefix("Error")?.trim_start_matches(':').trim_start();
    let mut signature = format!("{tool}: ");
    let mut in_number = false;
    for c in problem.lines().next().unwrap_or_default().chars() {
        if signature.len() + c.len_utf8() > BYTES {
            break;
        }
        if !(c.is_ascii_digit() && in_number) {
            signature.push(if c.is_ascii_digit() { '#' } else { c });
        }
        in_number = c.is_ascii_digit();
    }
    Some(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_one_form_whatever_the_order() {
        let a = Call::parse("book", r#"{"b": {"y": 1, "x": [2, 3]}, "a": "JFK"}"#);
        let b = Call::parse("book", r#"{"a":"JFK","b":{"x":[2,3],"y":1}}"#);
        assert_eq!(a.action().unwrap(), b.action().unwrap());
        assert_eq!(a.action().unwrap().call(), r#"book(a="JFK", b={"x":[2,3],"y":1})"#);
        assert_eq!(Call::parse("book", "{oops").action().unwrap().call(), r#"book(arguments="{oops")"#);
    }

    #[test]
    fn errors_of_one_kind_are_one() {
        let of = |answer| error_signature("pay", answer);
        assert_eq!(of("Error: total is 305, paid 255").as_deref(), Some("pay: total is #, paid #"));
        assert_eq!(of("Error: total is 99, paid 1"), of("Error: total is 305, paid 255"));
        assert_eq!(of("done"), None);
    }
}
