//! The first task: documents of some firms and people, and one question about them.
//!
//! Its log, the part a memory keeps, is the last word of the prompt and the response: seven words, which spell out two
//! facts. What the model saw of the other facts is at most in the keys and values behind those words.

use super::fact::fact_words;
use super::{Exhausted, Fact, Question, Relation, Word, World};

/// The number of words of a source task's log.
pub const LOG_LEN: usize = 7;

/// How many documents a source task shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSize {
    orgs: usize,
    people: usize,
}

impl TaskSize {
    /// `orgs` organisations of three facts each and `people` people of one fact each.
    ///
    /// # Panics
    ///
    /// Panics if fewer than 2 of either are asked for.
    pub fn new(orgs: usize, people: usize) -> Self {
        assert!(orgs >= 2 && people >= 2, "a source task shows at least 2 organisations and 2 people");
        Self { orgs, people }
    }
}

/// A question, the documents that answer it, and the answer.
#[derive(Clone, Debug)]
pub struct SourceTask {
    /// The documents, in the order shown.
    pub facts: Vec<Fact>,
    /// The question.
    pub question: Question,
    /// The person's employer, whom the log names and follow-ups ask about.
    pub org: Word,
    /// The value asked for.
    pub answer: Word,
    /// The people whose employers are shown, the asked one first.
    pub people: Vec<Word>,
}

impl SourceTask {
    /// `<bos> facts… question city employer Chen think`.
    pub fn prompt(&self) -> Vec<Word> {
        let mut words = vec![Word::BOS];
        words.extend(fact_words(&self.facts));
        words.extend(self.question.words());
        words
    }

    /// `Chen employer Nova city Lagos <end>`.
    pub fn response(&self) -> Vec<Word> {
        let Question { person, attribute } = self.question;
        vec![person, Word::EMPLOYER, self.org, attribute.word(), self.answer, Word::END]
    }

    /// The log: the last word of the prompt and the response, [`LOG_LEN`] words.
    pub fn log(&self) -> Vec<Word> {
        [vec![Word::THINK], self.response()].concat()
    }

    /// Prompt and response: the whole task as the agent saw it.
    pub fn trajectory(&self) -> Vec<Word> {
        [self.prompt(), self.response()].concat()
    }

    /// The two facts the log spells out.
    pub fn spelled_facts(&self) -> [Fact; 2] {
        let Question { person, attribute } = self.question;
        [
            Fact { subject: person, relation: Relation::Employer, value: self.org },
            Fact { subject: self.org, relation: attribute, value: self.answer },
        ]
    }

    /// The facts shown about the organisation the log names, spelled out in the log or not.
    pub fn org_facts(&self) -> impl Iterator<Item = Fact> {
        self.facts.iter().copied().filter(|fact| fact.subject == self.org)
    }
}

impl World {
    /// Draws a source task of entities this world has not used yet. Its person is the only one shown who works for the
    /// organisation asked about.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] when the world has too few unused names left.
    pub fn source_task(&mut self, size: TaskSize) -> Result<SourceTask, Exhausted> {
        let orgs = (0..size.orgs).map(|_| self.new_org()).collect::<Result<Vec<_>, _>>()?;
        let mut people = vec![self.new_person(orgs[0])?];
        for _ in 1..size.people {
            let employer = self.rng.pick(&orgs[1..]);
            people.push(self.new_person(employer)?);
        }
        let mut facts: Vec<Fact> = orgs.iter().chain(&people).flat_map(|entity| self.lookup(*entity)).collect();
        self.rng.shuffle(&mut facts);
        let question = Question { person: people[0], attribute: self.rng.pick(&Relation::OF_ORGS) };
        let answer = facts.iter().find(|fact| fact.subject == orgs[0] && fact.relation == question.attribute);
        let answer = answer.map(|fact| fact.value).unwrap_or(Word::PAD);
        Ok(SourceTask { facts, question, org: orgs[0], answer, people })
    }
}
