//! One stream: tasks one after another, lived by one [`Learner`] with one memory.
//!
//! Of every task: what was learned is recalled by search, the task is tried, the attempts are judged, lessons are distilled
//! and consolidated, and everything is remembered **in one transaction**. The database is a real one, in memory. Nothing is
//! learned by gradients.

use super::arm::Arm;
use super::dialect::{ToolDialect, item_of};
use super::environment::ToolEnvironment;
use super::judge::Witness;
use super::mind::Speaker;
use super::recorder::{self, Kept, Recorder};
use super::settings::{JudgedBy, Library, Logs, Memory, N_RECALLED, consolidation};
use super::start;
use super::stream::{Stream, StreamKey};
use crate::failure::Failure;
use crate::interrupt;
use crate::tool_choice::{Item, N_CONTRASTED, ToolTask, ToolWorld};
use crate::world::Rng;
use lagdb::agent::{
    Agent, Decoding, Distiller, Environment, Guarding, LanguageModel, Learned, Learner, LessonRecall, Lessons, Living,
    Policy, Recall, TaskKey, TrajectoryRecall,
};
use lagdb::{Database, Error, Filter, Outcome, Query, Scope, Status, Strategy, Trajectory};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// KV logs before a prompt.
const N_LOGS: usize = 4;
/// Tokens of what is written, at most: items of four words and the end.
const MAX_WRITTEN: usize = 4 * N_CONTRASTED + 1;

/// A stream while it is lived.
pub(super) struct Life {
    arm: Arm,
    model: Speaker,
    scope: Scope,
    world: ToolWorld,
    tasks: Vec<ToolTask>,
    dialect: Arc<ToolDialect>,
    witness: Arc<Witness>,
    kept: Kept,
    learner: Learner,
    rng: Rng,
    stream: Stream,
}

impl Life {
    /// A stream of `n_tasks`, lived by `model`.
    ///
    /// # Errors
    /// When the database cannot be opened or written.
    pub(super) fn new(arm: &Arm, seed: u64, n_tasks: usize, model: Speaker) -> Result<Self, Failure> {
        let mut rng = Rng::new(seed);
        let world = ToolWorld::draw(&mut rng);
        let tasks = (0..n_tasks).map(|_| world.task(&mut rng)).collect();
        // Arms of a seed share worlds, tasks and dice (common random numbers): what differs between them is no luck of theirs.
        let mut rng = Rng::new(seed ^ 0xd1ce);
        let dialect = Arc::new(ToolDialect { avoid_only: arm.memory == Memory::AvoidOnly });
        let recorder = Recorder::new(model.clone());
        let kept = recorder.kept();
        let judging: Arc<dyn LanguageModel> = if arm.logs == Logs::None { model.0.clone() } else { Arc::new(recorder) };
        let own = (arm.judge != JudgedBy::Truth).then(|| (judging, dialect.clone()));
        let witness = Arc::new(Witness::new(own, arm.judge.noise(), rng.bits()));
        let scope = Database::in_memory()?.scope("stream")?;
        let mut distiller = Distiller::new(model.0.clone(), dialect.clone());
        distiller.decoding = Decoding::greedy(MAX_WRITTEN);
        let learner = Learner {
            distiller: (arm.memory != Memory::Nothing).then(|| distiller.clone()),
            lessons: Lessons {
                successes: arm.memory != Memory::Failures,
                failures: arm.memory != Memory::Successes,
                contrast: arm.joint,
            },
            trajectories: match arm.logs {
                Logs::None => TrajectoryRecall::default(),
                Logs::AsText => TrajectoryRecall { how: Recall::LogText, limit: N_LOGS },
                Logs::Attached | Logs::OfAnother => TrajectoryRecall { how: Recall::KvLogs, limit: N_LOGS },
            },
            scaling: arm.tries.scaling(),
            consolidation: consolidation(arm.library, arm.credit),
            ..Learner::new(agent(arm, &model, &scope, &dialect, 0), witness.clone(), distiller)
        };
        let mut imports = Rng::new(seed ^ 0x5eed);
        start::import_items(&scope, start::items(&world, arm.start, &mut imports))?;
        if arm.logs == Logs::OfAnother {
            start::import_logs(&learner.agent, &model, &world, &mut imports)?;
        }
        let stream = Stream::new(StreamKey { arm: arm.name.to_owned(), seed }, arm.parameters());
        Ok(Self { arm: *arm, model, scope, world, tasks, dialect, witness, kept, learner, rng, stream })
    }

    /// Lives all tasks.
    ///
    /// # Errors
    /// When the database or the model fails, or on Ctrl-C: then nothing of the stream is kept.
    pub(super) fn live(mut self, tick: &dyn Fn()) -> Result<Stream, Failure> {
        for number in 0..self.tasks.len() {
            if interrupt::requested() {
                return Err(Failure::Interrupted("streams that had ended are kept".to_owned()));
            }
            self.task(number)?;
            tick();
        }
        let snapshot = self.scope.snapshot()?;
        self.stream.n_trajectories = snapshot.len::<Trajectory>()?;
        self.stream.items_live = snapshot.search::<Strategy>(&Query::newest().limit(10_000))?.len() as u64;
        self.witness.tell(&mut self.stream.judge);
        Ok(self.stream)
    }

    fn task(&mut self, number: usize) -> Result<(), Failure> {
        let tool_task = &self.tasks[number];
        let (pages, dice) = (Rng::new(self.rng.bits()), self.rng.bits());
        self.learner.agent = agent(&self.arm, &self.model, &self.scope, &self.dialect, dice);
        self.learner.recall = self.recall(tool_task);
        let mut environment = ToolEnvironment::new(&self.world, tool_task, number, pages);
        self.witness.forget();
        let key = TaskKey { stream: format!("{} {}", self.arm.name, self.stream.key.seed), number: number as u64 };
        let Living::Now(learned) = self.learner.live(&mut environment, Some(&key))? else {
            return Err(Error::invalid("task", format!("{} was lived before", environment.task().name)).into());
        };
        self.check(&learned, tool_task)?;
        let start = Instant::now();
        self.keep_logs(&learned)?;
        let keep_time = start.elapsed();
        self.note(&learned, keep_time)
    }

    /// A control that recalls what it must not is no control.
    fn check(&self, learned: &Learned, task: &ToolTask) -> Result<(), Failure> {
        let is_about = |item: Item| item.site == task.site && task.subgoals.contains(&item.subgoal);
        let mut given = learned.offers.iter().filter_map(|offer| item_of(&offer.lesson));
        if self.arm.memory == Memory::Irrelevant && given.any(is_about) {
            return Err(Error::invalid("recall", format!("an item about {} in the control", task.english())).into());
        }
        Ok(())
    }

    /// All that is near to the task, but in the control only what is not about it.
    fn recall(&self, tool_task: &ToolTask) -> LessonRecall {
        let about = || {
            let subgoals = tool_task.subgoals.iter().map(|subgoal| Filter::label(format!("for {subgoal}")));
            Filter::label(format!("at {}", tool_task.site)) & Filter::any_of(subgoals)
        };
        if let Some(recall) = self.arm.library.recall(self.stream.key.seed) {
            return recall;
        }
        LessonRecall {
            limit: if self.arm.memory == Memory::Nothing { 0 } else { N_RECALLED },
            floor: -1.0,
            token_budget: 4 * N_RECALLED,
            weight: 0.0,
            explore: 0,
            withhold: 0.0,
            seed: 0,
            filter: (self.arm.memory == Memory::Irrelevant).then(|| !about()),
        }
    }

    fn note(&mut self, learned: &Learned, keep_time: Duration) -> Result<(), Failure> {
        let truths = self.witness.truths();
        let done = |number: usize| u8::from(truths.get(number).copied().unwrap_or(false));
        self.stream.success.push(done(learned.best));
        self.stream.first_success.push(done(0));
        self.stream.attempts.push(learned.attempts.len() as u32);
        self.stream.steps.push(learned.attempts.iter().map(|judged| judged.attempt.n_actions() as u32).sum());
        let overhead = learned.recall_time + learned.record_time + keep_time;
        self.stream.overhead_ms.push(overhead.as_secs_f32() * 1e3);
        self.stream.attached_tokens +=
            learned.attempts.first().map_or(0, |judged| judged.attempt.attached_tokens as u64);
        for distilled in &learned.distilled {
            let items =
                distilled.items.iter().filter_map(|lesson| Item::parse(&crate::tool_choice::words(&lesson.content)?));
            self.stream.writer.n += (distilled.items.len() + distilled.rejected.len()) as u64;
            self.stream.writer.n_valid += distilled.items.len() as u64;
            self.stream.writer.n_true += items.filter(|item| is_true(&self.world, *item)).count() as u64;
        }
        if learned.consolidated.n_suppressed > 0 {
            let snapshot = self.scope.snapshot()?;
            for offer in &learned.offers {
                let now = snapshot.get(offer.id)?;
                if now.is_some_and(|lesson| lesson.status == Status::Stale) {
                    let right = item_of(&offer.lesson).is_some_and(|item| is_true(&self.world, item));
                    self.stream.suppressed[usize::from(right)] += 1;
                }
            }
        }
        Ok(())
    }

    /// Keeps the KV logs of attempts that were judged successful, in their trajectories.
    fn keep_logs(&self, learned: &Learned) -> Result<(), Failure> {
        let logs = recorder::take(&self.kept);
        if !matches!(self.arm.logs, Logs::Attached | Logs::AsText) {
            return Ok(());
        }
        let mut tx = self.scope.begin()?;
        for ((judged, id), log) in learned.attempts.iter().zip(&learned.trajectories).zip(&logs) {
            if judged.judgment.outcome == Outcome::Success {
                tx.put_kv_log(*id, log)?;
            }
        }
        tx.commit()?;
        Ok(())
    }
}

/// The agent of one task; `dice` decide on its choices.
fn agent(arm: &Arm, model: &Speaker, scope: &Scope, dialect: &Arc<ToolDialect>, dice: u64) -> Agent {
    let guard = (arm.library == Library::DefaultsGuarded).then(Guarding::default);
    let policy = Policy { decoding: Decoding::random(1.0, dice, 1), guard, ..Policy::default() };
    Agent::new(model.clone(), scope.clone(), policy).dialect(dialect.clone())
}

fn is_true(world: &ToolWorld, item: Item) -> bool {
    let right = world.right_tool(item.site, item.subgoal);
    right.is_some_and(|right| (right == item.tool) == item.works)
}
