//! The whole loop for one task: recall, try, judge, distill, consolidate, remember. One commit at its end.
//!
//! A task of a stream has a [`TaskKey`]. Trajectories, judgments, exposures and lessons of a task become durable together under
//! it, or not at all: so a stream that was killed goes on where it was, and no trajectory is lost or doubled.
//!
//! Once a task was tried, what was lived is kept whatever happens: a judge, a distiller or an embedder that breaks down costs
//! no more than what it would have said, and [`Learned::problems`] tells.

use super::consolidate::{Consolidated, Consolidation};
use super::dialect::{Learning, Lived};
use super::distill::{Distilled, Distiller, Draft};
use super::remember::{Memory, put_memory};
use super::scale::{self, Judged, Scaling};
use super::{Agent, Environment, Judge, LessonRecall, LogUse, Offer, Recollection, Task, TrajectoryRecall};
use crate::{
    Delivery, Embedding, Exposure, Filter, Id, Offered, Outcome, Query, Result, Rollout, Snapshot, Strategy,
    Trajectory, Transaction,
};
use std::collections::BTreeSet;
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
    /// Which trajectories are recalled beside them.
    pub trajectories: TrajectoryRecall,
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
    /// Look at all attempts at a task together where some succeeded and others did not; otherwise at each by itself. Off by
    /// default: in the tool-choice world it cost 2.8 points with rules that make no mistake in it (`lagdb learn --env demo`, arm
    /// `symbolic_joint`).
    pub contrast: bool,
}

impl Default for Lessons {
    fn default() -> Self {
        Self { successes: true, failures: true, contrast: false }
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
    /// What broke down after the task was tried, and cost no more than itself: a distiller that could not be asked, a text that
    /// could not be embedded, a KV log that could not be captured. A judge that could not be asked is an abstention, and says so in its rationale.
    pub problems: Vec<String>,
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
            trajectories: TrajectoryRecall::default(),
            scaling: Scaling::default(),
            consolidation: Consolidation::default(),
        }
    }

    /// Lives one task, unless it was lived under this key before.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when the task, or its key, may not be stored; as [`Agent::solve`]; when the
    /// commit fails. Then nothing was remembered.
    pub fn live(&self, environment: &mut dyn Environment, key: Option<&TaskKey>) -> Result<Living> {
        let start = Instant::now();
        let snapshot = self.agent.scope.snapshot()?;
        if let Some(key) = key
            && let Some(earlier) = lived_under(&snapshot, &key.group())?
        {
            return Ok(Living::Earlier(earlier));
        }
        environment.task().check(key.map(TaskKey::group))?;
        let recollection = self.recollect(environment)?;
        let recall_time = start.elapsed();
        let attempts = self.agent.attempts(environment, &recollection, self.scaling, &*self.judge)?;
        let task = environment.task();
        let mut problems: Vec<String> = attempts.iter().filter_map(|one| one.attempt.problem.clone()).collect();
        let written = self.written(task, &attempts, &mut problems);
        let start = Instant::now();
        let lived = Episode {
            task,
            attempts: &attempts,
            embeddings: self.embeddings(task, &attempts, &mut problems),
            drafts: self.drafts(task, &attempts, &written, &mut problems),
            exposures: &recollection.exposures(used(&attempts)),
            key,
            started_at_ms: snapshot.now_ms(),
        };
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
            problems,
            recall_time,
            record_time: start.elapsed(),
            attempts,
        })))
    }

    /// What the task of `environment` gets of the past: trajectories and lessons.
    ///
    /// # Errors
    /// As [`Agent::recall`] and [`Agent::recall_lessons`].
    pub fn recollect(&self, environment: &dyn Environment) -> Result<Recollection> {
        let TrajectoryRecall { how, limit } = self.trajectories;
        let recollection = self.agent.recall(environment.task(), how, limit, &[])?;
        Ok(Recollection { offers: self.agent.recall_lessons(environment, &self.recall)?, ..recollection })
    }

    /// Lessons from the attempts, each with the numbers of the attempts it comes from.
    fn written(&self, task: &Task, attempts: &[Judged], problems: &mut Vec<String>) -> Vec<(Distilled, Vec<usize>)> {
        let Some(distiller) = &self.distiller else { return Vec::new() };
        let mut written = Vec::new();
        for (kind, numbers) in self.lessons.groups(attempts) {
            let chosen = numbers.iter().filter_map(|number| attempts.get(*number));
            let lived: Vec<Lived<'_>> =
                chosen.map(|one| Lived { steps: &one.attempt.steps, judgment: &one.judgment }).collect();
            match distiller.distill(kind, task, &lived) {
                Ok(distilled) => written.push((distilled, numbers)),
                Err(error) => problems.push(format!("no lessons from {}: {error}", kind.as_str())),
            }
        }
        written
    }

    /// What the attempts are found by. One that cannot be embedded is kept, and is not found by nearness until it is.
    fn embeddings(&self, task: &Task, attempts: &[Judged], problems: &mut Vec<String>) -> Vec<Option<Embedding>> {
        let embedded = attempts.iter().map(|one| self.agent.embed_attempt(task, &one.attempt));
        let noted = embedded.map(|embedded| {
            embedded.map_err(|error| problems.push(format!("a trajectory was not embedded: {error}"))).ok()
        });
        noted.collect()
    }

    /// What was written as lessons without evidence, each with what it is found by; a lesson that nobody could find is left out.
    fn drafts(
        &self,
        task: &Task,
        attempts: &[Judged],
        written: &[(Distilled, Vec<usize>)],
        problems: &mut Vec<String>,
    ) -> Vec<(Draft, Embedding)> {
        let steps: Vec<_> = attempts.iter().map(|one| one.attempt.steps.as_slice()).collect();
        let drafts = written.iter().flat_map(|(distilled, numbers)| distilled.drafts(task, &steps, numbers));
        let embedded = drafts.filter_map(|draft| {
            let embedded = self.agent.embed_lesson(&draft.lesson);
            let embedding =
                embedded.map_err(|error| problems.push(format!("a lesson was not embedded: {error}"))).ok()?;
            Some((draft, embedding))
        });
        embedded.collect()
    }

    /// Commits all of it; or says which trajectories are there already, if somebody else was faster.
    fn remember(&self, lived: &Episode<'_>) -> Result<Remembered> {
        let mut tx = self.agent.scope.begin()?;
        let group = match lived.key {
            Some(key) => match lived_under(&tx, &key.group())? {
                Some(earlier) => return Ok(Err(earlier)),
                None => Some(key.group()),
            },
            None if lived.attempts.len() > 1 => Some(anonymous(&tx, lived)?),
            None => None,
        };
        let ids = self.put_attempts(&mut tx, lived, group)?;
        let mut done = Consolidated::default();
        for (draft, embedding) in &lived.drafts {
            self.consolidation.take_in(&mut tx, &draft.signed(&ids), embedding, &mut done)?;
        }
        self.consolidation.cap(&mut tx, lived.task.domain.as_deref(), &mut done)?;
        self.consolidation.suppress(&mut tx, lived.given(), &mut done)?;
        tx.commit()?;
        Ok(Ok((ids, done)))
    }

    /// Notes what was offered once a task, with the attempt that met it first: however often a task is tried, it says one thing
    /// about a lesson.
    fn put_attempts(
        &self,
        tx: &mut Transaction,
        lived: &Episode<'_>,
        group: Option<String>,
    ) -> Result<Vec<Id<Trajectory>>> {
        let mut ids = Vec::new();
        let mut noted = BTreeSet::<Offered>::new();
        for (number, one) in lived.attempts.iter().enumerate() {
            let first = if number == 0 { lived.exposures } else { &[] };
            let met = first.iter().chain(&one.attempt.warnings).filter(|one| !noted.contains(&one.offered));
            let exposures: Vec<Exposure> = met.copied().collect();
            let memory = Memory {
                task: lived.task,
                attempt: &one.attempt,
                judgment: &one.judgment,
                embedding: lived.embeddings.get(number).and_then(Option::as_ref),
                exposures: &exposures,
                rollout: group.as_ref().map(|group| Rollout { group: group.clone(), attempt: number as u32 }),
                started_at_ms: lived.started_at_ms,
            };
            ids.push(put_memory(tx, &memory)?);
            noted.extend(exposures.iter().map(|exposure| exposure.offered));
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
    /// By attempt.
    embeddings: Vec<Option<Embedding>>,
    drafts: Vec<(Draft, Embedding)>,
    /// What was offered before the first step.
    exposures: &'a [Exposure],
    key: Option<&'a TaskKey>,
    started_at_ms: u64,
}

impl Episode<'_> {
    /// The lessons that the model got to read.
    fn given(&self) -> Vec<Id<Strategy>> {
        let warnings = self.attempts.iter().flat_map(|one| &one.attempt.warnings);
        let injected = self.exposures.iter().chain(warnings).filter(|one| one.delivery == Delivery::Injected);
        let mut ids: Vec<Id<Strategy>> = injected
            .filter_map(|exposure| match exposure.offered {
                Offered::Strategy(id) => Some(id),
                Offered::KvLog(_) => None,
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

/// What became of the recalled KV logs in the first attempt that came to a reply.
fn used(attempts: &[Judged]) -> &[LogUse] {
    let mut logs = attempts.iter().map(|one| one.attempt.logs.as_slice());
    logs.find(|logs| !logs.is_empty()).unwrap_or_default()
}

/// A group that nobody has, for several attempts at a task without a key.
fn anonymous(snapshot: &Snapshot, lived: &Episode<'_>) -> Result<String> {
    let digest = lagdb_format::Digest::of("lagdb task", &[lived.task.name.as_bytes()]).to_string();
    let name = format!("{}@{}", digest.get(..16).unwrap_or(&digest), lived.started_at_ms);
    let mut group = name.clone();
    for number in 1u64.. {
        if snapshot.count::<Trajectory>(&Query::newest().filter(Filter::group(&group)))? == 0 {
            break;
        }
        group = format!("{name}.{number}");
    }
    Ok(group)
}

/// The trajectories of a rollout group, if there are any, in the order of their attempts.
fn lived_under(snapshot: &Snapshot, group: &str) -> Result<Option<Vec<Id<Trajectory>>>> {
    let all = Query::newest().filter(Filter::group(group)).limit(usize::MAX);
    let mut hits = snapshot.search::<Trajectory>(&all)?;
    hits.sort_by_key(|hit| hit.record.rollout.as_ref().map(|rollout| rollout.attempt));
    Ok((!hits.is_empty()).then(|| hits.into_iter().map(|hit| hit.id).collect()))
}
