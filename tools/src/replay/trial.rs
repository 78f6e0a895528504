//! One recorded trial: the trajectory as it is stored, its actions with what had been shown before, and which of them
//! failed.

use super::shown::Shown;
use crate::failure::Failure;
use crate::import::{Call, Event, ImportedTrajectory, Place, StepMap};
use lagdb::{Action, Condition, Error, Judgment, Outcome, Trajectory};
use std::collections::BTreeSet;

/// One attempt at one task.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// The rollout group: the task.
    pub(super) task: String,
    /// Which attempt.
    pub(super) attempt: u32,
    /// In which half of the tasks it is.
    pub(super) half: Half,
    /// What is stored.
    pub(super) trajectory: Trajectory,
    /// By its reward.
    pub(super) judgment: Judgment,
    /// Which step each message of the recording became.
    pub(super) steps: StepMap,
    /// What the user said, in order; the first of it is the task's text.
    pub(super) said: Vec<String>,
    /// What the agent did, in order.
    pub(super) acts: Vec<Act>,
    /// The calls that would have been right, where the recording says so.
    reference: Option<Vec<Action>>,
}

/// Which half of the tasks, in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Half {
    /// What is chosen is chosen here.
    Tuned,
    /// Nothing is.
    Evaluated,
}

/// An action and its circumstances.
#[derive(Clone, Debug)]
pub(super) struct Act {
    /// The step in which it was taken.
    pub(super) step: u32,
    /// The call.
    pub(super) action: Action,
    /// What had been shown.
    pub(super) conditions: Vec<Condition>,
    /// Whether it can change something: the tool does more than read.
    pub(super) changes: bool,
    /// Whether the tool answered with an error.
    pub(super) is_error: bool,
}

impl Half {
    /// This one of two.
    pub(super) fn of<T>(self, halves: &[T; 2]) -> &T {
        let [tuned, evaluated] = halves;
        match self {
            Self::Tuned => tuned,
            Self::Evaluated => evaluated,
        }
    }

    /// Both, the tuned one first.
    pub(super) const ALL: [Self; 2] = [Self::Tuned, Self::Evaluated];

    /// One lower-case word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tuned => "tuned",
            Self::Evaluated => "evaluated",
        }
    }
}

impl Trial {
    /// Whether the task was solved.
    pub(super) fn succeeded(&self) -> bool {
        self.judgment.outcome == Outcome::Success
    }

    /// Whether it did not solve the task; a partial success is neither.
    pub(super) fn failed(&self) -> bool {
        self.judgment.outcome == Outcome::Failure
    }

    /// The weight of its outcome as evidence: the score, where a success has one.
    pub(super) fn weight(&self) -> f64 {
        self.judgment.score.unwrap_or(1.0)
    }

    /// The action that failed, by the task's reference solution and not by anything the memory knows: the first that did
    /// what the solution does not do. `None` where nothing wrong was done (the agent stalled, or left something out), or
    /// where there is no reference solution.
    pub(super) fn failing_act(&self) -> Option<&Act> {
        let reference = self.reference.as_ref().filter(|_| self.failed())?;
        // An action with nothing but free text, such as handing over, is compared by its tool alone.
        let is_right = |act: &Act| match act.action.arguments().all(|(_, value)| value == "*") {
            true => reference.iter().any(|right| right.tool() == act.action.tool()),
            false => reference.contains(&act.action),
        };
        self.acts.iter().find(|act| act.changes && !act.is_error && !is_right(act))
    }
}

/// Reads the recordings as trials.
///
/// # Errors
/// [`Failure::Input`] for a trajectory that cannot be stored, has no rollout group or no judgment, or is a second attempt
/// of the same number; [`Error::Invalid`] when there are fewer than two tasks.
pub(super) fn trials(recorded: Vec<(Place, ImportedTrajectory)>) -> Result<Vec<Trial>, Failure> {
    let tools = tools(&recorded);
    let mut seen = BTreeSet::new();
    let mut trials = Vec::with_capacity(recorded.len());
    for (place, imported) in recorded {
        let trial = trial(imported, &tools).map_err(|problem| place.fail(problem))?;
        if !seen.insert((trial.task.clone(), trial.attempt)) {
            return Err(place.fail(format!("attempt {} of {} is there already", trial.attempt, trial.task)));
        }
        trials.push(trial);
    }
    trials.sort_by(|a, b| by_name(&a.task).cmp(&by_name(&b.task)).then(a.attempt.cmp(&b.attempt)));
    let mut tasks: Vec<String> = trials.iter().map(|trial| trial.task.clone()).collect();
    tasks.dedup();
    if tasks.len() < 2 {
        return Err(Error::invalid("FILES", format!("{} tasks; a replay needs two halves", tasks.len())).into());
    }
    let tuned: BTreeSet<String> = tasks.drain(..tasks.len() / 2).collect();
    for trial in &mut trials {
        trial.half = if tuned.contains(&trial.task) { Half::Tuned } else { Half::Evaluated };
    }
    Ok(trials)
}

/// Numbers first, by their value; everything else as text.
fn by_name(name: &str) -> (bool, u64, &str) {
    let number = name.parse::<u64>();
    (number.is_err(), number.unwrap_or(0), name)
}

/// Every tool that is called anywhere: what an agent knows of itself.
fn tools(recorded: &[(Place, ImportedTrajectory)]) -> BTreeSet<String> {
    let events = recorded.iter().flat_map(|(_, imported)| imported.recording.iter().flat_map(|it| &it.events));
    let called = events.filter_map(|event| match event {
        Event::Called { call, .. } => Some(call.tool.clone()),
        _ => None,
    });
    called.collect()
}

fn trial(imported: ImportedTrajectory, tools: &BTreeSet<String>) -> Result<Trial, String> {
    let ImportedTrajectory { trajectory, judgment, steps, recording } = imported;
    lagdb::Record::check(&trajectory).map_err(|error| error.to_string())?;
    let rollout = trajectory.rollout.clone().ok_or("a replay needs the `group` and `attempt` of every trajectory")?;
    let judgment = judgment.ok_or("a replay needs the `outcome` of every trajectory")?;
    judgment.check().map_err(|error| error.to_string())?;
    let recording = recording.unwrap_or_default();
    let actions = |calls: &[Call]| calls.iter().map(Call::action).collect::<lagdb::Result<Vec<_>>>();
    let reference = recording.reference.as_deref().map(actions).transpose().map_err(|error| error.to_string())?;
    let acts = acts(&recording.events, tools).map_err(|error| error.to_string())?;
    let said = recording.events.into_iter().filter_map(|event| match event {
        Event::Said(text) => Some(text),
        _ => None,
    });
    let mut said: Vec<String> = said.collect();
    if said.is_empty() {
        said.push(trajectory.task.clone());
    }
    let half = Half::Tuned;
    Ok(Trial {
        task: rollout.group,
        attempt: rollout.attempt,
        half,
        trajectory,
        judgment,
        steps,
        said,
        acts,
        reference,
    })
}

/// Every call with what had been shown before it.
fn acts(events: &[Event], tools: &BTreeSet<String>) -> lagdb::Result<Vec<Act>> {
    let (mut shown, mut acts) = (Shown::default(), Vec::<Act>::new());
    for event in events {
        match event {
            Event::Said(text) => shown.hear(text),
            Event::Called { step, call } => acts.push(Act {
                step: *step,
                action: call.action()?,
                conditions: shown.conditions(call, tools),
                changes: !call.only_reads(),
                is_error: false,
            }),
            Event::Answered { call, text, error } => {
                if let Some(act) = call.and_then(|call| acts.get_mut(call)) {
                    act.is_error = error.is_some();
                    shown.answer(act.action.tool(), text, act.is_error);
                }
            }
        }
    }
    Ok(acts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers were once compared by value and everything else as text: `2 < 10 < 1a < 2`. A sort by such an order may panic,
    /// and puts one task in two places.
    #[test]
    fn names_of_tasks_have_one_order() {
        let expected = ["2", "10", "10a", "1a", "a"];
        for turn in 0..expected.len() {
            let mut names = expected;
            names.rotate_left(turn);
            names.swap(0, 3);
            names.sort_by(|a, b| by_name(a).cmp(&by_name(b)));
            assert_eq!(names, expected);
        }
        assert!(by_name("2") < by_name("02") || by_name("02") < by_name("2"), "other words are other tasks");
    }
}
