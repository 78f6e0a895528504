//! What is true: people with employers, organisations with a city, a product and a boss.
//!
//! Invariants: no two people or organisations share a name; a fact once drawn never changes; every pair is one the
//! world's [`Pairs`] allow, save the fallback noted there. A world of 48 people and 48 organisations is large enough
//! for 9 source tasks of 4 and 4 and a follow-up.

use super::{Fact, Pairs, Question, Relation, Rng, Word, WordClass};
use std::collections::BTreeMap;

/// The world has no unused person or organisation left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the world has no unused {0:?} left: make fewer or smaller tasks")]
pub struct Exhausted(pub WordClass);

/// A consistent set of facts, and the names not yet used.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) rng: Rng,
    pairs: Pairs,
    facts: BTreeMap<(Word, Relation), Word>,
    unused_people: Vec<Word>,
    unused_orgs: Vec<Word>,
}

impl World {
    /// An empty world. The same seed and pairs give the same tasks on every platform.
    pub fn new(seed: u64, pairs: Pairs) -> Self {
        Self::with_rng(Rng::new(seed), pairs)
    }

    pub(crate) fn with_rng(mut rng: Rng, pairs: Pairs) -> Self {
        let mut shuffled = |class: WordClass| {
            let mut words: Vec<Word> = class.words().collect();
            rng.shuffle(&mut words);
            words
        };
        let (unused_people, unused_orgs) = (shuffled(WordClass::Person), shuffled(WordClass::Org));
        Self { rng, pairs, facts: BTreeMap::new(), unused_people, unused_orgs }
    }

    /// The fact about this subject and relation, if there is one.
    pub fn fact(&self, subject: Word, relation: Relation) -> Option<Fact> {
        let value = *self.facts.get(&(subject, relation))?;
        Some(Fact { subject, relation, value })
    }

    /// All facts about an entity: one of a person, three of an organisation, none of anything else.
    pub fn lookup(&self, entity: Word) -> Vec<Fact> {
        self.facts
            .range((entity, Relation::Employer)..=(entity, Relation::Boss))
            .map(|(&(subject, relation), &value)| Fact { subject, relation, value })
            .collect()
    }

    /// What the environment appends after the agent said `… Nova city lookup`: the facts about `Nova`.
    ///
    /// `said` is all words so far, the last being `lookup`. `None` if they do not end in an entity, a relation and
    /// `lookup`, or if the world knows nothing of the entity.
    pub fn answer_lookup(&self, said: &[Word]) -> Option<Vec<Fact>> {
        let [.., entity, relation, Word::LOOKUP] = said else {
            return None;
        };
        Relation::parse(*relation)?;
        Some(self.lookup(*entity)).filter(|facts| !facts.is_empty())
    }

    /// The employer in a question and the value asked for, if the world knows both.
    pub fn answer(&self, question: Question) -> Option<(Word, Word)> {
        let employer = self.fact(question.person, Relation::Employer)?.value;
        Some((employer, self.fact(employer, question.attribute)?.value))
    }

    /// Draws an unused organisation and its three facts.
    pub(super) fn new_org(&mut self) -> Result<Word, Exhausted> {
        let org = self.unused_orgs.pop().ok_or(Exhausted(WordClass::Org))?;
        for relation in Relation::OF_ORGS {
            let value = self.draw_value(org, relation);
            self.facts.insert((org, relation), value);
        }
        Ok(org)
    }

    /// Draws an unused person who works for `org`.
    pub(super) fn new_person(&mut self, org: Word) -> Result<Word, Exhausted> {
        let last = self.unused_people.len().checked_sub(1).ok_or(Exhausted(WordClass::Person))?;
        let fitting = self.unused_people.iter().rposition(|person| self.pairs.allow(*person, org));
        let person = self.unused_people.remove(fitting.unwrap_or(last));
        self.facts.insert((person, Relation::Employer), org);
        Ok(person)
    }

    fn draw_value(&mut self, org: Word, relation: Relation) -> Word {
        let values: Vec<Word> = relation.value_class().words().collect();
        let mut allowed = values.clone();
        allowed.retain(|value| self.pairs.allow(org, *value));
        self.rng.pick(if allowed.is_empty() { &values } else { &allowed })
    }
}
