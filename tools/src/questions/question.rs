//! A question with its answers and the facts it stands on: its sub-questions, with what they refer to filled in.

use crate::failure::Failure;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// One question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// As it is asked.
    pub(super) text: String,
    /// Its first answer.
    pub(super) answer: String,
    /// Its sub-questions, resolved, in small letters.
    pub(super) facts: Vec<String>,
    right: Vec<String>,
}

#[derive(Deserialize)]
struct Element {
    question: String,
    #[serde(default)]
    question_decomposition: Vec<Hop>,
    answer: String,
    #[serde(default)]
    answer_aliases: Vec<String>,
}

#[derive(Deserialize)]
struct Hop {
    question: String,
    answer: String,
}

/// Reads an array of questions.
///
/// # Errors
/// [`Failure::Read`] for the file, [`Failure::Input`] naming the element that is no question, or the line that is no JSON.
pub(super) fn read(path: &Path) -> Result<Vec<Question>, Failure> {
    let input = |part: String, problem: String| Failure::Input { path: path.to_path_buf(), part, problem };
    let bytes = std::fs::read(path).map_err(|source| Failure::Read { path: path.to_path_buf(), source })?;
    let elements: Vec<Value> = serde_json::from_slice(&bytes)
        .map_err(|error| input(format!("line {}", error.line()), format!("not a JSON array: {error}")))?;
    let question = |(i, element): (usize, Value)| {
        let element: Element = serde_json::from_value(element)
            .map_err(|error| input(format!("element {}", i + 1), format!("not a question: {error}")))?;
        match element.question.trim().is_empty() {
            true => Err(input(format!("element {}", i + 1), "the question is empty".to_owned())),
            false => Ok(Question::from(element)),
        }
    };
    elements.into_iter().enumerate().map(question).collect()
}

impl From<Element> for Question {
    fn from(element: Element) -> Self {
        let mut answers: Vec<String> = Vec::new();
        let mut facts = Vec::new();
        for hop in element.question_decomposition {
            // From the last, so that `#1` is not taken for the beginning of `#10`.
            let resolved = answers
                .iter()
                .enumerate()
                .rev()
                .fold(hop.question, |text, (i, answer)| text.replace(&format!("#{}", i + 1), answer));
            facts.push(resolved.trim().to_lowercase());
            answers.push(hop.answer);
        }
        let right = element.answer_aliases.iter().chain([&element.answer]).map(|answer| normal(answer)).collect();
        Self { text: element.question, answer: element.answer, facts, right }
    }
}

impl Question {
    /// Whether `answer` is one of its answers, by exact match (Rajpurkar et al., 2016,
    /// <https://arxiv.org/abs/1606.05250>): small letters, no articles, no punctuation.
    pub(super) fn is_answered_by(&self, answer: &str) -> bool {
        self.right.contains(&normal(answer))
    }
}

fn normal(answer: &str) -> String {
    let letters: String = answer.to_lowercase().chars().filter(|c| c.is_alphanumeric() || c.is_whitespace()).collect();
    letters.split_whitespace().filter(|word| !["a", "an", "the"].contains(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_match_but_for_articles_and_letters() {
        let hops = vec![
            Hop { question: "who leads Wexler".into(), answer: "Walsh".into() },
            Hop { question: "Where was #1 born".into(), answer: "The Hague".into() },
        ];
        let element = Element {
            question: "q".into(),
            question_decomposition: hops,
            answer: "The Hague".into(),
            answer_aliases: vec!["Den Haag".into()],
        };
        let question = Question::from(element);
        assert_eq!(question.facts, ["who leads wexler", "where was walsh born"]);
        assert!(question.is_answered_by("hague!") && question.is_answered_by("den haag"));
        assert!(!question.is_answered_by("Haag"));
    }
}
