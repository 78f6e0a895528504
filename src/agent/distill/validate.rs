//! Which items of a reply are kept: those that say something, briefly, once, and do not give the answer away.
//!
//! Every item that is not kept has one reason, the first that applies in the order of [`Rejection::ALL`].

use crate::agent::dialect::{Item, Lived, Material, Rejected, Rejection};
use crate::record::limits;
use std::collections::BTreeSet;

/// What is kept of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemLimits {
    /// Items of one trajectory.
    pub per_trajectory: usize,
    /// Items of several attempts that are contrasted.
    pub per_group: usize,
    /// Characters of a title.
    pub title_chars: usize,
    /// Characters of a description.
    pub description_chars: usize,
    /// Characters of a content.
    pub content_chars: usize,
}

impl Default for ItemLimits {
    fn default() -> Self {
        Self { per_trajectory: 3, per_group: 5, title_chars: 120, description_chars: 400, content_chars: 1_200 }
    }
}

/// The items that are kept, and the others with their reasons.
pub(crate) fn kept(
    read: Vec<Result<Item, Rejected>>,
    material: &Material<'_>,
    limits: &ItemLimits,
) -> (Vec<Item>, Vec<Rejected>) {
    let (mut items, mut rejected) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    let answers: Vec<Vec<String>> =
        material.task.answers.iter().map(|answer| words(answer)).filter(|answer| is_telling(answer)).collect();
    for item in read {
        let item = match item {
            Ok(item) => item,
            Err(error) => {
                rejected.push(error);
                continue;
            }
        };
        let text = format!("{} {} {}", item.title, item.description, item.content);
        let all =
            [&item.labels, &item.action_signatures, &item.error_signatures].map(|texts| texts.join(" ")).join(" ");
        let reason = if too_long(&item, limits) {
            Some(Rejection::TooLong)
        } else if [&item.title, &item.description, &item.content].iter().any(|text| words(text).is_empty()) {
            Some(Rejection::Empty)
        } else if !seen.insert((words(&item.title), words(&item.content), item.kind)) {
            Some(Rejection::Duplicate)
        } else if answers.iter().any(|answer| contains(&words(&format!("{text} {all}")), answer)) {
            Some(Rejection::LeaksAnswer)
        } else if cites_nothing(&item, material) {
            Some(Rejection::NoSuchStep)
        } else if items.len() >= material.max_items {
            Some(Rejection::TooMany)
        } else {
            None
        };
        match reason {
            Some(reason) => rejected.push(Rejected::new(reason, &text)),
            None => items.push(item),
        }
    }
    (items, rejected)
}

fn too_long(item: &Item, limits: &ItemLimits) -> bool {
    let parts = [
        (&item.title, limits.title_chars),
        (&item.description, limits.description_chars),
        (&item.content, limits.content_chars),
    ];
    parts.into_iter().any(|(text, most)| text.chars().nth(most).is_some())
        || limits::check_labels(&item.labels).is_err()
        || limits::check_signatures("action signature", &item.action_signatures).is_err()
        || limits::check_signatures("error signature", &item.error_signatures).is_err()
}

/// Whether it cites an attempt that is not there, or a step that the attempt, or none of them, has.
fn cites_nothing(item: &Item, material: &Material<'_>) -> bool {
    let n_steps = |lived: &Lived<'_>| lived.steps.len();
    let most = match item.attempt {
        Some(attempt) => match material.attempts.get(attempt as usize) {
            Some(lived) => n_steps(lived),
            None => return true,
        },
        None => material.attempts.iter().map(n_steps).max().unwrap_or(0),
    };
    item.steps.as_ref().is_some_and(|steps| *steps.end() as usize >= most.max(1))
}

/// Words in lower case, without what stands between them.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// Whether an answer can be told from words that any lesson may use: `2`, `yes` and `none` cannot.
fn is_telling(answer: &[String]) -> bool {
    const COMMON: [&str; 4] = ["true", "false", "none", "unknown"];
    match answer {
        [] => false,
        [word] => word.chars().count() > 3 && !COMMON.contains(&word.as_str()),
        _ => true,
    }
}

/// Whether all words of `answer` stand in `text`, one after another.
fn contains(text: &[String], answer: &[String]) -> bool {
    text.windows(answer.len()).any(|window| window == answer)
}
