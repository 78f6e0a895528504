//! A question as a task: it is put once, and the answer is compared with those that are right.

use crate::questions::question::{Question, normal};
use lagdb::agent::{Answer, Environment, EnvironmentError, Task};
use lagdb::{Judgment, JudgmentSource, Outcome, Step};

/// What every question begins with.
const INSTRUCTION: &str =
    "Answer the question in as few words as possible. If you do not know the answer, say: unknown.\n\n";
/// What a model says that does not know.
const UNKNOWN: [&str; 5] = ["unknown", "i dont know", "i do not know", "not known", "unanswerable"];

/// A question that is asked.
pub(super) struct Asking<'a> {
    question: &'a Question,
    task: Task,
}

impl<'a> Asking<'a> {
    /// Asked under these labels; its answers may be in no lesson.
    pub(super) fn new(question: &'a Question, labels: &[String]) -> Self {
        let task = labels.iter().fold(Task::new(&question.text), Task::label);
        let task = question.answers.iter().fold(task, Task::answer);
        Self { question, task }
    }

    /// All that is said where nothing is recalled.
    pub(super) fn prompt(&self) -> String {
        let context = self.question.context.iter().map(|context| format!("{context}\n\n")).collect::<String>();
        format!("{INSTRUCTION}{context}{}", asked(&self.question.text))
    }

    /// With the past looked up by other words.
    pub(super) fn recalled_by(self, query: &str) -> Self {
        Self { task: self.task.query(query), ..self }
    }
}

/// The part of the prompt that asks: what a KV log of the answer begins with.
pub(super) fn asked(question: &str) -> String {
    format!("Question: {question}\nAnswer:")
}

/// The answer in a reply: its first line that says something.
pub(super) fn answer_in(reply: &str) -> &str {
    let first = reply.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    first.strip_prefix("Answer:").unwrap_or(first).trim()
}

/// Whether an answer is one.
pub(super) fn is_answer(answer: &str) -> bool {
    let answer = normal(answer);
    !answer.is_empty() && !UNKNOWN.contains(&answer.as_str())
}

impl Environment for Asking<'_> {
    fn task(&self) -> &Task {
        &self.task
    }

    fn reset(&mut self) -> Result<String, EnvironmentError> {
        Ok(self.prompt())
    }

    fn step(&mut self, _: &str) -> Result<Answer, EnvironmentError> {
        Ok(Answer::end(""))
    }

    fn verify(&mut self, steps: &[Step]) -> Result<Option<Judgment>, EnvironmentError> {
        let answer = steps.last().map_or("", |step| answer_in(&step.action));
        let is_right = is_answer(answer) && self.question.is_answered_by(answer);
        let outcome = if is_right { Outcome::Success } else { Outcome::Failure };
        let judgment = Judgment::new(outcome, "published answers").source(JudgmentSource::Environment);
        Ok(Some(judgment.score(self.question.f1(answer))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_first_line_that_says_something() {
        assert_eq!(answer_in("\n Paris.\nQuestion: and then?"), "Paris.");
        assert_eq!(answer_in("Answer: Paris"), "Paris");
        assert_eq!(answer_in(" \n"), "");
        assert!(is_answer("Paris") && is_answer("the"));
        assert!(!is_answer("Unknown.") && !is_answer("I don't know") && !is_answer("?"));
    }
}
