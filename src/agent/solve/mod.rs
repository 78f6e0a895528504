//! Solving one task: give the model what was recalled, then let it act and the environment answer until the task ends.
//!
//! Nothing of the database is held open meanwhile. An environment that breaks down ends the attempt and is named in it, and so
//! does a model that gives no reply any more; one that gives none at all is an error, and nothing was lived.

mod trial;

pub(super) use trial::Trial;

use super::{Agent, Environment, EnvironmentError, LogUse, Recollection};
use crate::{Error, Exposure, Result, Step};
use lagdb_format::KvLog;
use std::time::Duration;

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
    /// What became of each recalled KV log, in the order of the recollection; nothing where it ended before the first reply.
    pub logs: Vec<LogUse>,
    /// From the start, attaching included, to the first generated token.
    pub time_to_first_token: Duration,
    /// Keys and values of the last reply and its lead-in, if the policy captures them.
    pub kv_log: Option<KvLog>,
    /// Why there is no KV log although the policy captures one.
    pub problem: Option<String>,
    /// The lessons that spoke about an action, given before it was taken or withheld.
    pub warnings: Vec<Exposure>,
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
    /// The model gave no reply any more, or had no room for what it was to read; why.
    ModelFailed(String),
}

impl Attempt {
    /// One in which the model could not even be spoken with.
    pub(super) fn failed(error: &Error) -> Self {
        Self {
            steps: Vec::new(),
            ending: Ending::ModelFailed(error.to_string()),
            prefill_tokens: 0,
            attached_tokens: 0,
            logs: Vec::new(),
            time_to_first_token: Duration::ZERO,
            kv_log: None,
            problem: None,
            warnings: Vec::new(),
        }
    }

    /// Actions taken. An empty reply is one too, unless it is the last.
    pub fn n_actions(&self) -> usize {
        self.steps.len() - usize::from(self.steps.last().is_some_and(|step| step.action.is_empty()))
    }
}

impl Agent {
    /// Solves the task of `environment` with what was recalled.
    ///
    /// # Errors
    /// [`ModelMismatch`](crate::Error::ModelMismatch) for a KV log of another model,
    /// [`KvLogsUnsupported`](crate::Error::KvLogsUnsupported) where the model takes none or the policy captures one it
    /// does not give, [`ContextLimit`](crate::Error::ContextLimit) when what is said first does not fit,
    /// [`Reply`](crate::Error::Reply) when the model gives no reply at all.
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
        Trial::open(self, recollection)?.attempt(environment, 0, None, on_text)
    }
}
