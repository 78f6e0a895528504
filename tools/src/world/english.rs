//! The demo world in English, for people to read; the model reads the words themselves.

use super::{Fact, Question, Relation, Word};

/// `Nova is in Lagos.`
pub fn english_fact(fact: Fact) -> String {
    format!("{}.", clause(fact))
}

/// `In which city is Chen's employer?`
pub fn english_question(question: Question) -> String {
    let person = question.person;
    match question.attribute {
        Relation::City => format!("In which city is {person}'s employer?"),
        Relation::Product => format!("What does {person}'s employer make?"),
        Relation::Boss => format!("Who leads {person}'s employer?"),
        Relation::Employer => format!("For whom does {person} work?"),
    }
}

/// A response, or a log, in English: `Chen works for Nova; Nova is in Lagos.` A look-up reads `(looks up Nova)`.
///
/// Words that form neither a fact nor a look-up are shown as they are.
pub fn english_response(words: &[Word]) -> String {
    let mut parts = Vec::new();
    let mut rest = words;
    while !rest.is_empty() {
        let (part, used) = next_part(rest);
        parts.extend(part);
        rest = &rest[used..];
    }
    format!("{}.", parts.join("; "))
}

/// The clause at the start of `words`, and how many words it takes. A fact may share its subject with the value before
/// (`Chen employer Nova city Lagos`): then the value is not used up.
fn next_part(words: &[Word]) -> (Option<String>, usize) {
    match *words {
        [Word::THINK | Word::END, ..] => (None, 1),
        [subject, relation, Word::LOOKUP, ..] if Relation::parse(relation).is_some() => {
            (Some(format!("(looks up {subject})")), 3)
        }
        [subject, relation, value, ref rest @ ..] => match Relation::parse(relation) {
            Some(relation) => {
                let goes_on = rest.first().is_some_and(|word| Relation::parse(*word).is_some());
                (Some(clause(Fact { subject, relation, value })), if goes_on { 2 } else { 3 })
            }
            None => (Some(subject.to_string()), 1),
        },
        [word, ..] => (Some(word.to_string()), 1),
        [] => (None, 0),
    }
}

fn clause(Fact { subject, relation, value }: Fact) -> String {
    match relation {
        Relation::Employer => format!("{subject} works for {value}"),
        Relation::City => format!("{subject} is in {value}"),
        Relation::Product => format!("{subject} makes {value}"),
        Relation::Boss => format!("{value} leads {subject}"),
    }
}
