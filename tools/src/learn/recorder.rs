//! KV logs of attempts, kept while the agent judges them: to judge an attempt its model reads all of it, and what it computed
//! then is what a later task can attend to.
//!
//! The log holds the words of the attempt, `judge` and the verdict; nothing that was recalled for the attempt is in it, since
//! a judge never sees that.

use super::mind::Speaker;
use crate::tool_choice::{Word, words};
use lagdb::Result;
use lagdb::agent::{Conversation, ConversationOptions, Decoding, LanguageModel, LogUse, Reply};
use lagdb::format::{ElementType, KvLog, KvRead, ModelFingerprint};
use std::sync::{Arc, Mutex, PoisonError};

/// The logs of the conversations that ended, in order.
pub(super) type Kept = Arc<Mutex<Vec<KvLog>>>;

/// A model that keeps the log of whatever is judged.
pub(super) struct Recorder {
    model: Speaker,
    kept: Kept,
}

/// A conversation of which the log is kept.
struct Recorded {
    conversation: Box<dyn Conversation>,
    /// Words said since `act`.
    n_lived: usize,
    kept: Kept,
}

impl Recorder {
    /// Of what is judged by `model`.
    pub(super) fn new(model: Speaker) -> Self {
        Self { model, kept: Kept::default() }
    }

    /// Where the logs are put.
    pub(super) fn kept(&self) -> Kept {
        self.kept.clone()
    }
}

/// Takes the logs that were kept.
pub(super) fn take(kept: &Kept) -> Vec<KvLog> {
    std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner))
}

impl LanguageModel for Recorder {
    fn identity(&self) -> String {
        self.model.identity()
    }

    fn fingerprint(&self) -> Option<&ModelFingerprint> {
        self.model.fingerprint()
    }

    fn open(&self, _: &ConversationOptions) -> Result<Box<dyn Conversation>> {
        let conversation = self.model.open(&ConversationOptions { capture: true })?;
        Ok(Box::new(Recorded { conversation, n_lived: 0, kept: self.kept.clone() }))
    }
}

impl Conversation for Recorded {
    fn attach(&mut self, log: &dyn KvRead) -> Result<LogUse> {
        self.conversation.attach(log)
    }

    fn say(&mut self, text: &str) -> Result<()> {
        let words = words(text).unwrap_or_default();
        let act = words.iter().rposition(|word| *word == Word::ACT).map_or(0, |at| at + 1);
        self.n_lived = words.len() - act;
        self.conversation.say(text)
    }

    fn say_tokens(&mut self, ids: &[u32]) -> Result<()> {
        self.conversation.say_tokens(ids)
    }

    fn reply(&mut self, decoding: &Decoding, on_text: &mut dyn FnMut(&str)) -> Result<Reply> {
        let reply = self.conversation.reply(decoding, on_text)?;
        let log = self.conversation.capture(self.n_lived, ElementType::F16)?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(log);
        Ok(reply)
    }

    fn capture(&mut self, lead_in_tokens: usize, element: ElementType) -> Result<KvLog> {
        self.conversation.capture(lead_in_tokens, element)
    }
}
