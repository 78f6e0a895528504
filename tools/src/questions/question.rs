//! A question with its answers and the facts it stands on: its sub-questions, with what they refer to filled in.

use crate::failure::Failure;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// One question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// As it is asked.
    pub(crate) text: String,
    /// What may be read before it is answered.
    pub(crate) context: Option<String>,
    /// Its answers, the first of them the one to copy.
    pub(crate) answers: Vec<String>,
    /// Its sub-questions, resolved, in small letters; none where its file has none.
    pub(crate) facts: Vec<String>,
}

#[derive(Deserialize)]
struct Element {
    question: String,
    answer: String,
    #[serde(default)]
    answer_aliases: Vec<String>,
    context: Option<String>,
    #[serde(default)]
    paragraphs: Vec<Paragraph>,
    #[serde(default)]
    question_decomposition: Vec<Hop>,
}

#[derive(Deserialize)]
struct Paragraph {
    #[serde(default)]
    title: String,
    paragraph_text: String,
}

#[derive(Deserialize)]
struct Hop {
    question: String,
    answer: String,
}

/// Reads questions: an array of them, or one a line.
///
/// # Errors
/// [`Failure::Read`] for the file, [`Failure::Input`] naming the element or line that is no question.
pub(crate) fn read(path: &Path) -> Result<Vec<Question>, Failure> {
    let input = |part: String, problem: String| Failure::Input { path: path.to_path_buf(), part, problem };
    let bytes = std::fs::read(path).map_err(|source| Failure::Read { path: path.to_path_buf(), source })?;
    let (part, values): (&str, Vec<(usize, Value)>) = if bytes.trim_ascii_start().starts_with(b"[") {
        let elements: Vec<Value> = serde_json::from_slice(&bytes)
            .map_err(|error| input(format!("line {}", error.line()), format!("not a JSON array: {error}")))?;
        ("element", elements.into_iter().enumerate().collect())
    } else {
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let value = |(i, line): (usize, &[u8])| match serde_json::from_slice(line) {
            Ok(value) => Ok((i, value)),
            Err(error) => Err(input(format!("line {}", i + 1), format!("not JSON: {error}"))),
        };
        ("line", lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(value).collect::<Result<_, _>>()?)
    };
    let question = |(i, value): (usize, Value)| {
        let fail = |problem: String| input(format!("{part} {}", i + 1), problem);
        let element: Element =
            serde_json::from_value(value).map_err(|error| fail(format!("not a question: {error}")))?;
        match [&element.question, &element.answer].map(|text| text.trim().is_empty()) {
            [true, _] => Err(fail("the question is empty".to_owned())),
            [_, true] => Err(fail("the answer is empty".to_owned())),
            _ => Ok(Question::from(element)),
        }
    };
    values.into_iter().map(question).collect()
}

impl From<Element> for Question {
    fn from(element: Element) -> Self {
        let mut resolved: Vec<String> = Vec::new();
        let mut facts = Vec::new();
        for hop in element.question_decomposition {
            // From the last, so that `#1` is not taken for the beginning of `#10`.
            let text = resolved
                .iter()
                .enumerate()
                .rev()
                .fold(hop.question, |text, (i, answer)| text.replace(&format!("#{}", i + 1), answer));
            facts.push(text.trim().to_lowercase());
            resolved.push(hop.answer);
        }
        let paragraph = |it: Paragraph| match it.title.is_empty() {
            true => it.paragraph_text,
            false => format!("{}: {}", it.title, it.paragraph_text),
        };
        let paragraphs: Vec<String> =
            element.context.into_iter().chain(element.paragraphs.into_iter().map(paragraph)).collect();
        let answers = std::iter::once(element.answer).chain(element.answer_aliases).collect();
        let context = Some(paragraphs.join("\n")).filter(|context| !context.trim().is_empty());
        Self { text: element.question, context, answers, facts }
    }
}

impl Question {
    /// The answer to copy.
    pub(crate) fn answer(&self) -> &str {
        self.answers.first().map_or("", String::as_str)
    }

    /// Whether `answer` is one of its answers, by exact match (Rajpurkar et al., 2016,
    /// <https://arxiv.org/abs/1606.05250>): small letters, no articles, no punctuation.
    pub(crate) fn is_answered_by(&self, answer: &str) -> bool {
        let answer = normal(answer);
        self.answers.iter().any(|right| normal(right) == answer)
    }

    /// The harmonic mean of precision and recall of the words of `answer`, of the best of its answers (the same).
    pub(crate) fn f1(&self, answer: &str) -> f64 {
        let answer = normal(answer);
        self.answers.iter().map(|right| f1(&normal(right), &answer)).fold(0.0, f64::max)
    }
}

fn f1(right: &str, answer: &str) -> f64 {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    right.split(' ').for_each(|word| *counts.entry(word).or_default() += 1);
    let mut n_common = 0;
    for word in answer.split(' ') {
        if let Some(count) = counts.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            n_common += 1;
        }
    }
    2.0 * n_common as f64 / (right.split(' ').count() + answer.split(' ').count()) as f64
}

/// An answer as answers are compared; what is nothing but articles stays.
pub(crate) fn normal(answer: &str) -> String {
    let letters: String = answer.to_lowercase().chars().filter(|c| c.is_alphanumeric() || c.is_whitespace()).collect();
    let words: Vec<&str> = letters.split_whitespace().collect();
    let is_article = |word: &&str| ["a", "an", "the"].contains(word);
    match words.iter().all(is_article) {
        true => words.join(" "),
        false => words.into_iter().filter(|word| !is_article(word)).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(value: Value) -> Question {
        Question::from(serde_json::from_value::<Element>(value).expect("a question"))
    }

    #[test]
    fn answers_match_but_for_articles_and_letters() {
        let question =
            question(serde_json::json!({"question": "q", "answer": "The Hague", "answer_aliases": ["Den Haag"],
            "question_decomposition": [{"question": "who leads Wexler", "answer": "Walsh"},
                {"question": "Where was #1 born", "answer": "The Hague"}]}));
        assert_eq!(question.facts, ["who leads wexler", "where was walsh born"]);
        assert!(question.is_answered_by("hague!") && question.is_answered_by("den haag"));
        assert!(!question.is_answered_by("Haag") && !question.is_answered_by(""));
        assert_eq!(question.f1("in Den Haag"), 0.8);
        assert_eq!((question.f1("the hague"), question.f1("Paris"), question.f1("")), (1.0, 0.0, 0.0));
    }

    #[test]
    fn a_question_a_line_is_read_as_well_and_what_is_none_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("questions.jsonl");
        let read_text = |text: &str| std::fs::write(&path, text).map_err(Failure::from).and_then(|()| read(&path));
        let line = r#"{"question": "Who?", "answer": "Ida", "context": "Ida did."}"#;
        let read = read_text(&format!("{line}\n\n{line}\n")).expect("two questions");
        assert_eq!((read.len(), read[0].context.as_deref(), read[0].facts.len()), (2, Some("Ida did."), 0));
        let paragraphs = r#"[{"question": "Who?", "answer": "Ida", "paragraphs": [{"title": "Ida", "paragraph_text": "She did."}]}]"#;
        assert_eq!(read_text(paragraphs).expect("one")[0].context.as_deref(), Some("Ida: She did."));
        for (text, says) in [
            (format!("{line}\n{{\"question\": \"Who?\"}}"), "line 2: not a question"),
            (r#"[{"question": "Who?", "answer": " "}]"#.to_owned(), "element 1: the answer is empty"),
            ("dear diary".to_owned(), "line 1: not JSON"),
        ] {
            let problem = read_text(&text).expect_err("refused").to_string();
            assert!(problem.contains(says), "{problem} does not say {says}");
        }
    }
}
