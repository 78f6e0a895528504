//! lagdb's own generator as a model to speak with: text in this process, KV logs attached and captured.
//!
//! What is said is encoded at once and computed with the next reply, so a reply sees exactly the tokens it would have seen
//! in one prompt, and KV logs that are given with it are read meanwhile.

use super::{Conversation, ConversationOptions, Decoding, LanguageModel, LogUse, Reply, Serving};
use crate::Result;
use crate::generate::{
    Admitted, AttachPolicy, Attachment, Generator, NewToken, Response, Sampling, Selection, Session, SessionOptions,
};
use lagdb_format::{ElementType, KvLog, KvLogView, KvRead, ModelFingerprint};
use std::ops::ControlFlow;

/// Characters of a fingerprint that tell models apart.
const ID_LEN: usize = 16;

/// A session, and what was said in it since the last reply.
pub(super) struct Spoken {
    session: Session,
    said: Vec<u32>,
    /// Tokens that the session begins with.
    n_begun: usize,
    has_replied: bool,
    /// Tokens that were said before the last reply.
    lead_in: usize,
    /// Whether text was said: the first gets what the tokenizer puts around a text.
    begun: bool,
    serving: Serving,
}

impl LanguageModel for Generator {
    fn identity(&self) -> String {
        let id = Generator::fingerprint(self).id().to_string();
        format!("lagdb generator {}", id.get(..ID_LEN).unwrap_or(&id))
    }

    fn fingerprint(&self) -> Option<&ModelFingerprint> {
        Some(Generator::fingerprint(self))
    }

    fn open(&self, options: &ConversationOptions) -> Result<Box<dyn Conversation>> {
        Ok(Box::new(Spoken::new(self, options, Serving::default())?))
    }
}

impl Spoken {
    pub(super) fn new(generator: &Generator, options: &ConversationOptions, serving: Serving) -> Result<Self> {
        let (capture, kv_numbers) = (options.capture, serving.kv_numbers);
        let options = SessionOptions { capture, kv_numbers, ..SessionOptions::default() };
        let session = generator.session(options)?;
        // A session that begins with the beginning of a text needs no other.
        let n_begun = session.n_tokens();
        Ok(Self { session, said: Vec::new(), n_begun, has_replied: false, lead_in: 0, begun: n_begun > 0, serving })
    }

    /// These tokens of the beginning of a text without what the session begins with, which is not said again.
    pub(super) fn unbegun<'a>(&self, ids: &'a [u32]) -> &'a [u32] {
        let begun = if self.has_replied { &[] } else { &self.session.token_ids()[..self.n_begun] };
        ids.strip_prefix(begun).unwrap_or(ids)
    }

    /// A reply to these tokens, with `logs` before them. The session stays as it was when there is none.
    pub(super) fn reply_to(
        &mut self,
        said: &[u32],
        logs: &[KvLogView<'static>],
        decoding: &Decoding,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<(Vec<LogUse>, Reply)> {
        let sampling = self.sampling(decoding)?;
        let on_token = |token: NewToken<'_>| {
            on_text(token.text);
            ControlFlow::Continue(())
        };
        let (uses, logits, response) = match decoding.score || self.serving.pages.is_some() {
            true => self.attend_first(logs, said, decoding.score, &sampling, on_token)?,
            false => {
                let (uses, response) = self.attend(logs, said, &sampling, on_token)?;
                (uses, None, response)
            }
        };
        let stop = response.stop.unwrap_or_default();
        let text = match decoding.special {
            true => up_to(self.session.generator().decode(&response.token_ids, true)?, &stop),
            false => response.text + &stop,
        };
        if !stop.is_empty() {
            on_text(&stop);
        }
        (self.lead_in, self.has_replied) = (said.len(), true);
        let n_fed = if logits.is_some() { said.len() } else { 0 };
        let reply = Reply {
            text,
            prompt_tokens: response.prefill_tokens + n_fed,
            n_tokens: response.token_ids.len(),
            first_log_prob: logits.zip(response.token_ids.first()).and_then(|(logits, id)| log_prob(&logits, *id)),
        };
        Ok((uses, reply))
    }

    /// Generates after `said`, which is computed while logs that are attached are still read.
    fn attend(
        &mut self,
        logs: &[KvLogView<'static>],
        said: &[u32],
        sampling: &Sampling,
        on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<(Vec<LogUse>, Response)> {
        let logs: Vec<&dyn KvRead> = logs.iter().map(|log| log as &dyn KvRead).collect();
        match &self.serving.admission {
            Some(admission) => {
                let admitted = self.session.generate_admitting(&logs, admission, said, sampling, on_token)?;
                Ok((admitted.0.into_iter().map(LogUse::from).collect(), admitted.1))
            }
            None => {
                let policy = AttachPolicy::default();
                let attached = self.session.generate_attaching(&logs, &policy, said, sampling, on_token)?;
                Ok((attached.0.into_iter().map(LogUse::from).collect(), attached.1))
            }
        }
    }

    /// The same, logs before all else; with the logits after `said`, if they are asked for. The first choice asks for them once
    /// more: one product with the vocabulary.
    fn attend_first(
        &mut self,
        logs: &[KvLogView<'static>],
        said: &[u32],
        score: bool,
        sampling: &Sampling,
        on_token: impl FnMut(NewToken<'_>) -> ControlFlow<()>,
    ) -> Result<(Vec<LogUse>, Option<Vec<f32>>, Response)> {
        let serving = self.serving;
        self.session.or_as_it_was(|session| {
            let uses = logs.iter().map(|log| serving.recall(session, log)).collect::<Result<_>>()?;
            let logits = score.then(|| session.feed(said)).transpose()?;
            let rest: &[u32] = if score { &[] } else { said };
            Ok((uses, logits, session.generate(rest, sampling, on_token)?))
        })
    }

    /// `text` without the token that ends a text, if it begins with it and the last row is that token.
    pub(super) fn without_end<'a>(&self, text: &'a str) -> Result<&'a str> {
        let generator = self.session.generator();
        match self.session.token_ids().last() {
            Some(id) if generator.config().eos_ids.contains(id) => {
                let end = generator.decode(&[*id], true)?;
                Ok(text.strip_prefix(end.as_str()).unwrap_or(text))
            }
            _ => Ok(text),
        }
    }

    /// Stops are looked for in the text, wherever tokens begin and end; a special token has none and is stopped at by its id.
    fn sampling(&self, decoding: &Decoding) -> Result<Sampling> {
        let generator = self.session.generator();
        let (mut stop_ids, mut stop) = (Vec::new(), Vec::new());
        for text in &decoding.stop {
            match generator.special_id(text)? {
                Some(id) => stop_ids.push(id),
                None => stop.push(text.clone()),
            }
        }
        Ok(Sampling {
            temperature: decoding.temperature,
            top_k: decoding.top_k,
            top_p: decoding.top_p,
            seed: decoding.seed,
            stop_ids,
            stop,
            ..Sampling::greedy(decoding.max_tokens)
        })
    }
}

impl Conversation for Spoken {
    fn attach(&mut self, log: &dyn KvRead) -> Result<LogUse> {
        self.serving.attach(&mut self.session, log)
    }

    fn n_attached(&self) -> usize {
        self.session.n_attached() + self.session.n_paged()
    }

    fn say(&mut self, text: &str) -> Result<()> {
        let special = !self.begun;
        self.said.extend(self.session.generator().encode(text, special)?);
        self.begun = true;
        Ok(())
    }

    fn say_tokens(&mut self, ids: &[u32]) -> Result<()> {
        self.said.extend_from_slice(ids);
        Ok(())
    }

    fn reply(&mut self, decoding: &Decoding, on_text: &mut dyn FnMut(&str)) -> Result<Reply> {
        Ok(self.reply_attending(&[], decoding, on_text)?.1)
    }

    fn reply_attending(
        &mut self,
        logs: &[KvLogView<'static>],
        decoding: &Decoding,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<(Vec<LogUse>, Reply)> {
        let said = std::mem::take(&mut self.said);
        let replied = self.reply_to(&said, logs, decoding, on_text);
        if replied.is_err() {
            self.said = said;
        }
        replied
    }

    fn capture(&mut self, lead_in_tokens: usize, element: ElementType) -> Result<KvLog> {
        let lead_in = lead_in_tokens.min(self.lead_in);
        self.session.capture(Selection::LastResponseWithPrompt(lead_in), element)
    }
}

impl Serving {
    /// Attends to a log in its pages, where that is asked for and possible; else as [`attach`](Self::attach).
    fn recall(&self, session: &mut Session, log: &KvLogView<'static>) -> Result<LogUse> {
        let Some(policy) = &self.pages else { return self.attach(session, log) };
        match (session.attach_pages(std::slice::from_ref(log), policy), self.admission) {
            (Ok(_), _) => Ok(LogUse::Paged),
            (Err(why), None) => Err(why),
            (Err(why), Some(_)) => Ok(match self.attach(session, log)? {
                LogUse::Attached { fidelity, .. } => LogUse::Attached { fidelity, why: Some(why.to_string()) },
                otherwise => otherwise,
            }),
        }
    }

    /// Attaches a log, or does what is admitted.
    fn attach(&self, session: &mut Session, log: &dyn KvRead) -> Result<LogUse> {
        Ok(match &self.admission {
            None => session.attach(log)?.into(),
            Some(admission) => session.admit(log, admission).into(),
        })
    }
}

impl From<Attachment> for LogUse {
    fn from(attachment: Attachment) -> Self {
        Self::Attached { fidelity: attachment.fidelity, why: None }
    }
}

impl From<Admitted> for LogUse {
    fn from(admitted: Admitted) -> Self {
        match admitted {
            Admitted::Attached(attachment) => attachment.into(),
            Admitted::Recomputed { why, .. } => Self::Recomputed { why: why.map(|why| why.to_string()) },
            Admitted::Refused { why } => Self::Refused { why: why.to_string() },
        }
    }
}

/// `text` up to the end of the last `stop` in it: special tokens before the one that was found may have it in their names.
fn up_to(mut text: String, stop: &str) -> String {
    if let Some(at) = text.rfind(stop).filter(|_| !stop.is_empty()) {
        text.truncate(at + stop.len());
    }
    text
}

/// The natural logarithm of the probability of a token under these logits.
fn log_prob(logits: &[f32], id: u32) -> Option<f64> {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - most).exp()).sum();
    logits.get(id as usize).map(|logit| f64::from(*logit) - most - sum.ln())
}
