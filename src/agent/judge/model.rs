//! A model as a judge: it reads the transcript, at temperature 0, and must end with a verdict.
//!
//! A reply without a verdict, with two that differ, or with one that nobody knows is an abstention; it is never a failure of
//! the agent. The judge sees the task and the steps, and nothing that was recalled: advice must not vouch for itself.

use super::{Caution, Judge, broke_down};
use crate::agent::dialect::Dialect;
use crate::agent::{Attempt, ConversationOptions, Decoding, Environment, LanguageModel};
use crate::{Judgment, JudgmentSource, Outcome, Result};
use std::sync::Arc;

/// The most tokens of a reply unless said otherwise.
const MAX_TOKENS: usize = 256;
/// The most characters of a rationale.
const RATIONALE_CHARS: usize = 1_000;

/// What a reply to the question of a verdict says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ended like this.
    Is(Outcome),
    /// Nothing can be said; why.
    Abstains(String),
}

/// Asks a model how an attempt ended.
#[derive(Clone)]
pub struct ModelJudge {
    model: Arc<dyn LanguageModel>,
    dialect: Arc<dyn Dialect>,
    caution: Caution,
    max_tokens: usize,
    min_confidence: Option<f64>,
}

impl ModelJudge {
    /// Asks `model` in `dialect`.
    pub fn new(model: Arc<dyn LanguageModel>, dialect: Arc<dyn Dialect>) -> Self {
        Self { model, dialect, caution: Caution::default(), max_tokens: MAX_TOKENS, min_confidence: None }
    }

    /// With another view of which mistake is worse.
    #[must_use]
    pub fn caution(self, caution: Caution) -> Self {
        Self { caution, ..self }
    }

    /// With at most so many tokens in a reply.
    #[must_use]
    pub fn max_tokens(self, max_tokens: usize) -> Self {
        Self { max_tokens, ..self }
    }

    /// Abstaining where the first token of a verdict, 0 to 1, was less likely than this; only for models that say so, and
    /// dialects that [begin with the verdict](Dialect::verdict_first).
    #[must_use]
    pub fn min_confidence(self, probability: f64) -> Self {
        Self { min_confidence: Some(probability), ..self }
    }

    /// Who judges: dialect and model.
    fn evaluator(&self) -> String {
        format!("model judge {} {}", self.dialect.name(), self.model.identity())
    }
}

impl Judge for ModelJudge {
    fn judge(&self, environment: &mut dyn Environment, attempt: &Attempt) -> Result<Judgment> {
        if let Some(judgment) = broke_down(attempt) {
            return Ok(judgment);
        }
        let mut conversation = self.model.open(&ConversationOptions::default())?;
        conversation.say(&self.dialect.ask_verdict(environment.task(), &attempt.steps, self.caution))?;
        // Of a reply that gives its reasons first, the first token says nothing about the verdict.
        let score = self.dialect.verdict_first();
        let decoding = Decoding { score, ..Decoding::greedy(self.max_tokens) };
        let reply = conversation.reply(&decoding, &mut |_| {})?;
        let confidence = reply.first_log_prob.filter(|_| score).map(f64::exp);
        let verdict = match (self.dialect.read_verdict(&reply.text), self.min_confidence.zip(confidence)) {
            (Verdict::Is(_), Some((min, found))) if found < min => {
                Verdict::Abstains(format!("it was sure to {found:.2} only"))
            }
            (verdict, _) => verdict,
        };
        let judgment = |outcome| Judgment::new(outcome, self.evaluator()).source(JudgmentSource::Model);
        Ok(match verdict {
            Verdict::Is(outcome) => {
                let rationale: String = reply.text.trim().chars().take(RATIONALE_CHARS).collect();
                Judgment { score: success(outcome, confidence), ..judgment(outcome).rationale(rationale) }
            }
            Verdict::Abstains(why) => judgment(Outcome::Unknown).rationale(format!("abstained: {why}")),
        })
    }
}

/// How likely the attempt succeeded, as the judge sees it; only where the judge's model tells.
fn success(outcome: Outcome, confidence: Option<f64>) -> Option<f64> {
    match outcome {
        Outcome::Success => confidence,
        Outcome::Failure => confidence.map(|confidence| 1.0 - confidence),
        Outcome::Partial | Outcome::Unknown => None,
    }
}
