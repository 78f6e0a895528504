//! A task, and the world that answers the agent's actions and judges what came of them.

use crate::{Judgment, Step};

/// What is asked of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// What the trajectory is filed under: the task as a person would name it.
    pub name: String,
    /// The whole text given to the model.
    pub prompt: String,
    /// What to look for in memory: the task's keywords (LAG searches by question, later by the model's keywords).
    pub query: String,
    /// Labels of the trajectory.
    pub labels: Vec<String>,
}

/// The world in which a task is lived.
pub trait Environment {
    /// The task.
    fn task(&self) -> &Task;
    /// Answers `action`, the text generated in one step; `None` when the task has ended.
    fn observe(&mut self, action: &str) -> Option<String>;
    /// Judges the steps taken.
    fn judge(&self, steps: &[Step]) -> Judgment;
}
