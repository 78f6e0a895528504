//! Facts and questions: what a world is made of, and what is asked about it.

use super::{Word, WordClass};

/// What a fact says about its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    /// Of a person: the organisation they work for.
    Employer,
    /// Of an organisation: where it is.
    City,
    /// Of an organisation: what it makes.
    Product,
    /// Of an organisation: who leads it.
    Boss,
}

impl Relation {
    /// The three relations an organisation has.
    pub const OF_ORGS: [Relation; 3] = [Self::City, Self::Product, Self::Boss];

    /// The word for this relation.
    pub fn word(self) -> Word {
        match self {
            Self::Employer => Word::EMPLOYER,
            Self::City => Word::CITY,
            Self::Product => Word::PRODUCT,
            Self::Boss => Word::BOSS,
        }
    }

    /// The relation a word stands for.
    pub fn parse(word: Word) -> Option<Relation> {
        [Self::Employer, Self::City, Self::Product, Self::Boss].into_iter().find(|relation| relation.word() == word)
    }

    /// The class of the value.
    pub fn value_class(self) -> WordClass {
        match self {
            Self::Employer => WordClass::Org,
            Self::City => WordClass::City,
            Self::Product => WordClass::Product,
            Self::Boss => WordClass::Boss,
        }
    }
}

/// One fact: `Nova city Lagos`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Whom or what it is about.
    pub subject: Word,
    /// What it says.
    pub relation: Relation,
    /// The value.
    pub value: Word,
}

impl Fact {
    /// The three words of the fact.
    pub fn words(self) -> [Word; 3] {
        [self.subject, self.relation.word(), self.value]
    }
}

/// A two-step question: this attribute of the employer of this person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The person.
    pub person: Word,
    /// The attribute of the person's employer: city, product or boss.
    pub attribute: Relation,
}

impl Question {
    /// `question city employer Chen think`; the last word opens the response.
    pub fn words(self) -> [Word; 5] {
        [Word::QUESTION, self.attribute.word(), Word::EMPLOYER, self.person, Word::THINK]
    }
}

/// The words of several facts, one after the other.
pub(crate) fn fact_words(facts: &[Fact]) -> Vec<Word> {
    facts.iter().flat_map(|fact| fact.words()).collect()
}
