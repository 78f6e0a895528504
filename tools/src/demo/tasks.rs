//! Source tasks and follow-ups of the demo world as environments an agent can live in.
//!
//! The agent reads and writes words. When it says `lookup`, the world appends the facts of the entity just named; when
//! it says `<end>`, the task is over. The world judges by the value it knows.

use crate::world::{Fact, FollowUp, Kind, SourceTask, Word, World, english_question, text};
use lagdb::agent::{Answer, Environment, EnvironmentError, Task};
use lagdb::{Judgment, JudgmentSource, Outcome, Step};

/// How many trajectories are recalled for a follow-up.
pub const N_LOGS: [usize; 4] = [1, 2, 4, 8];

/// A source task: everything needed is in its prompt.
pub struct SourceTaskEnvironment<'a> {
    source: &'a SourceTask,
    world: &'a World,
    prompt: String,
    task: Task,
}

impl<'a> SourceTaskEnvironment<'a> {
    /// The environment of a task of `world`.
    pub fn new(source: &'a SourceTask, world: &'a World) -> Self {
        let question = source.question;
        let keywords = text(&[question.person, source.org]);
        let task = Task::new(english_question(question)).query(keywords).label("source");
        Self { source, world, prompt: text(&source.prompt()), task }
    }
}

impl Environment for SourceTaskEnvironment<'_> {
    fn task(&self) -> &Task {
        &self.task
    }

    fn reset(&mut self) -> Result<String, EnvironmentError> {
        Ok(self.prompt.clone())
    }

    fn step(&mut self, action: &str) -> Result<Answer, EnvironmentError> {
        Ok(answered(self.world, action))
    }

    fn verify(&mut self, steps: &[Step]) -> Result<Option<Judgment>, EnvironmentError> {
        Ok(Some(judgment(ends_with(&said(steps), self.source.answer))))
    }
}

/// A follow-up task: what it needs may be in its prompt, in a memory, or only to be looked up.
pub struct FollowUpTask<'a> {
    follow_up: &'a FollowUp,
    prompt: String,
    task: Task,
}

impl<'a> FollowUpTask<'a> {
    /// The environment of a follow-up.
    pub fn new(follow_up: &'a FollowUp) -> Self {
        // The question may be that of an earlier task; with other documents it is another task.
        let name = format!("{} (later documents)", english_question(follow_up.question));
        let task = Task::new(name).query(text(&keywords(follow_up))).label(kind_name(follow_up.kind));
        Self { follow_up, prompt: text(&follow_up.prompt()), task }
    }
}

impl Environment for FollowUpTask<'_> {
    fn task(&self) -> &Task {
        &self.task
    }

    fn reset(&mut self) -> Result<String, EnvironmentError> {
        Ok(self.prompt.clone())
    }

    fn step(&mut self, action: &str) -> Result<Answer, EnvironmentError> {
        Ok(answered(&self.follow_up.world, action))
    }

    fn verify(&mut self, steps: &[Step]) -> Result<Option<Judgment>, EnvironmentError> {
        Ok(Some(judgment(ends_with(&said(steps), self.follow_up.answer))))
    }
}

/// The name of a kind in the report.
pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Own => "own",
        Kind::Spelled => "spelled",
        Kind::Unspelled => "unspelled",
        Kind::Absent => "absent",
    }
}

/// What a follow-up is about: the person asked after and, where the prompt names it, their employer.
fn keywords(follow_up: &FollowUp) -> Vec<Word> {
    let person = follow_up.question.person;
    let about_person = |fact: &&Fact| fact.subject == person;
    let employer = follow_up.facts.iter().find(about_person).map(|fact| fact.value);
    [person].into_iter().chain(employer).collect()
}

/// The facts that answer an action ending in a look-up; an action that asks for none ends the task.
fn answered(world: &World, action: &str) -> Answer {
    let Some(facts) = world.answer_lookup(&words(action)) else { return Answer::end("") };
    let words: Vec<Word> = facts.iter().flat_map(|fact| fact.words()).collect();
    Answer::next(text(&words))
}

/// The words the agent said, over all steps.
fn said(steps: &[Step]) -> Vec<Word> {
    steps.iter().flat_map(|step| words(&step.action)).collect()
}

/// The words of a text; what is no word of this world is left out.
pub(super) fn words(text: &str) -> Vec<Word> {
    text.split_whitespace().filter_map(Word::parse).collect()
}

/// Whether `answer` stands right before the end.
fn ends_with(said: &[Word], answer: Word) -> bool {
    matches!(said, [.., last, Word::END] if *last == answer)
}

fn judgment(correct: bool) -> Judgment {
    let outcome = if correct { Outcome::Success } else { Outcome::Failure };
    Judgment::new(outcome, "demo world").source(JudgmentSource::Environment).score(if correct { 1.0 } else { 0.0 })
}
