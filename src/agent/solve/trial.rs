//! One conversation in which a task is tried: once, or again and again with what was tried before in sight.
//!
//! Before an action is carried out, lessons of failures that speak about it are given, and the model chooses once more; of what
//! it says then lessons may speak again. An action about which nothing more is to be said is done.
//!
//! A trajectory keeps what the world said and what was done, never what was recalled: a judge must not be told by advice, and
//! a lesson must not be distilled from itself. What was recalled is in the exposures.

use super::{Attempt, Ending};
use crate::agent::{Agent, Conversation, ConversationOptions, Decoding, Environment, LogUse, Recollection, Said};
use crate::record::limits;
use crate::{Delivery, Error, Exposure, Id, Judgment, Result, Step, Strategy};
use lagdb_format::KvLogView;
use std::time::{Duration, Instant};

/// A number that no attempt has: choices after a warning share their dice with no other.
const NO_ATTEMPT: u64 = u32::MAX as u64;

/// What came of asking the model, which may break down where the rest goes on.
type Replied<T> = std::result::Result<T, Error>;

/// A conversation and what was recalled for it.
pub(in crate::agent) struct Trial<'a> {
    agent: &'a Agent,
    conversation: Box<dyn Conversation>,
    lessons: Vec<Strategy>,
    /// Their ids: none of them is given again before an action.
    given: Vec<Id<Strategy>>,
    /// KV logs that come with the first reply: they are read while what is said first is computed.
    unread_logs: &'a [KvLogView<'static>],
    logs: Vec<LogUse>,
    /// Whether the task was tried in it.
    has_tried: bool,
    /// What was seen at the end of the attempt before, and not said yet.
    unread: String,
    /// When it was opened, or the attempt before ended.
    start: Instant,
}

/// An attempt while it lasts.
#[derive(Default)]
struct Run {
    number: usize,
    steps: Vec<Step>,
    warnings: Vec<Exposure>,
    prefill_tokens: usize,
    first_token: Option<Duration>,
}

impl Run {
    /// The step that is being answered, counted from 0.
    fn at(&self) -> u64 {
        (self.steps.len() as u64).saturating_sub(1)
    }
}

impl<'a> Trial<'a> {
    /// Opens a conversation and says in it what was recalled as text.
    pub(in crate::agent) fn open(agent: &'a Agent, recollection: &'a Recollection) -> Result<Self> {
        let start = Instant::now();
        let mut conversation = agent.model.open(&ConversationOptions { capture: agent.policy.capture.is_some() })?;
        for said in &recollection.said {
            match said {
                Said::Text(text) => conversation.say(text)?,
                Said::Tokens(ids) => conversation.say_tokens(ids)?,
            }
        }
        Ok(Self {
            agent,
            conversation,
            lessons: recollection.lessons(),
            given: recollection.given(),
            unread_logs: &recollection.kv_logs,
            logs: Vec::new(),
            has_tried: false,
            unread: String::new(),
            start,
        })
    }

    /// Tries the task; `number` says which attempt at it this is, counted from 0, and decides on its dice. A conversation in
    /// which the task was tried before goes on, from what was said of that attempt (`judgment`).
    ///
    /// # Errors
    /// When the database cannot be read, and when the model says nothing at all in the first attempt: then nothing was lived.
    pub(in crate::agent) fn attempt(
        &mut self,
        environment: &mut dyn Environment,
        number: usize,
        judgment: Option<&Judgment>,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Attempt> {
        let mut run = Run { number, ..Run::default() };
        let ending = match self.live(environment, judgment, &mut run, on_text)? {
            Ok(ending) => ending,
            Err(error) if number == 0 && run.steps.len() <= 1 => return Err(error),
            Err(error) => Ending::ModelFailed(error.to_string()),
        };
        let can_capture = !run.steps.is_empty() && !matches!(ending, Ending::ModelFailed(_));
        let capture = self.agent.policy.capture.filter(|_| can_capture);
        let kv_log = capture.map(|capture| self.conversation.capture(capture.lead_in_tokens, capture.element));
        let (kv_log, problem) = match kv_log.transpose() {
            Ok(kv_log) => (kv_log, None),
            Err(error) => (None, Some(format!("no KV log: {error}"))),
        };
        let attempt = Attempt {
            ending,
            prefill_tokens: run.prefill_tokens,
            attached_tokens: self.conversation.n_attached(),
            logs: self.logs.clone(),
            kv_log,
            problem,
            time_to_first_token: run.first_token.unwrap_or_else(|| self.start.elapsed()),
            steps: run.steps,
            warnings: run.warnings,
        };
        // Where the world did not start, nothing was said yet.
        self.has_tried |= !attempt.steps.is_empty();
        self.start = Instant::now();
        Ok(attempt)
    }

    fn live(
        &mut self,
        environment: &mut dyn Environment,
        judgment: Option<&Judgment>,
        run: &mut Run,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Replied<Ending>> {
        let mut seen = match environment.reset() {
            Ok(seen) => seen,
            Err(error) => return Ok(Ok(Ending::EnvironmentFailed(error))),
        };
        let mut said = self.opening(&seen, run.number, judgment);
        loop {
            // What is seen is part of the attempt before it is answered: the guard looks at it, and it is kept if no answer comes.
            run.steps.push(Step::new(seen, ""));
            let action = match self.act(environment, run, &said, on_text)? {
                Ok(action) => action,
                Err(error) => return Ok(Err(error)),
            };
            let signature = environment.signature(&action).filter(|signature| is_usable(signature));
            let answer = environment.step(&action);
            if let Some(step) = run.steps.last_mut() {
                (step.action, step.action_signature) = (action, signature);
                let error = answer.as_ref().ok().and_then(|answer| answer.error_signature.clone());
                step.error_signature = error.filter(|signature| is_usable(signature));
            }
            match answer {
                Err(error) => return Ok(Ok(Ending::EnvironmentFailed(error))),
                Ok(answer) if answer.ended || run.steps.len() >= self.agent.policy.max_steps => {
                    if !answer.observation.is_empty() {
                        self.unread.clone_from(&answer.observation);
                        run.steps.push(Step::new(answer.observation, ""));
                    }
                    return Ok(Ok(if answer.ended { Ending::Done } else { Ending::StepLimit }));
                }
                Ok(answer) => {
                    seen = answer.observation;
                    said.clone_from(&seen);
                }
            }
        }
    }

    /// What is said first: the observation, with lessons if there are any; in a conversation that goes on, what was seen last in
    /// it, and what asks for another attempt.
    fn opening(&mut self, observation: &str, number: usize, judgment: Option<&Judgment>) -> String {
        match judgment.filter(|_| self.has_tried) {
            Some(judgment) => {
                let unread = std::mem::take(&mut self.unread);
                unread + &self.agent.dialect.retry(observation, number, judgment)
            }
            None if self.lessons.is_empty() => observation.to_owned(),
            None => self.agent.dialect.remind(&self.lessons, observation),
        }
    }

    /// The model's action after `said`; its second choice where it was warned of the first.
    fn act(
        &mut self,
        environment: &dyn Environment,
        run: &mut Run,
        said: &str,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Replied<String>> {
        let decoding = self.agent.policy.decoding.turn(run.number as u64, run.at());
        let mut proposed = match self.say(said, &decoding, run, on_text) {
            Ok(proposed) => proposed,
            Err(error) => return Ok(Err(error)),
        };
        // No lesson is given twice before one action: whoever insists on it may take it.
        let mut told = self.given.clone();
        for n_warnings in 1.. {
            let warnings = self.warned(environment, &proposed, &mut told, run)?;
            if warnings.is_empty() {
                break;
            }
            // With dice of its own: with the same the first choice would come again more often than it should.
            let again = decoding.turn(NO_ATTEMPT, n_warnings);
            proposed = match self.say(&self.agent.dialect.warn(&warnings), &again, run, on_text) {
                Ok(proposed) => proposed,
                Err(error) => return Ok(Err(error)),
            };
        }
        Ok(Ok(proposed))
    }

    /// The lessons that speak about a proposed action, were not `told` yet, and are given before it.
    fn warned(
        &self,
        environment: &dyn Environment,
        proposed: &str,
        told: &mut Vec<Id<Strategy>>,
        run: &mut Run,
    ) -> Result<Vec<Strategy>> {
        let mut signatures = environment.guarded_by(proposed, &run.steps);
        signatures.retain(|signature| is_usable(signature));
        let at = u32::try_from(run.at()).unwrap_or(u32::MAX);
        let n_more = self.agent.policy.guard.map_or(0, |guard| guard.limit) + self.given.len();
        let mut offers = self.agent.warnings(environment.task(), &signatures, at, told)?;
        offers.truncate(n_more.saturating_sub(told.len()));
        run.warnings.extend(offers.iter().map(|offer| offer.exposure));
        told.extend(offers.iter().map(|offer| offer.id));
        let given = offers.into_iter().filter(|offer| offer.exposure.delivery == Delivery::Injected);
        Ok(given.map(|offer| offer.lesson).collect())
    }

    fn say(
        &mut self,
        text: &str,
        decoding: &Decoding,
        run: &mut Run,
        on_text: &mut dyn FnMut(&str),
    ) -> Replied<String> {
        self.conversation.say(text)?;
        let (start, first_token) = (self.start, &mut run.first_token);
        let (uses, reply) = self.conversation.reply_attending(self.unread_logs, decoding, &mut |text| {
            first_token.get_or_insert_with(|| start.elapsed());
            on_text(text);
        })?;
        self.unread_logs = &[];
        self.logs.extend(uses);
        run.prefill_tokens += reply.prompt_tokens;
        Ok(reply.text)
    }
}

/// Whether a signature may be stored and looked up. It is made of what a model or a world said, which may be anything: one that
/// is empty or too long is left out, and must not cost the task.
fn is_usable(signature: &str) -> bool {
    !signature.is_empty() && signature.len() <= limits::SIGNATURE_BYTES
}
