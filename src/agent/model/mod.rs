//! The model an agent speaks with: it opens conversations, in which text is said, KV logs are attached and replies are
//! asked for.
//!
//! | model | KV logs | where |
//! |---|---|---|
//! | [`Generator`](crate::generate::Generator) (feature `generate`): continues text | attaches and captures | in this process |
//! | `ServedGenerator` (feature `generate`): the same, in a way of the caller's (`Serving`) | attaches, computes or refuses, and says which | in this process |
//! | `ChatModel` (feature `generate`): a generator, spoken to in the words of its chat template | attaches and captures | in this process |
//! | `OpenAi` (feature `openai`) | refuses them | in a server on this machine |
//! | [`Scripted`] | refuses them | nowhere: a queue of replies, for tests |
//!
//! A model that takes no KV logs refuses them with [`Error::KvLogsUnsupported`]; nothing is dropped silently.

#[cfg(feature = "generate")]
mod chat;
#[cfg(feature = "generate")]
mod generator;
#[cfg(feature = "openai")]
mod openai;
mod scripted;
#[cfg(feature = "generate")]
mod serving;

#[cfg(feature = "generate")]
pub use chat::ChatModel;
#[cfg(feature = "openai")]
pub use openai::OpenAi;
pub use scripted::Scripted;
#[cfg(feature = "generate")]
pub use serving::{ServedGenerator, Serving};

use crate::{Error, Result};
use lagdb_format::{ElementType, Fidelity, KvLog, KvLogView, KvRead, ModelFingerprint};

/// A model that continues text.
pub trait LanguageModel: Send + Sync {
    /// Which model it is, in at most 100 bytes: part of who judged and of who distilled.
    fn identity(&self) -> String;

    /// Which KV logs it can read; `None` when it takes none.
    fn fingerprint(&self) -> Option<&ModelFingerprint> {
        None
    }

    /// Opens a conversation.
    ///
    /// # Errors
    /// When the model cannot be reached, or cannot do what `options` ask for.
    fn open(&self, options: &ConversationOptions) -> Result<Box<dyn Conversation>>;
}

/// One conversation: what was said in it stays in the model's sight.
pub trait Conversation: Send {
    /// Puts a KV log before what was said since the last reply, as rows. A model that weighs loading against computing says what
    /// became of it.
    ///
    /// # Errors
    /// [`Error::KvLogsUnsupported`] by a model that takes none; by one that does not weigh, [`Error::ModelMismatch`] for a log
    /// of another model, [`Error::ContextLimit`], and [`Error::Corrupt`] when the log's bytes are damaged.
    fn attach(&mut self, log: &dyn KvRead) -> Result<LogUse>;

    /// Tokens attended to without computing them.
    fn n_attached(&self) -> usize {
        0
    }

    /// Says `text`; the model reads it with the next reply.
    ///
    /// # Errors
    /// When the model cannot read it.
    fn say(&mut self, text: &str) -> Result<()>;

    /// Says tokens of the model's own, such as those of a KV log.
    ///
    /// # Errors
    /// [`Error::KvLogsUnsupported`] by a model that is spoken with in text alone.
    fn say_tokens(&mut self, ids: &[u32]) -> Result<()>;

    /// Asks for a reply; `on_text` sees it as it grows, and is called at least once a token where the model gives tokens
    /// one by one.
    ///
    /// # Errors
    /// [`Error::ContextLimit`]; [`Error::Reply`] when no reply came, or none that can be read.
    fn reply(&mut self, decoding: &Decoding, on_text: &mut dyn FnMut(&str)) -> Result<Reply>;

    /// [Attaches](Self::attach) `logs`, the first first, and asks for a [reply](Self::reply); what became of each log. A generator
    /// computes what was said while it still reads them, which gives the first token sooner and nothing else, or attends to them as
    /// they are stored (`Serving::pages`).
    ///
    /// # Errors
    /// As both. A generator is then as it was: no log is attached, and what was said is still to be read.
    fn reply_attending(
        &mut self,
        logs: &[KvLogView<'static>],
        decoding: &Decoding,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<(Vec<LogUse>, Reply)> {
        let uses = logs.iter().map(|log| self.attach(log)).collect::<Result<_>>()?;
        Ok((uses, self.reply(decoding, on_text)?))
    }

    /// The KV log of the last reply and of up to `lead_in_tokens` that were said right before it.
    ///
    /// # Errors
    /// [`Error::KvLogsUnsupported`] by a model that gives none.
    fn capture(&mut self, lead_in_tokens: usize, element: ElementType) -> Result<KvLog>;
}

/// What became of a KV log that was put before what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogUse {
    /// Its tokens are rows that are attended to.
    Attached {
        /// How near that comes to computing them again.
        fidelity: Fidelity,
        /// Why it is not attended to in its pages, where that was asked for.
        why: Option<String>,
    },
    /// It is attended to as it is stored, in pages of int8.
    Paged,
    /// Its tokens were computed.
    Recomputed {
        /// Why it was not attached; `None` when computing was measured to be faster.
        why: Option<String>,
    },
    /// Neither: the conversation is as it was.
    Refused {
        /// What stood against it.
        why: String,
    },
}

impl LogUse {
    /// The word for reports: `attached`, `paged`, `recomputed` or `refused`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Attached { .. } => "attached",
            Self::Paged => "paged",
            Self::Recomputed { .. } => "recomputed",
            Self::Refused { .. } => "refused",
        }
    }

    /// How near it comes to computing its tokens again, where they are attended to without.
    pub fn fidelity(&self) -> Option<Fidelity> {
        match self {
            Self::Attached { fidelity, .. } => Some(*fidelity),
            Self::Paged => Some(Fidelity::Approximate),
            Self::Recomputed { .. } | Self::Refused { .. } => None,
        }
    }

    /// What stood against what was asked for.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Attached { why, .. } | Self::Recomputed { why } => why.as_deref(),
            Self::Paged => None,
            Self::Refused { why } => Some(why),
        }
    }
}

/// How a conversation is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConversationOptions {
    /// Keep what [`capture`](Conversation::capture) needs.
    pub capture: bool,
}

/// How a reply is chosen and where it ends. Randomness is a parameter: the same seed gives the same reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoding {
    /// 0 always takes the likeliest token; above, logits are divided by it.
    pub temperature: f64,
    /// Sample among this many likeliest tokens.
    pub top_k: Option<usize>,
    /// Of those, sample among the fewest whose probabilities exceed this sum.
    pub top_p: Option<f64>,
    /// Seed of the random choices.
    pub seed: u64,
    /// The most tokens of a reply.
    pub max_tokens: usize,
    /// Texts that end a reply, wherever tokens begin and end. Whether the reply includes the one that ended it is the model's: a
    /// generator's does, and ends with it, but for a special token, which is in a reply only where these are kept. A text in which a
    /// special token stands beside others is never found.
    pub stop: Vec<String>,
    /// Keep special tokens, such as the one that ends a text, in the reply.
    pub special: bool,
    /// Say how likely the first token of the reply was, if the model can.
    pub score: bool,
}

/// What a model replied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The text.
    pub text: String,
    /// Tokens that were read for it, 0 where the model does not say.
    pub prompt_tokens: usize,
    /// Tokens of the reply, 0 where the model does not say.
    pub n_tokens: usize,
    /// Natural logarithm of how likely its first token was, at temperature 1 among all tokens; where it was
    /// [asked for](Decoding::score) and the model says it.
    pub first_log_prob: Option<f64>,
}

impl Decoding {
    /// Always the likeliest token, for at most `max_tokens`.
    pub fn greedy(max_tokens: usize) -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: None,
            seed: 0,
            max_tokens,
            stop: Vec::new(),
            special: false,
            score: false,
        }
    }

    /// Random choice among all tokens at `temperature`.
    pub fn random(temperature: f64, seed: u64, max_tokens: usize) -> Self {
        Self { temperature, seed, ..Self::greedy(max_tokens) }
    }

    /// The same for another choice of the same task: choice 0 of attempt 0 has the seed as it is.
    #[must_use]
    pub fn turn(&self, attempt: u64, step: u64) -> Self {
        let mixed = match (attempt, step) {
            (0, 0) => self.seed,
            _ => super::dice::mix(self.seed ^ super::dice::mix(attempt << 32 | step)),
        };
        Self { seed: mixed, ..self.clone() }
    }
}

/// The refusal of a model that takes no KV logs.
fn unsupported(model: &str) -> Error {
    Error::KvLogsUnsupported { model: model.to_owned() }
}
