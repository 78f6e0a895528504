//! One conversation in which a task is tried: once, or again and again with what was tried before in sight.
//!
//! Before an action is carried out, lessons of failures that speak about it are given, and the model chooses once more; what
//! it says then is done.
//!
//! A trajectory keeps what the world said and what was done, never what was recalled: a judge must not be told by advice, and
//! a lesson must not be distilled from itself. What was recalled is in the exposures.

use super::{Attempt, Ending};
use crate::agent::{Agent, Conversation, ConversationOptions, Environment, Recollection, Said};
use crate::record::limits;
use crate::{Delivery, Exposure, Result, Step, Strategy};
use lagdb_format::Fidelity;
use std::time::{Duration, Instant};

/// A conversation and what was recalled for it.
pub(in crate::agent) struct Trial<'a> {
    agent: &'a Agent,
    conversation: Box<dyn Conversation>,
    lessons: Vec<Strategy>,
    fidelity: Vec<Fidelity>,
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

impl<'a> Trial<'a> {
    /// Opens a conversation and puts into it what was recalled.
    pub(in crate::agent) fn open(agent: &'a Agent, recollection: &Recollection) -> Result<Self> {
        let start = Instant::now();
        let mut conversation = agent.model.open(&ConversationOptions { capture: agent.policy.capture.is_some() })?;
        let attached = recollection.kv_logs.iter().map(|log| conversation.attach(log));
        let fidelity = attached.collect::<Result<_>>()?;
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
            fidelity,
            has_tried: false,
            unread: String::new(),
            start,
        })
    }

    /// Tries the task; `number` says which attempt at it this is, counted from 0, and decides on its dice. A conversation in
    /// which the task was tried before goes on.
    pub(in crate::agent) fn attempt(
        &mut self,
        environment: &mut dyn Environment,
        number: usize,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Attempt> {
        let mut run = Run { number, ..Run::default() };
        if !self.unread.is_empty() {
            self.conversation.say(&std::mem::take(&mut self.unread))?;
        }
        let ending = self.live(environment, &mut run, on_text)?;
        let capture = self.agent.policy.capture.filter(|_| !run.steps.is_empty());
        let kv_log = capture.map(|capture| self.conversation.capture(capture.lead_in_tokens, capture.element));
        let attempt = Attempt {
            ending,
            prefill_tokens: run.prefill_tokens,
            attached_tokens: self.conversation.n_attached(),
            fidelity: self.fidelity.clone(),
            kv_log: kv_log.transpose()?,
            time_to_first_token: run.first_token.unwrap_or_else(|| self.start.elapsed()),
            steps: run.steps,
            warnings: run.warnings,
        };
        (self.has_tried, self.start) = (true, Instant::now());
        Ok(attempt)
    }

    fn live(
        &mut self,
        environment: &mut dyn Environment,
        run: &mut Run,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Ending> {
        let mut observation = match environment.reset() {
            Ok(observation) => observation,
            Err(error) => return Ok(Ending::EnvironmentFailed(error)),
        };
        let mut said = self.opening(&observation, run.number);
        loop {
            let action = self.act(environment, run, &said, on_text)?;
            let answer = environment.step(&action);
            let mut step = Step::new(observation, action);
            step.action_signature = environment.signature(&step.action).filter(|signature| is_usable(signature));
            let error = answer.as_ref().ok().and_then(|answer| answer.error_signature.clone());
            step.error_signature = error.filter(|signature| is_usable(signature));
            run.steps.push(step);
            match answer {
                Err(error) => return Ok(Ending::EnvironmentFailed(error)),
                Ok(answer) if answer.ended || run.steps.len() >= self.agent.policy.max_steps => {
                    if !answer.observation.is_empty() {
                        self.unread.clone_from(&answer.observation);
                        run.steps.push(Step::new(answer.observation, ""));
                    }
                    return Ok(if answer.ended { Ending::Done } else { Ending::StepLimit });
                }
                Ok(answer) => {
                    observation = answer.observation;
                    said.clone_from(&observation);
                }
            }
        }
    }

    /// What is said first: the observation, with lessons if there are any; in a conversation that goes on, what asks for
    /// another attempt.
    fn opening(&self, observation: &str, number: usize) -> String {
        if self.has_tried {
            self.agent.dialect.retry(observation, number)
        } else if self.lessons.is_empty() {
            observation.to_owned()
        } else {
            self.agent.dialect.remind(&self.lessons, observation)
        }
    }

    /// The model's action after `said`; its second choice where it was warned of the first.
    fn act(
        &mut self,
        environment: &dyn Environment,
        run: &mut Run,
        said: &str,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<String> {
        let proposed = self.say(said, run, on_text)?;
        let mut signatures = environment.guarded_by(&proposed, &run.steps);
        signatures.retain(|signature| is_usable(signature));
        let at = u32::try_from(run.steps.len()).unwrap_or(u32::MAX);
        let offers = self.agent.warnings(environment.task(), &signatures, at)?;
        run.warnings.extend(offers.iter().map(|offer| offer.exposure));
        let given = offers.into_iter().filter(|offer| offer.exposure.delivery == Delivery::Injected);
        let given: Vec<Strategy> = given.map(|offer| offer.lesson).collect();
        if given.is_empty() {
            return Ok(proposed);
        }
        self.say(&self.agent.dialect.warn(&given), run, on_text)
    }

    fn say(&mut self, text: &str, run: &mut Run, on_text: &mut dyn FnMut(&str)) -> Result<String> {
        self.conversation.say(text)?;
        let decoding = self.agent.policy.decoding.turn(run.number as u64, run.steps.len() as u64);
        let (start, first_token) = (self.start, &mut run.first_token);
        let reply = self.conversation.reply(&decoding, &mut |text| {
            first_token.get_or_insert_with(|| start.elapsed());
            on_text(text);
        })?;
        run.prefill_tokens += reply.prompt_tokens;
        Ok(reply.text)
    }
}

/// Whether a signature may be stored and looked up. It is made of what a model or a world said, which may be anything: one that
/// is empty or too long is left out, and must not cost the task.
fn is_usable(signature: &str) -> bool {
    !signature.is_empty() && signature.len() <= limits::SIGNATURE_BYTES
}
