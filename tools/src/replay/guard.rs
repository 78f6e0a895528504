//! Whether a lesson arrives before the action that fails, and how often before one that does not.
//!
//! Before every action that can change something the memory of all other trials is asked, at one level of signatures. Of a
//! failure that is left out, its lessons are. Of a success that is left out, what only it refuted is not refuted any more:
//! those lessons are put into a transaction that is asked and dropped. What failed is known from the task's reference
//! solution, which the memory never sees. Three kinds of lessons are asked apart: drawn by divergence, the same without
//! regard for successes (the control), and those that came as strategies, asked only about other tasks.

use super::lessons::{Rule, Successes, best_success, lesson, signatures, suspects};
use super::store::Stored;
use super::trial::{Act, Trial};
use super::{Half, check_interrupt};
use crate::failure::Failure;
use crate::import::{Place, StrategyLine};
use crate::output::Output;
use crate::statistics::{Clustered, Share, median, round};
use lagdb::{Evidence, Id, Lesson, Level, Scope, Snapshot, Strategy, StrategyKind, Trajectory, Transaction};
use std::collections::BTreeSet;
use std::time::Instant;

/// What was found.
pub(super) struct Guarding {
    /// One per kind of lessons and level.
    pub(super) rows: Vec<Row>,
    /// The level that is best on the tuned half, among lessons drawn by divergence.
    pub(super) chosen: Level,
    /// What asking at that level costs, median over actions.
    pub micros_p50: f64,
    /// Failures, by half, and how many of them did something wrong; the others stalled or left something out.
    pub(super) failures: [Share; 2],
    /// Lessons drawn by divergence, and how many of them have a success to compare with.
    pub(super) contrasted: Share,
    /// The median step at which a failure parts from the success it is compared with.
    pub divergence_step_p50: f64,
}

/// Lessons of one kind at one level.
pub(super) struct Row {
    /// `divergence`, `not contrasted` or `strategies`.
    pub(super) lessons: &'static str,
    /// At which the memory was asked.
    pub(super) level: Level,
    /// By half.
    pub(super) halves: [Tally; 2],
}

/// How the memory did on one half.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// A lesson came before the action that failed, of failures that did something wrong.
    pub(super) fired: Clustered,
    /// The same, of those in which another failure of the task went wrong with the same tool.
    pub(super) fired_on_repeats: Clustered,
    /// A lesson came before an action of a success.
    pub(super) alarms: Clustered,
    /// A lesson came before any action of a success, of those that changed something: the others cannot be disturbed.
    pub(super) alarmed_trials: Clustered,
}

/// Draws the lessons, stores them and asks.
///
/// # Errors
/// [`Failure::Input`] for evidence that is not there; when the database cannot be written; on Ctrl-C,
/// [`Failure::Interrupted`].
pub(super) fn measure(stored: &Stored, lines: &[(Place, StrategyLine)], output: Output) -> Result<Guarding, Failure> {
    let successes = Successes::of(stored.trials.iter());
    let mut lessons = Drawn { stored, successes, contrasted: Share::default(), parted: Vec::new() };
    lessons.put(&stored.scope, &stored.ids, Rule::Contrast)?;
    let control = stored.database.scope("control")?;
    let control_ids = copies(stored, &control)?;
    lessons.put(&control, &control_ids, Rule::Plain)?;
    let mut rows = Vec::new();
    let bar = output.progress(stored.trials.len() as u64 * 2, "guarding");
    for (name, scope, ids, rule) in [
        ("not contrasted", &control, &control_ids, Rule::Plain),
        ("divergence", &stored.scope, &stored.ids, Rule::Contrast),
    ] {
        let mut tallies = Level::ALL.map(|level| (level, <[Tally; 2]>::default()));
        for (trial, id) in stored.trials.iter().zip(ids) {
            check_interrupt()?;
            bar.inc(1);
            let mut tx = scope.begin()?;
            lessons.put_what_only_it_refuted(&mut tx, ids, trial, rule)?;
            let is_own =
                |lesson: &Lesson| lesson.strategy.provenance.evidence.first().is_some_and(|it| it.trajectory == *id);
            for (level, halves) in &mut tallies {
                tally(halves, stored, trial, |act| asked(&tx, act, *level, is_own))?;
            }
        }
        rows.extend(tallies.map(|(level, halves)| Row { lessons: name, level, halves }));
    }
    bar.finish_and_clear();
    rows.extend(distilled(stored, lines)?);
    // Of equals the most general.
    let drawn = rows.iter().filter(|row| row.lessons == "divergence").rev();
    let chosen = drawn.max_by(|a, b| a.worth().total_cmp(&b.worth()));
    let chosen = chosen.map_or(Level::Value, |row| row.level);
    let micros_p50 = micros(&stored.scope.snapshot()?, stored, chosen)?;
    let failures = Half::ALL.map(|half| {
        let mut share = Share::default();
        stored.of(half).filter(|trial| trial.failed()).for_each(|trial| share.add(trial.failing_act().is_some()));
        share
    });
    let divergence_step_p50 = median(lessons.parted);
    Ok(Guarding { rows, chosen, micros_p50, failures, contrasted: lessons.contrasted, divergence_step_p50 })
}

impl Row {
    /// What a level is chosen by, on the tuned half: warned failures less disturbed successes.
    fn worth(&self) -> f64 {
        let [tuned, _] = &self.halves;
        tuned.fired.value() - tuned.alarmed_trials.value()
    }
}

/// Lessons drawn by divergence.
struct Drawn<'a> {
    stored: &'a Stored,
    successes: Successes,
    contrasted: Share,
    parted: Vec<f64>,
}

impl Drawn<'_> {
    /// All lessons of all failures, into a scope in which the trials have these numbers.
    fn put(&mut self, scope: &Scope, ids: &[Id<Trajectory>], rule: Rule) -> Result<(), Failure> {
        let mut tx = scope.begin()?;
        for (trial, id) in self.stored.trials.iter().zip(ids) {
            let all = || ids.iter().copied().zip(&self.stored.trials);
            let success = best_success(trial, all().filter(|(other, _)| other != id));
            for act in suspects(trial) {
                let left = self.successes.leave(act, rule, &[]);
                if left.is_empty() {
                    continue;
                }
                let lesson = match rule {
                    Rule::Contrast => lesson((*id, trial), act, success, left),
                    Rule::Plain => in_copies(lesson((*id, trial), act, None, left)),
                };
                tx.put(&lesson)?;
                if rule == Rule::Contrast {
                    self.contrasted.add(lesson.kind == StrategyKind::Contrast);
                    let parted = lesson.provenance.evidence.first().map(|it| f64::from(it.first_step));
                    self.parted.extend(parted.filter(|_| lesson.kind == StrategyKind::Contrast));
                }
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// The lessons that there would be besides, had `left_out` not succeeded.
    fn put_what_only_it_refuted(
        &self,
        tx: &mut Transaction,
        ids: &[Id<Trajectory>],
        left_out: &Trial,
        rule: Rule,
    ) -> Result<(), Failure> {
        if rule == Rule::Plain || !left_out.succeeded() {
            return Ok(());
        }
        let its = signatures(left_out);
        for (trial, id) in self.stored.trials.iter().zip(ids) {
            for act in suspects(trial) {
                let known: BTreeSet<String> = self.successes.leave(act, rule, &[]).into_iter().collect();
                let mut more = self.successes.leave(act, rule, &its);
                more.retain(|signature| !known.contains(signature));
                if !more.is_empty() {
                    tx.put(&lesson((*id, trial), act, None, more))?;
                }
            }
        }
        Ok(())
    }
}

/// The trials by name alone, so that lessons of another scope have something to cite.
fn copies(stored: &Stored, scope: &Scope) -> Result<Vec<Id<Trajectory>>, Failure> {
    let mut tx = scope.begin()?;
    let copy = |trial: &Trial| Trajectory::new(&trial.trajectory.task).rollout(&trial.task, trial.attempt);
    let ids = stored.trials.iter().map(|trial| tx.put_new(&copy(trial))).collect::<lagdb::Result<Vec<_>>>()?;
    tx.commit()?;
    Ok(ids)
}

/// A lesson that cites a copy, which has no steps.
fn in_copies(mut lesson: Strategy) -> Strategy {
    lesson.provenance.evidence.iter_mut().for_each(|it| (it.first_step, it.last_step) = (0, 0));
    lesson
}

/// Whether a lesson comes that is not one's own.
fn asked(snapshot: &Snapshot, act: &Act, level: Level, is_own: impl Fn(&Lesson) -> bool) -> Result<bool, Failure> {
    let lessons = snapshot.guard_any(&act.action.signatures(level, &act.conditions))?;
    Ok(lessons.iter().any(|lesson| !is_own(lesson)))
}

/// Counts one trial.
fn tally(
    halves: &mut [Tally; 2],
    stored: &Stored,
    trial: &Trial,
    mut warned: impl FnMut(&Act) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let Some(tally) = halves.get_mut(trial.half as usize) else { return Ok(()) };
    if trial.succeeded() {
        let alarms: Vec<bool> =
            trial.acts.iter().filter(|act| act.changes).map(&mut warned).collect::<Result<_, Failure>>()?;
        alarms.iter().for_each(|alarm| tally.alarms.add_hit(&trial.task, *alarm));
        if !alarms.is_empty() {
            tally.alarmed_trials.add_hit(&trial.task, alarms.contains(&true));
        }
    } else if let Some(act) = trial.failing_act() {
        let fired = warned(act)?;
        tally.fired.add_hit(&trial.task, fired);
        let repeats = |other: &&Trial| other.task == trial.task && other.attempt != trial.attempt;
        let same = |other: &Trial| other.failing_act().is_some_and(|it| it.action.tool() == act.action.tool());
        if stored.trials.iter().filter(repeats).any(same) {
            tally.fired_on_repeats.add_hit(&trial.task, fired);
        }
    }
    Ok(())
}

/// What came as strategies, in a scope of its own.
fn distilled(stored: &Stored, lines: &[(Place, StrategyLine)]) -> Result<Vec<Row>, Failure> {
    let scope = stored.database.scope("strategies")?;
    let ids = copies(stored, &scope)?;
    let tuned = Successes::of(stored.of(Half::Tuned));
    let mut tx = scope.begin()?;
    for (place, line) in lines {
        let strategy = strategy_of(stored, &ids, &tuned, place, line)?;
        tx.put_new(&strategy)?;
    }
    tx.commit()?;
    let snapshot = scope.snapshot()?;
    let mut rows = Vec::new();
    for level in [Level::Tool, Level::Argument, Level::ToolWhen] {
        let mut halves = <[Tally; 2]>::default();
        for trial in stored.of(Half::Evaluated).filter(|_| !lines.is_empty()) {
            let task: BTreeSet<Id<Trajectory>> = stored
                .trials
                .iter()
                .zip(&ids)
                .filter(|(other, _)| other.task == trial.task)
                .map(|(_, id)| *id)
                .collect();
            let is_own =
                |lesson: &Lesson| lesson.strategy.provenance.evidence.iter().any(|it| task.contains(&it.trajectory));
            tally(&mut halves, stored, trial, |act| asked(&snapshot, act, level, is_own))?;
        }
        rows.push(Row { lessons: "strategies", level, halves });
    }
    Ok(rows)
}

/// A strategy, findable by its tool, by the arguments that it names, and by what its failed passages have in common with
/// no success of the tuned half.
fn strategy_of(
    stored: &Stored,
    ids: &[Id<Trajectory>],
    tuned: &Successes,
    place: &Place,
    line: &StrategyLine,
) -> Result<Strategy, Failure> {
    let (tool, arguments) = about(line.action_signature.as_deref().unwrap_or_default());
    let mut found_by = Vec::new();
    if !tool.is_empty() {
        found_by.push(format!("{tool}(*)"));
        found_by.extend(arguments.iter().map(|name| format!("{tool}({name})")));
    }
    let mut strategy = Strategy::new(&line.title, &line.description, &line.content).kind(line.kind());
    for cited in &line.evidence {
        let named = |trial: &Trial| trial.task == cited.group() && trial.attempt == cited.attempt;
        let found = stored.trials.iter().zip(ids).find(|(trial, _)| named(trial));
        let (trial, id) = found.ok_or_else(|| {
            place.fail(format!(
                "evidence cites group {}, attempt {}, which is in no file",
                cited.group(),
                cited.attempt
            ))
        })?;
        let steps = trial.steps.steps(cited.first_step, cited.last_step).ok_or_else(|| {
            let (first, last) = (cited.first_step, cited.last_step);
            place.fail(format!("evidence cites steps {first} to {last}, which group {} does not have", cited.group()))
        })?;
        let evidence = Evidence { trajectory: *id, first_step: 0, last_step: 0, polarity: cited.polarity() };
        strategy.provenance.evidence.push(evidence);
        let inside = |act: &&Act| (steps.0..=steps.1).contains(&act.step) && act.action.tool() == tool;
        for act in suspects(trial).filter(inside) {
            let all = tuned.leave(act, Rule::Contrast, &[]);
            let when = act.action.signatures(Level::ToolWhen, &act.conditions);
            found_by.extend(all.into_iter().filter(|signature| when.contains(signature)));
        }
    }
    found_by.sort_unstable();
    found_by.dedup();
    found_by.truncate(lagdb::record::limits::N_SIGNATURES);
    strategy.action_signatures = found_by;
    lagdb::Record::check(&strategy).map_err(|error| place.fail(error))?;
    Ok(strategy)
}

/// `tool(a, b)` as the tool and its arguments.
fn about(signature: &str) -> (&str, Vec<&str>) {
    let (tool, rest) = signature.split_once('(').unwrap_or((signature, ""));
    let names = rest.trim_end_matches(')').split(',').map(str::trim);
    (tool.trim(), names.filter(|name| !name.is_empty() && *name != "*").collect())
}

/// Median time to ask before an action, in microseconds.
fn micros(snapshot: &Snapshot, stored: &Stored, level: Level) -> Result<f64, Failure> {
    let mut times = Vec::new();
    for act in stored.trials.iter().flat_map(|trial| &trial.acts).filter(|act| act.changes) {
        let start = Instant::now();
        snapshot.guard_any(&act.action.signatures(level, &act.conditions))?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(round(median(times), 1))
}
