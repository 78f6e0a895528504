//! What the agent should say, given the facts it can see: state each step, and look up what is missing.
//!
//! With both facts known: `Chen employer Nova city Lagos <end>`. Without the second: `Chen employer Nova city lookup`,
//! then the environment appends `Nova`'s facts, then the agent restates and goes on: `Nova city Lagos <end>`.

use super::fact::fact_words;
use super::{Question, Relation, Rng, SourceTask, Word, World};
use std::collections::BTreeSet;

/// The facts an agent can see, by subject and relation.
#[derive(Clone, Debug, Default)]
pub struct Known(BTreeSet<(Word, Relation)>);

impl Known {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what these documents say.
    pub fn documents(&mut self, facts: impl IntoIterator<Item = super::Fact>) {
        self.0.extend(facts.into_iter().map(|fact| (fact.subject, fact.relation)));
    }

    /// Adds what the text of a source task's log spells out.
    pub fn text_log(&mut self, source: &SourceTask) {
        self.documents(source.spelled_facts());
    }

    /// Adds what the KV log of a source task can carry: the person's employer and all facts about the employer.
    pub fn kv_log(&mut self, source: &SourceTask) {
        self.documents(source.spelled_facts().into_iter().chain(source.org_facts()));
    }

    fn has(&self, subject: Word, relation: Relation) -> bool {
        self.0.contains(&(subject, relation))
    }
}

/// Words, each marked as said by the agent (true) or by the environment (false).
pub type MarkedWords = Vec<(Word, bool)>;

/// The right response to `question` in `world`, look-ups and the environment's answers included. What is looked up
/// becomes known. The environment's facts are shuffled by `rng`.
///
/// Empty if the world has no answer to the question.
pub fn expected_response(world: &World, question: Question, known: &mut Known, rng: &mut Rng) -> MarkedWords {
    let Some((org, answer)) = world.answer(question) else {
        return Vec::new();
    };
    let steps = [(question.person, Relation::Employer, org), (org, question.attribute, answer)];
    let mut words = vec![(question.person, true)];
    for (subject, relation, value) in steps {
        words.push((relation.word(), true));
        if !known.has(subject, relation) {
            let mut facts = world.lookup(subject);
            rng.shuffle(&mut facts);
            words.push((Word::LOOKUP, true));
            words.extend(fact_words(&facts).into_iter().map(|word| (word, false)));
            words.extend([(subject, true), (relation.word(), true)]);
            known.documents(facts);
        }
        words.push((value, true));
    }
    words.push((Word::END, true));
    words
}
