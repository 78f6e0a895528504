//! A model that says what it was told to say: for tests of agents, of environments and of whoever uses them.
//!
//! ```
//! use lagdb::agent::{ConversationOptions, Decoding, LanguageModel, Scripted};
//!
//! # fn main() -> lagdb::Result<()> {
//! let model = Scripted::new(["Paris"]);
//! let mut conversation = model.open(&ConversationOptions::default())?;
//! conversation.say("The capital of France?")?;
//! assert_eq!(conversation.reply(&Decoding::greedy(8), &mut |_| {})?.text, "Paris");
//! assert_eq!(model.prompts(), ["The capital of France?"]);
//! assert!(conversation.reply(&Decoding::greedy(8), &mut |_| {}).is_err(), "the script is over");
//! # Ok(())
//! # }
//! ```

use super::{Conversation, ConversationOptions, Decoding, LanguageModel, LogUse, Reply, unsupported};
use crate::{Error, Result};
use lagdb_format::{ElementType, KvLog, KvRead};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who it is, wherever it is named.
const IDENTITY: &str = "scripted";

/// Answers from what was said in a conversation and how a reply was asked for; `None` is an error of the model.
type Answering = dyn FnMut(&str, &Decoding) -> Option<String> + Send;

/// A model that gives its replies in order, whoever asks, and notes every prompt. Clones share script and notes.
#[derive(Clone)]
pub struct Scripted(Arc<Mutex<Script>>);

struct Script {
    replies: VecDeque<String>,
    answering: Option<Box<Answering>>,
    prompts: Vec<String>,
    decodings: Vec<Decoding>,
}

/// One conversation with it.
struct Spoken {
    model: Scripted,
    /// All that was said, replies included.
    all: String,
    /// What was said since the last reply.
    said: String,
}

impl Scripted {
    /// Gives these replies in order; when they are over, it errs.
    pub fn new<S: Into<String>>(replies: impl IntoIterator<Item = S>) -> Self {
        Self::of(replies.into_iter().map(Into::into).collect(), None)
    }

    /// Answers as `answer` does, which gets the whole conversation up to here, earlier replies included; `None` is an
    /// error of the model.
    pub fn answering(answer: impl FnMut(&str, &Decoding) -> Option<String> + Send + 'static) -> Self {
        Self::of(VecDeque::new(), Some(Box::new(answer)))
    }

    fn of(replies: VecDeque<String>, answering: Option<Box<Answering>>) -> Self {
        let script = Script { replies, answering, prompts: Vec::new(), decodings: Vec::new() };
        Self(Arc::new(Mutex::new(script)))
    }

    /// What was said before each reply, since the reply before it, in the order of the replies.
    pub fn prompts(&self) -> Vec<String> {
        self.script().prompts.clone()
    }

    /// How each reply was asked for.
    pub fn decodings(&self) -> Vec<Decoding> {
        self.script().decodings.clone()
    }

    /// Replies that were not asked for yet.
    pub fn n_left(&self) -> usize {
        self.script().replies.len()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LanguageModel for Scripted {
    fn identity(&self) -> String {
        IDENTITY.to_owned()
    }

    fn open(&self, options: &ConversationOptions) -> Result<Box<dyn Conversation>> {
        if options.capture {
            return Err(unsupported(IDENTITY));
        }
        Ok(Box::new(Spoken { model: self.clone(), all: String::new(), said: String::new() }))
    }
}

impl Conversation for Spoken {
    fn attach(&mut self, _: &dyn KvRead) -> Result<LogUse> {
        Err(unsupported(IDENTITY))
    }

    fn say(&mut self, text: &str) -> Result<()> {
        self.said.push_str(text);
        Ok(())
    }

    fn say_tokens(&mut self, _: &[u32]) -> Result<()> {
        Err(unsupported(IDENTITY))
    }

    fn reply(&mut self, decoding: &Decoding, on_text: &mut dyn FnMut(&str)) -> Result<Reply> {
        let said = std::mem::take(&mut self.said);
        self.all.push_str(&said);
        let mut script = self.model.script();
        script.prompts.push(said);
        script.decodings.push(decoding.clone());
        let text = match script.answering.as_mut() {
            Some(answer) => answer(&self.all, decoding),
            None => script.replies.pop_front(),
        };
        drop(script);
        let text =
            text.ok_or_else(|| Error::Reply { model: IDENTITY.to_owned(), problem: "the script is over".to_owned() })?;
        on_text(&text);
        self.all.push_str(&text);
        Ok(Reply { text, ..Reply::default() })
    }

    fn capture(&mut self, _: usize, _: ElementType) -> Result<KvLog> {
        Err(unsupported(IDENTITY))
    }
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let script = self.script();
        let (n_left, n_prompts) = (script.replies.len(), script.prompts.len());
        f.debug_struct("Scripted").field("n_left", &n_left).field("n_prompts", &n_prompts).finish_non_exhaustive()
    }
}
