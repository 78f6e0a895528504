//! What came of one question under one arm.

use super::asking::is_answer;
use crate::journal::Noted;
use crate::questions::question::Question;
use serde::{Deserialize, Serialize};

/// Which question, in which split, under which arm.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct CaseKey {
    /// The name of the split.
    pub(super) split: String,
    /// Which draw of it.
    pub(super) seed: u64,
    /// The name of the arm.
    pub(super) arm: String,
    /// The question, by its place among all.
    pub(super) question: usize,
}

/// One question under one arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Case {
    /// Which.
    pub(super) key: CaseKey,
    /// What was answered.
    pub(super) answer: String,
    /// Whether that is an answer: something, and not that it does not know.
    pub(super) is_answered: bool,
    /// Exact match with a right answer.
    pub(super) is_right: bool,
    /// Words in common with the nearest right answer, 0 to 1.
    pub(super) f1: f64,
    /// Texts or KV logs, and lessons, that were before the model.
    pub(super) n_recalled: usize,
    /// Tokens computed before the answer; none where no model was asked.
    pub(super) prompt_tokens: Option<usize>,
    /// Tokens attended to without computing them.
    pub(super) attached_tokens: usize,
    /// Whether it did not fit the model.
    pub(super) is_too_long: bool,
}

impl Case {
    /// With this answer.
    pub(super) fn answered(self, question: &Question, answer: String) -> Self {
        let is_answered = is_answer(&answer);
        let is_right = is_answered && question.is_answered_by(&answer);
        let f1 = if is_answered { question.f1(&answer) } else { 0.0 };
        Self { is_answered, is_right, f1, answer, ..self }
    }
}

impl Noted for Case {
    type Key = CaseKey;

    fn key(&self) -> CaseKey {
        self.key.clone()
    }
}
