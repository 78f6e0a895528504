//! Solving one task: give the model what was recalled, then let it act and the environment answer until the task ends.
//!
//! Nothing of the database is held open meanwhile. An environment that breaks down ends the attempt and is named in it;
//! a model that gives no reply is an error, and nothing was lived.

use super::{Agent, Conversation, ConversationOptions, Environment, EnvironmentError, Recollection, Said};
use crate::{Result, Step};
use lagdb_format::{Fidelity, KvLog};
use std::time::{Duration, Instant};

/// What happened in one task.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What the agent read and said, step by step; what it saw last, if anything, closes them as a step without action.
    pub steps: Vec<Step>,
    /// Why it ended.
    pub ending: Ending,
    /// Prompt tokens computed, of all steps, recalled text included.
    pub prefill_tokens: usize,
    /// Tokens attended to without computing them.
    pub attached_tokens: usize,
    /// How near each attached log comes to computing its tokens again, in the order of the recollection.
    pub fidelity: Vec<Fidelity>,
    /// From the start, attaching included, to the first generated token.
    pub time_to_first_token: Duration,
    /// Keys and values of the last reply and its lead-in, if the policy captures them.
    pub kv_log: Option<KvLog>,
}

/// Why an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The environment said so.
    Done,
    /// It took as many steps as the policy allows.
    StepLimit,
    /// The environment broke down; what it said.
    EnvironmentFailed(EnvironmentError),
}

impl Attempt {
    /// Actions taken.
    pub fn n_actions(&self) -> usize {
        self.steps.iter().filter(|step| !step.action.is_empty()).count()
    }
}

impl Agent {
    /// Solves the task of `environment` with what was recalled.
    ///
    /// # Errors
    /// [`ModelMismatch`](crate::Error::ModelMismatch) for a KV log of another model,
    /// [`KvLogsUnsupported`](crate::Error::KvLogsUnsupported) where the model takes none or the policy captures one it
    /// does not give, [`ContextLimit`](crate::Error::ContextLimit) when not all of it fits,
    /// [`Reply`](crate::Error::Reply) when the model gives no reply.
    pub fn solve(&self, environment: &mut dyn Environment, recollection: &Recollection) -> Result<Attempt> {
        self.solve_streaming(environment, recollection, &mut |_| {})
    }

    /// As [`solve`](Self::solve); `on_text` sees the text as it is generated.
    ///
    /// # Errors
    /// As [`solve`](Self::solve).
    pub fn solve_streaming(
        &self,
        environment: &mut dyn Environment,
        recollection: &Recollection,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Attempt> {
        let start = Instant::now();
        let mut conversation = self.model.open(&ConversationOptions { capture: self.policy.capture.is_some() })?;
        let attached = recollection.kv_logs.iter().map(|log| conversation.attach(log));
        let fidelity = attached.collect::<Result<_>>()?;
        for said in &recollection.said {
            match said {
                Said::Text(text) => conversation.say(text)?,
                Said::Tokens(ids) => conversation.say_tokens(ids)?,
            }
        }
        let mut run = Run { agent: self, conversation, steps: Vec::new(), prefill_tokens: 0, first_token: None, start };
        let ending = run.live(environment, on_text)?;
        run.end(ending, fidelity)
    }
}

/// An attempt while it lasts.
struct Run<'a> {
    agent: &'a Agent,
    conversation: Box<dyn Conversation>,
    steps: Vec<Step>,
    prefill_tokens: usize,
    first_token: Option<Duration>,
    start: Instant,
}

impl Run<'_> {
    fn live(&mut self, environment: &mut dyn Environment, on_text: &mut dyn FnMut(&str)) -> Result<Ending> {
        let mut observation = match environment.reset() {
            Ok(observation) => observation,
            Err(error) => return Ok(Ending::EnvironmentFailed(error)),
        };
        loop {
            let action = self.act(&observation, on_text)?;
            let answer = environment.step(&action);
            let mut step = Step::new(observation, action);
            step.action_signature = environment.signature(&step.action);
            step.error_signature = answer.as_ref().ok().and_then(|answer| answer.error_signature.clone());
            self.steps.push(step);
            match answer {
                Err(error) => return Ok(Ending::EnvironmentFailed(error)),
                Ok(answer) if answer.ended || self.steps.len() >= self.agent.policy.max_steps => {
                    if !answer.observation.is_empty() {
                        self.steps.push(Step::new(answer.observation, ""));
                    }
                    return Ok(if answer.ended { Ending::Done } else { Ending::StepLimit });
                }
                Ok(answer) => observation = answer.observation,
            }
        }
    }

    /// The model's action after it saw `observation`.
    fn act(&mut self, observation: &str, on_text: &mut dyn FnMut(&str)) -> Result<String> {
        self.conversation.say(observation)?;
        let decoding = self.agent.policy.decoding.turn(0, self.steps.len() as u64);
        let (start, first_token) = (self.start, &mut self.first_token);
        let reply = self.conversation.reply(&decoding, &mut |text| {
            first_token.get_or_insert_with(|| start.elapsed());
            on_text(text);
        })?;
        self.prefill_tokens += reply.prompt_tokens;
        Ok(reply.text)
    }

    fn end(mut self, ending: Ending, fidelity: Vec<Fidelity>) -> Result<Attempt> {
        let has_acted = !self.steps.is_empty();
        let capture = self.agent.policy.capture.filter(|_| has_acted);
        let kv_log = capture.map(|capture| self.conversation.capture(capture.lead_in_tokens, capture.element));
        Ok(Attempt {
            ending,
            prefill_tokens: self.prefill_tokens,
            attached_tokens: self.conversation.n_attached(),
            fidelity,
            kv_log: kv_log.transpose()?,
            time_to_first_token: self.first_token.unwrap_or_else(|| self.start.elapsed()),
            steps: self.steps,
        })
    }
}
