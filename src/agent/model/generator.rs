//! lagdb's own generator as a model to speak with: text in this process, KV logs attached and captured.
//!
//! What is said is encoded at once and computed with the next reply, so a reply sees exactly the tokens it would have seen
//! in one prompt.

use super::{Conversation, ConversationOptions, Decoding, LanguageModel, LogUse, Reply};
use crate::generate::{Admission, Admitted, Generator, Sampling, Selection, Session, SessionOptions};
use crate::{Error, Result};
use lagdb_format::{ElementType, KvLog, KvRead, ModelFingerprint};
use std::ops::ControlFlow;

/// Characters of a fingerprint that tell models apart.
const ID_LEN: usize = 16;

/// A session, and what was said in it since the last reply.
pub(super) struct Spoken {
    session: Session,
    said: Vec<u32>,
    /// Tokens that were said before the last reply.
    lead_in: usize,
    /// Whether text was said: the first gets what the tokenizer puts around a text.
    begun: bool,
    /// By what a KV log is attached or computed; where there is nothing, what cannot be attached is an error.
    admission: Option<Admission>,
}

/// A generator that attaches a KV log where that is faster and possible, computes its tokens where it is not, and refuses what
/// it can do neither with: a log that cannot be used costs no reply.
#[derive(Clone, Debug)]
pub struct AdmittingGenerator {
    generator: Generator,
    admission: Admission,
}

impl AdmittingGenerator {
    /// `generator`, by what was measured of it on this machine, or by [`Admission::ATTACH`].
    pub fn new(generator: Generator, admission: Admission) -> Self {
        Self { generator, admission }
    }
}

impl LanguageModel for AdmittingGenerator {
    fn identity(&self) -> String {
        self.generator.identity()
    }

    fn fingerprint(&self) -> Option<&ModelFingerprint> {
        Some(Generator::fingerprint(&self.generator))
    }

    fn open(&self, options: &ConversationOptions) -> Result<Box<dyn Conversation>> {
        Ok(Box::new(Spoken::new(&self.generator, options, Some(self.admission))?))
    }
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
        Ok(Box::new(Spoken::new(self, options, None)?))
    }
}

impl Spoken {
    pub(super) fn new(
        generator: &Generator,
        options: &ConversationOptions,
        admission: Option<Admission>,
    ) -> Result<Self> {
        let options = SessionOptions { capture: options.capture, ..SessionOptions::default() };
        let session = generator.session(options)?;
        // A session that begins with the beginning of a text needs no other.
        let begun = session.n_tokens() > 0;
        Ok(Self { session, said: Vec::new(), lead_in: 0, begun, admission })
    }

    /// Says these tokens next, and nothing around them. What a session begins with is not said again.
    pub(super) fn say_ids(&mut self, ids: &[u32]) {
        let begun = if self.said.is_empty() { self.session.token_ids() } else { &[] };
        let ids = if begun.is_empty() { ids } else { ids.strip_prefix(begun).unwrap_or(ids) };
        self.said.extend_from_slice(ids);
        self.begun = true;
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

    /// A stop of one token ends the reply by its id; others are looked for in the text.
    fn sampling(&self, decoding: &Decoding) -> Result<(Sampling, Vec<String>)> {
        let (mut stop_ids, mut stop_texts) = (Vec::new(), Vec::new());
        for stop in &decoding.stop {
            match self.session.generator().encode(stop, false)?.as_slice() {
                [] => return Err(Error::invalid("stop", "is empty")),
                [id] => stop_ids.push(*id),
                _ => stop_texts.push(stop.clone()),
            }
        }
        let sampling = Sampling {
            temperature: decoding.temperature,
            top_k: decoding.top_k,
            top_p: decoding.top_p,
            seed: decoding.seed,
            stop_ids,
            ..Sampling::greedy(decoding.max_tokens)
        };
        Ok((sampling, stop_texts))
    }
}

impl Conversation for Spoken {
    fn attach(&mut self, log: &dyn KvRead) -> Result<LogUse> {
        let Some(admission) = &self.admission else {
            return Ok(LogUse::Attached(self.session.attach(log)?.fidelity));
        };
        Ok(match self.session.admit(log, admission) {
            Admitted::Attached(attachment) => LogUse::Attached(attachment.fidelity),
            Admitted::Recomputed { why, .. } => LogUse::Recomputed { why: why.map(|why| why.to_string()) },
            Admitted::Refused { why } => LogUse::Refused { why: why.to_string() },
        })
    }

    fn n_attached(&self) -> usize {
        self.session.n_attached()
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
        let (sampling, stops) = self.sampling(decoding)?;
        let said = std::mem::take(&mut self.said);
        self.lead_in = said.len();
        let mut grown = String::new();
        // The logits are computed now and asked for once more by the first choice: one product with the vocabulary.
        let first = decoding.score.then(|| self.session.feed(&said)).transpose()?;
        let rest: &[u32] = if first.is_some() { &[] } else { &said };
        let response = self.session.generate(rest, &sampling, |token| {
            on_text(token.text);
            if !stops.is_empty() {
                grown.push_str(token.text);
            }
            if stops.iter().any(|stop| grown.contains(stop)) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        let text = match decoding.special {
            true => self.session.generator().decode(&response.token_ids, true)?,
            false => response.text,
        };
        let n_fed = if first.is_some() { said.len() } else { 0 };
        Ok(Reply {
            text,
            prompt_tokens: response.prefill_tokens + n_fed,
            n_tokens: response.token_ids.len(),
            first_log_prob: first.zip(response.token_ids.first()).and_then(|(logits, id)| log_prob(&logits, *id)),
        })
    }

    fn capture(&mut self, lead_in_tokens: usize, element: ElementType) -> Result<KvLog> {
        let lead_in = lead_in_tokens.min(self.lead_in);
        self.session.capture(Selection::LastResponseWithPrompt(lead_in), element)
    }
}

/// The natural logarithm of the probability of a token under these logits.
fn log_prob(logits: &[f32], id: u32) -> Option<f64> {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - most).exp()).sum();
    logits.get(id as usize).map(|logit| f64::from(*logit) - most - sum.ln())
}
