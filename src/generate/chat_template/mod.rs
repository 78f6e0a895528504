//! Chat templates: how a model wants a conversation to be written, in the words of the model's own files.
//!
//! A template is Jinja, kept in `chat_template.jinja`, in `tokenizer_config.json` (one, or a list of named ones of which the
//! one called `default` is taken), or in a GGUF's `tokenizer.chat_template`. It is rendered as transformers does: blocks are
//! trimmed, `messages`, `add_generation_prompt`, `bos_token` and `eos_token` are there, `tools` and `documents` are none, marks
//! around what the assistant says (`{% generation %}`) say nothing, and `strftime_now` tells the date that the caller gives. Macros are
//! read, other templates are not. What it may take of time and memory is bounded by the length of the messages.

mod bounded;
mod date;
mod functions;
mod instructions;
mod json;
mod values;

use crate::error::{Error, Result};
use bounded::{Bounds, Refusal};
pub use date::Date;
use minijinja::Value;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// The file that is a template and nothing else.
pub(super) const OWN_FILE: &str = "chat_template.jinja";
/// The file that may have one, and names the tokens that begin and end a text.
pub(super) const CONFIG_FILE: &str = "tokenizer_config.json";
/// Instructions, and those more that each message is worth.
const STEPS: u64 = 50_000;
const STEPS_PER_MESSAGE: u64 = 5_000;
/// Bytes of text, and those more that each byte of a message is worth.
const BYTES: usize = 4 << 20;
const BYTES_PER_BYTE: usize = 64;

/// One message of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: &'a str,
    /// What is said. Words that are written as special tokens become special tokens, as in transformers.
    pub content: &'a str,
}

/// A conversation to be written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chat<'a> {
    /// What was said, first to last.
    pub messages: &'a [Message<'a>],
    /// Let the assistant speak next.
    pub add_generation_prompt: bool,
    /// Further variables, such as `enable_thinking` of Qwen3; what they mean is the template's.
    pub flags: &'a [(&'a str, bool)],
    /// What day it is, for templates that say so; without it `strftime_now` is not there.
    pub date: Option<Date>,
}

/// The template of a model, or what is wrong with it: a model is not useless without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChatTemplate {
    source: std::result::Result<String, String>,
    /// The file it is in.
    path: PathBuf,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// A template out of `path`, with the texts that begin and end a text.
    pub(super) fn new(source: String, path: PathBuf, [bos, eos]: [String; 2]) -> Self {
        Self { source: Ok(source), path, bos, eos }
    }

    /// One out of `path` that cannot be read, and why.
    pub(super) fn damaged(problem: String, path: PathBuf) -> Self {
        Self { source: Err(problem), path, bos: String::new(), eos: String::new() }
    }

    /// The template of a model directory, if it has one: `own` is the file that has nothing else, `config` the other one.
    pub(super) fn read(own: Option<&[u8]>, config: Option<&[u8]>, dir: &Path) -> Option<Self> {
        let (own_path, config_path) = (dir.join(OWN_FILE), dir.join(CONFIG_FILE));
        let fields = match config.map(serde_json::from_slice).transpose() {
            Ok(fields) => fields.unwrap_or(Json::Null),
            Err(e) => return Some(Self::damaged(format!("no JSON: {e}"), config_path)),
        };
        let marks = [special(&fields, "bos_token"), special(&fields, "eos_token")];
        match (own.map(str::from_utf8), in_config(&fields)) {
            (Some(Ok(source)), _) => Some(Self::new(source.to_owned(), own_path, marks)),
            (Some(Err(_)), _) => Some(Self::damaged("no UTF-8".to_owned(), own_path)),
            (None, Ok(source)) => source.map(|source| Self::new(source, config_path, marks)),
            (None, Err(problem)) => Some(Self::damaged(problem, config_path)),
        }
    }

    /// Its text.
    ///
    /// # Errors
    /// [`Error::Model`] naming the file that would have it and cannot be understood.
    pub(super) fn source(&self) -> Result<&str> {
        let problem = |problem: &String| Error::Model { path: self.path.clone(), problem: problem.clone() };
        self.source.as_deref().map_err(problem)
    }

    /// The text of `chat`, special tokens as they are written.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the template's own words when it refuses the messages; [`Error::Model`] naming file and line
    /// when the template cannot be read, is not understood or takes too much.
    pub(super) fn render(&self, chat: &Chat<'_>) -> Result<String> {
        let n_bytes: usize = chat.messages.iter().map(|message| message.role.len() + message.content.len()).sum();
        let n_messages = chat.messages.len();
        let bounds = Bounds {
            steps: STEPS + STEPS_PER_MESSAGE.saturating_mul(n_messages as u64),
            n_bytes: BYTES.saturating_add(BYTES_PER_BYTE.saturating_mul(n_bytes + 100 * n_messages)),
        };
        let rendered = bounded::render(self.source()?, &self.variables(chat), chat.date, bounds);
        rendered.map_err(|refusal| match refusal {
            Refusal::Raised(message) => Error::invalid("messages", format!("the chat template says: {message}")),
            Refusal::Template(problem) => {
                let asks_for_date = chat.date.is_none() && problem.contains(functions::NOW);
                let hint = if asks_for_date { "; it wants to say what day it is: give a date" } else { "" };
                Error::Model { path: self.path.clone(), problem: format!("chat template: {problem}{hint}") }
            }
        })
    }

    fn variables(&self, chat: &Chat<'_>) -> Value {
        let said = |message: &Message<'_>| {
            let fields = [("role", message.role), ("content", message.content)];
            Value::from_pairs(fields.map(|(name, text)| (name, Value::from(text))))
        };
        let flags = chat.flags.iter().map(|&(name, flag)| (name, Value::from(flag)));
        let variables = [
            ("messages", Value::from(chat.messages.iter().map(said).collect::<Vec<_>>())),
            ("add_generation_prompt", Value::from(chat.add_generation_prompt)),
            ("bos_token", Value::from(self.bos.as_str())),
            ("eos_token", Value::from(self.eos.as_str())),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ];
        Value::from_pairs(flags.chain(variables))
    }
}

/// A special token as text: a string, or an object with its `content`.
fn special(fields: &Json, name: &str) -> String {
    let token = fields.get(name);
    let text = token.and_then(|token| token.get("content")).or(token).and_then(Json::as_str);
    text.unwrap_or_default().to_owned()
}

/// The template in a `tokenizer_config.json`.
fn in_config(fields: &Json) -> std::result::Result<Option<String>, String> {
    match fields.get("chat_template") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(source)) => Ok(Some(source.clone())),
        Some(Json::Array(named)) => {
            let of =
                |field: &'static str| move |entry: &Json| entry.get(field).and_then(Json::as_str).map(str::to_owned);
            let default = named.iter().find(|entry| of("name")(entry).as_deref() == Some("default"));
            match default.and_then(of("template")) {
                Some(source) => Ok(Some(source)),
                None => Err(format!("chat_template is a list of {} without one called default", named.len())),
            }
        }
        Some(_) => Err("chat_template is neither a text nor a list".to_owned()),
    }
}

/// Renders a template out of nowhere.
pub(super) fn fuzz(source: &str) {
    let template = ChatTemplate::new(source.to_owned(), PathBuf::from("fuzz"), ["<s>".to_owned(), "</s>".to_owned()]);
    let messages = [
        ("system", "Be brief."),
        ("user", "Hi\n\n there "),
        ("assistant", "<think>\nno\n</think>\n\nHello"),
        ("user", "é"),
    ];
    let messages = messages.map(|(role, content)| Message { role, content });
    let date = "2026-11-22".parse().ok();
    drop(template.render(&Chat { messages: &messages, add_generation_prompt: true, flags: &[], date }));
}
