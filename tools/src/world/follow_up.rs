//! The later task: other documents, and a question that may need what a source task saw.
//!
//! Its documents are two organisations with a person each; *bridge* people, whose employer is named but was documented
//! in a source task only; and a person whose employer is documented nowhere.

use super::fact::fact_words;
use super::{Exhausted, Fact, Question, Relation, SourceTask, Word, World};

const OWN_ORGS: usize = 2;

/// Where the fact that a follow-up needs can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// In the follow-up's own documents.
    Own,
    /// In the text of the source task's log.
    Spelled,
    /// In the source task's documents, about the organisation that its log names, but not in the log's text.
    Unspelled,
    /// Nowhere: the right act is `lookup`.
    Absent,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 4] = [Self::Own, Self::Spelled, Self::Unspelled, Self::Absent];
}

/// Through whom a spelled or unspelled fact is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Through {
    /// A new person, whose employer the follow-up's documents name.
    Bridge,
    /// The source task's person, whose employer only the source task and its log name.
    SamePerson,
}

/// A follow-up task: documents, a question, its answer, and the environment that answers look-ups.
#[derive(Clone, Debug)]
pub struct FollowUp {
    /// The documents, in the order shown.
    pub facts: Vec<Fact>,
    /// The question.
    pub question: Question,
    /// Where the needed fact can be found.
    pub kind: Kind,
    /// The person's employer.
    pub org: Word,
    /// The value asked for; for [`Kind::Absent`], what a look-up would find.
    pub answer: Word,
    /// The world with this task's people and organisations: it answers look-ups, and later tasks that shall not
    /// contradict this one are drawn from it.
    pub world: World,
}

impl FollowUp {
    /// `<bos> facts… question city employer Chen think`.
    pub fn prompt(&self) -> Vec<Word> {
        [vec![Word::BOS], fact_words(&self.facts), self.question.words().to_vec()].concat()
    }

    /// The response where nothing has to be looked up: `Chen employer Nova city Lagos <end>`.
    pub fn response(&self) -> Vec<Word> {
        let Question { person, attribute } = self.question;
        vec![person, Word::EMPLOYER, self.org, attribute.word(), self.answer, Word::END]
    }

    /// Whether these generated words give the right answer: the asked value stands right before the first `<end>`.
    pub fn is_answered_by(&self, generated: &[Word]) -> bool {
        let end = generated.iter().position(|word| *word == Word::END);
        end.and_then(|end| end.checked_sub(1)).is_some_and(|last| generated[last] == self.answer)
    }
}

impl World {
    /// Draws a follow-up task about `source`, which must be a task of this world.
    ///
    /// This world is left as it was, so that any number of follow-ups can be drawn; two of them may use one unused
    /// name for different people. Draw from [`FollowUp::world`] where tasks follow one another.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] when the world has too few unused names left.
    pub fn follow_up(&mut self, source: &SourceTask, kind: Kind, through: Through) -> Result<FollowUp, Exhausted> {
        self.rng.bits(); // the next follow-up differs
        let mut world = self.clone();
        let documents = world.follow_up_documents(&[source])?;
        let person = match through {
            Through::Bridge => documents.bridges[0].1,
            Through::SamePerson => source.question.person,
        };
        let question = documents.question(kind, source, person, &mut world.rng);
        let (org, answer) = world.answer(question).unwrap_or((Word::PAD, Word::PAD));
        Ok(FollowUp { facts: documents.facts, question, kind, org, answer, world })
    }

    /// Draws the documents of a follow-up with a bridge person to each of `bridged`.
    pub(crate) fn follow_up_documents(&mut self, bridged: &[&SourceTask]) -> Result<FollowUpDocuments, Exhausted> {
        let own_orgs = (0..OWN_ORGS).map(|_| self.new_org()).collect::<Result<Vec<_>, _>>()?;
        let own_people = own_orgs.iter().map(|org| self.new_person(*org)).collect::<Result<Vec<_>, _>>()?;
        let absent_org = self.new_org()?;
        let absent_person = self.new_person(absent_org)?;
        let mut bridges = Vec::with_capacity(bridged.len());
        for source in bridged {
            bridges.push((source.org, self.new_person(source.org)?));
        }
        let shown = own_orgs.iter().chain(&own_people).chain([&absent_person]).chain(bridges.iter().map(|(_, p)| p));
        let mut facts: Vec<Fact> = shown.flat_map(|entity| self.lookup(*entity)).collect();
        self.rng.shuffle(&mut facts);
        Ok(FollowUpDocuments { facts, own_people, bridges, absent_person })
    }
}

/// The documents of a follow-up, before a question is asked.
pub(crate) struct FollowUpDocuments {
    pub(crate) facts: Vec<Fact>,
    own_people: Vec<Word>,
    /// (organisation of a source task, new person who works there)
    pub(crate) bridges: Vec<(Word, Word)>,
    absent_person: Word,
}

impl FollowUpDocuments {
    /// A question of this kind about `source`; spelled and unspelled facts are asked for through `person`.
    pub(crate) fn question(&self, kind: Kind, source: &SourceTask, person: Word, rng: &mut super::Rng) -> Question {
        let spelled = source.question.attribute;
        let any = rng.pick(&Relation::OF_ORGS);
        match kind {
            Kind::Own => Question { person: rng.pick(&self.own_people), attribute: any },
            Kind::Absent => Question { person: self.absent_person, attribute: any },
            Kind::Spelled => Question { person, attribute: spelled },
            Kind::Unspelled => {
                let mut others = Relation::OF_ORGS.to_vec();
                others.retain(|relation| *relation != spelled);
                Question { person, attribute: rng.pick(&others) }
            }
        }
    }
}
