//! A task of the tool-choice world as an environment that an agent can live in.
//!
//! The agent reads words and says one: a tool. It sees a page and the next subgoal, and last of all the last page. Whether
//! the task was done only [`verify`](Environment::verify) tells, to those whom an experiment lets ask.

use crate::tool_choice::{Choice, ToolTask, ToolWorld, Word, page, text, words};
use crate::world::Rng;
use lagdb::agent::{Answer, Environment, EnvironmentError, Task};
use lagdb::{Judgment, JudgmentSource, Outcome, Step};

/// One task, to be lived once or several times.
pub struct ToolEnvironment<'a> {
    world: &'a ToolWorld,
    tool_task: &'a ToolTask,
    task: Task,
    n_done: usize,
    rng: Rng,
}

impl<'a> ToolEnvironment<'a> {
    /// The task of this number in its stream; pages are drawn from `rng`.
    pub fn new(world: &'a ToolWorld, tool_task: &'a ToolTask, number: usize, rng: Rng) -> Self {
        Self { world, tool_task, task: task(tool_task, number), n_done: 0, rng }
    }
}

/// The task as an agent names it, looks for it in memory, and files it.
pub(super) fn task(task: &ToolTask, number: usize) -> Task {
    let mut query = vec![task.site];
    query.extend(&task.subgoals);
    Task::new(format!("{} (task {number})", task.english())).query(text(&query)).domain(task.site.text())
}

/// What was chosen, as the steps of an attempt tell it; up to the first that is not of this world.
pub(super) fn choices(steps: &[Step]) -> Vec<Choice> {
    let choice = |(step, next): (&Step, &Step)| {
        let (before, after) = (words(&step.observation)?, words(&next.observation)?);
        Some(Choice { subgoal: *before.last()?, tool: Word::parse(step.action.trim())?, page: *after.first()? })
    };
    steps.iter().zip(steps.iter().skip(1)).map_while(choice).collect()
}

impl Environment for ToolEnvironment<'_> {
    fn task(&self) -> &Task {
        &self.task
    }

    fn reset(&mut self) -> Result<String, EnvironmentError> {
        self.n_done = 0;
        Ok(text(&self.tool_task.act_prompt(&[], &[])))
    }

    /// A word that is no tool is refused like a wrong one.
    fn step(&mut self, action: &str) -> Result<Answer, EnvironmentError> {
        let Some(&subgoal) = self.tool_task.subgoals.get(self.n_done) else {
            return Err(EnvironmentError("the task has ended".to_owned()));
        };
        self.n_done += 1;
        let tool = Word::parse(action.trim()).filter(|word| word.tool_number().is_some());
        let right = tool.is_some() && tool == self.world.right_tool(self.tool_task.site, subgoal);
        let shown = if tool.is_some() { page(subgoal, right, &mut self.rng) } else { Word::ERR };
        let answer = match self.tool_task.subgoals.get(self.n_done) {
            Some(next) => Answer::next(text(&[shown, self.tool_task.site, *next])),
            None => Answer::end(shown.text()),
        };
        Ok(if shown == Word::ERR { answer.error("err") } else { answer })
    }

    fn verify(&mut self, steps: &[Step]) -> Result<Option<Judgment>, EnvironmentError> {
        let done = self.tool_task.is_done_by(&choices(steps), self.world);
        let outcome = if done { Outcome::Success } else { Outcome::Failure };
        Ok(Some(Judgment::new(outcome, "tool-choice world").source(JudgmentSource::Environment)))
    }

    /// `Delta search api`, of the action that is about to be taken.
    fn signature(&self, action: &str) -> Option<String> {
        let subgoal = self.tool_task.subgoals.get(self.n_done)?;
        Some(format!("{} {subgoal} {}", self.tool_task.site, action.trim()))
    }

    fn has_signatures(&self) -> bool {
        true
    }
}
