//! The whole loop for one task: recall, try, judge, distill, consolidate, remember. One commit at its end.
//!
//! A task of a stream has a [`TaskKey`]. Trajectories, judgments, exposures and lessons of a task become durable together under
//! it, or not at all: so a stream that was killed goes on where it was, and no trajectory is lost or doubled.

use super::consolidate::{Consolidated, Consolidation};
use super::dialect::{Learning, Lived};
use super::distill::{Distilled, Distiller};
use super::remember::Memory;
use super::scale::{self, Judged, Scaling};
use super::{Agent, Environment, Judge, LessonRecall, Offer, Recall, Recollection, Task};
use crate::{
    Delivery, Exposure, Filter, Id, Outcome, Query, Result, Rollout, Snapshot, Strategy, Trajectory, Transaction,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Which task of which stream: what it is committed under, once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// The name of the stream; all that makes one run of it differ from another, such as its seed, belongs into it.
    pub stream: String,
    /// Which task of it.
    pub number: u64,
}

/// An agent that learns from every task.
#[derive(Clone)]
pub struct Learner {
    /// Who acts, and where it remembers.
    pub agent: Agent,
    /// Who says how attempts ended.
    pub judge: Arc<dyn Judge>,
    /// Who writes lessons; `None` learns nothing.
    pub distiller: Option<Distiller>,
    /// What is learned from.
    pub lessons: Lessons,
    /// Which lessons a task gets.
    pub recall: LessonRecall,
    /// How trajectories are recalled beside them, and how many.
    pub trajectories: (Recall, usize),
    /// How often a task is tried.
    pub scaling: Scaling,
    /// How new lessons are taken in.
    pub consolidation: Consolidation,
}

/// What is learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lessons {
    /// Attempts that succeeded.
    pub successes: bool,
    /// Attempts that failed, or succeeded in part only.
    pub failures: bool,
    /// Look at all attempts at a task together where some succeeded and others did not; otherwise at each by itself.
    pub contrast: bool,
}

impl Default for Lessons {
    fn default() -> Self {
        Self { successes: true, failures: true, contrast: true }
    }
}

/// What became of a task.
#[derive(Clone, Debug)]
pub enum Living {
    /// It was lived now.
    Now(Box<Learned>),
    /// It had been lived under this key before, and was not lived again.
    Earlier(Vec<Id<Trajectory>>),
}

/// A task as it was lived and what was learned from it.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// The attempts, in order.
    pub attempts: Vec<Judged>,
    /// Which of them counts.
    pub best: usize,
    /// Their trajectories.
    pub trajectories: Vec<Id<Trajectory>>,
    /// Lessons that were offered before the first step.
    pub offers: Vec<Offer>,
    /// What was written about them.
    pub distilled: Vec<Distilled>,
    /// What became of that.
    pub consolidated: Consolidated,
    /// Time that recalling took.
    pub recall_time: Duration,
    /// Time that consolidating and committing took.
    pub record_time: Duration,
}

impl Learner {
    /// A learner with the defaults: lessons from successes and failures alike, in the words and by the model of `distiller`.
    pub fn new(agent: Agent, judge: Arc<dyn Judge>, distiller: Distiller) -> Self {
        Self {
            agent,
            judge,
            distiller: Some(distiller),
            lessons: Lessons::default(),
            recall: LessonRecall::default(),
            trajectories: (Recall::Nothing, 0),
            scaling: Scaling::default(),
            consolidation: Consolidation::default(),
        }
    }

    /// Lives one task, unless it was lived under this key before.
    ///
    /// # Errors
    /// As [`Agent::solve`]; when a judge or the distiller cannot be asked; when the commit fails. Then nothing was remembered.
    pub fn live(&self, environment: &mut dyn Environment, key: Option<&TaskKey>) -> Result<Living> {
        if let Some(key) = key
            && let Some(earlier) = lived_under(&self.agent.scope.snapshot()?, &key.group())?
        {
            return Ok(Living::Earlier(earlier));
        }
        let start = Instant::now();
        let recollection = self.recollect(environment.task())?;
        let started_at_ms = self.agent.scope.snapshot()?.now_ms();
        let recall_time = start.elapsed();
        let attempts = self.agent.attempts(environment, &recollection, self.scaling, &*self.judge)?;
        let task = environment.task();
        let written = self.written(task, &attempts)?;
        let start = Instant::now();
        let group = key.map(TaskKey::group).or_else(|| (attempts.len() > 1).then(|| anonymous(task, started_at_ms)));
        let exposures = recollection.exposures();
        let lived =
            Episode { task, attempts: &attempts, written: &written, exposures: &exposures, group, started_at_ms };
        let (trajectories, consolidated) = match self.remember(&lived)? {
            Ok(remembered) => remembered,
            Err(earlier) => return Ok(Living::Earlier(earlier)),
        };
        Ok(Living::Now(Box::new(Learned {
            best: scale::best(&attempts),
            trajectories,
            offers: recollection.offers,
            distilled: written.into_iter().map(|(distilled, _)| distilled).collect(),
            consolidated,
            recall_time,
            record_time: start.elapsed(),
            attempts,
        })))
    }

    /// What a task gets of the past: trajectories and lessons.
    ///
    /// # Errors
    /// As [`Agent::recall`] and [`Agent::recall_lessons`].
    pub fn recollect(&self, task: &Task) -> Result<Recollection> {
        let (how, limit) = self.trajectories;
        let recollection = self.agent.recall(task, how, limit, &[])?;
        Ok(Recollection { offers: self.agent.recall_lessons(task, &self.recall)?, ..recollection })
    }

    /// Lessons from the attempts, each with the numbers of the attempts it comes from.
    fn written(&self, task: &Task, attempts: &[Judged]) -> Result<Vec<(Distilled, Vec<usize>)>> {
        let Some(distiller) = &self.distiller else { return Ok(Vec::new()) };
        let groups = self.lessons.groups(attempts);
        let write = |(kind, numbers): (Learning, Vec<usize>)| {
            let chosen = numbers.iter().filter_map(|number| attempts.get(*number));
            let lived: Vec<Lived<'_>> =
                chosen.map(|one| Lived { steps: &one.attempt.steps, judgment: &one.judgment }).collect();
            Ok((distiller.distill(kind, task, &lived)?, numbers))
        };
        groups.into_iter().map(write).collect()
    }

    /// Commits all of it; or says which trajectories are there already, if somebody else was faster.
    fn remember(&self, lived: &Episode<'_>) -> Result<Remembered> {
        let mut tx = self.agent.scope.begin()?;
        if let Some(group) = &lived.group
            && let Some(earlier) = lived_under(&tx, group)?
        {
            return Ok(Err(earlier));
        }
        let ids = self.put_attempts(&mut tx, lived)?;
        let mut done = Consolidated::default();
        for (distilled, numbers) in lived.written {
            let from: Vec<_> = numbers
                .iter()
                .filter_map(|number| Some((*ids.get(*number)?, lived.attempts.get(*number)?.attempt.steps.as_slice())))
                .collect();
            for lesson in distilled.strategies(lived.task, &from) {
                self.consolidation.take_in(&self.agent, &mut tx, &lesson, &mut done)?;
            }
        }
        self.consolidation.cap(&mut tx, lived.task.domain.as_deref(), &mut done)?;
        self.consolidation.suppress(&mut tx, lived.given(), &mut done)?;
        tx.commit()?;
        Ok(Ok((ids, done)))
    }

    fn put_attempts(&self, tx: &mut Transaction, lived: &Episode<'_>) -> Result<Vec<Id<Trajectory>>> {
        let mut ids = Vec::new();
        for (number, one) in lived.attempts.iter().enumerate() {
            let rollout = |group: &String| Rollout { group: group.clone(), attempt: number as u32 };
            let memory = Memory {
                task: lived.task,
                attempt: &one.attempt,
                judgment: &one.judgment,
                exposures: lived.exposures,
                rollout: lived.group.as_ref().map(rollout),
                started_at_ms: lived.started_at_ms,
            };
            ids.push(self.agent.put_memory(tx, &memory)?);
        }
        Ok(ids)
    }
}

/// What is there after a commit, or was there before.
type Remembered = std::result::Result<(Vec<Id<Trajectory>>, Consolidated), Vec<Id<Trajectory>>>;

/// A task as it was lived, before it is remembered.
struct Episode<'a> {
    task: &'a Task,
    attempts: &'a [Judged],
    written: &'a [(Distilled, Vec<usize>)],
    exposures: &'a [Exposure],
    group: Option<String>,
    started_at_ms: u64,
}

impl Episode<'_> {
    /// The lessons that the model got to read.
    fn given(&self) -> Vec<Id<Strategy>> {
        let warnings = self.attempts.iter().flat_map(|one| &one.attempt.warnings);
        let injected = self.exposures.iter().chain(warnings).filter(|one| one.delivery == Delivery::Injected);
        let mut ids: Vec<Id<Strategy>> = injected
            .filter_map(|exposure| match exposure.offered {
                crate::Offered::Strategy(id) => Some(id),
                crate::Offered::KvLog(_) => None,
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl Lessons {
    /// Which attempts are looked at, alone or together. Those of unknown outcome are not.
    fn groups(self, attempts: &[Judged]) -> Vec<(Learning, Vec<usize>)> {
        let of = |wanted: &[Outcome]| -> Vec<usize> {
            let is_wanted = |(_, one): &(usize, &Judged)| wanted.contains(&one.judgment.outcome);
            attempts.iter().enumerate().filter(is_wanted).map(|(number, _)| number).collect()
        };
        let (won, lost) = (of(&[Outcome::Success]), of(&[Outcome::Failure, Outcome::Partial]));
        if self.contrast && self.successes && self.failures && !won.is_empty() && !lost.is_empty() {
            let mut all = [won, lost].concat();
            all.sort_unstable();
            return vec![(Learning::Contrast, all)];
        }
        let each = |kind, numbers: Vec<usize>| numbers.into_iter().map(move |number| (kind, vec![number]));
        let won = self.successes.then_some(won).into_iter().flat_map(|numbers| each(Learning::Success, numbers));
        let lost = self.failures.then_some(lost).into_iter().flat_map(|numbers| each(Learning::Failure, numbers));
        won.chain(lost).collect()
    }
}

impl TaskKey {
    /// The rollout group of its trajectories.
    pub fn group(&self) -> String {
        format!("{}#{}", self.stream, self.number)
    }
}

/// The group of several attempts at a task without a key.
fn anonymous(task: &Task, started_at_ms: u64) -> String {
    let digest = lagdb_format::Digest::of("lagdb task", &[task.name.as_bytes()]).to_string();
    format!("{}@{started_at_ms}", digest.get(..16).unwrap_or(&digest))
}

/// The trajectories of a rollout group, if there are any, in the order of their attempts.
fn lived_under(snapshot: &Snapshot, group: &str) -> Result<Option<Vec<Id<Trajectory>>>> {
    let all = Query::newest().filter(Filter::group(group)).limit(usize::MAX);
    let mut hits = snapshot.search::<Trajectory>(&all)?;
    hits.sort_by_key(|hit| hit.record.rollout.as_ref().map(|rollout| rollout.attempt));
    Ok((!hits.is_empty()).then(|| hits.into_iter().map(|hit| hit.id).collect()))
}
