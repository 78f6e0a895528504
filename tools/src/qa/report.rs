//! What a run found: for every split and arm how often there was an answer, how often it was right, and what that is more than
//! without a memory. Questions connected by facts belong together, in all draws of a split.

use super::COPY;
use super::arm::Arm;
use super::case::{Case, CaseKey};
use super::memory::Alone;
use super::splits::Split;
use crate::questions::question::Question;
use crate::questions::split::components_of;
use crate::statistics::{Clustered, Share, round};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// All that was found.
pub(super) struct Report {
    model: String,
    n_questions: usize,
    splits: Vec<Found>,
}

/// What was found in all draws of a split.
struct Found {
    name: &'static str,
    n_draws: usize,
    /// Of what is remembered, what was answered rightly and may be recalled.
    recallable: Share,
    rows: Vec<Row>,
}

/// One arm.
struct Row {
    arm: String,
    answered: Clustered,
    right_if_answered: Clustered,
    right: Clustered,
    f1: Clustered,
    /// Right, less right without a memory.
    gained: Clustered,
    recalled: Share,
    /// Tokens computed before an answer, mean; none where no model was asked.
    prompt_tokens: Option<f64>,
    attached_tokens: f64,
    n_too_long: usize,
}

impl Report {
    /// Of these arms; cases of others are not looked at.
    pub(super) fn new(
        questions: &[Question],
        answers: &[Alone],
        splits: &[Split],
        arms: &[Arm],
        model: String,
        cases: BTreeMap<CaseKey, Case>,
    ) -> Self {
        let clusters: Vec<String> =
            components_of(&questions.iter().collect::<Vec<_>>()).into_iter().map(|root| root.to_string()).collect();
        let mut found: Vec<Found> = Vec::new();
        for split in splits {
            if found.iter().any(|found| found.name == split.name) {
                continue;
            }
            let draws = splits.iter().filter(|other| other.name == split.name);
            let mut recallable = Share::default();
            for place in draws.clone().flat_map(|draw| &draw.remembered) {
                let right = questions.get(*place).zip(answers.get(*place));
                let is_right = |(question, alone): (&Question, &Alone)| {
                    alone.answer.as_ref().is_some_and(|answer| question.is_answered_by(answer))
                };
                recallable.add(right.is_some_and(is_right));
            }
            let names = arms.iter().map(|arm| arm.name).chain([COPY]);
            let rows = names.map(|arm| Row::new(arm, split.name, &cases, &clusters)).collect();
            found.push(Found { name: split.name, n_draws: draws.count(), recallable, rows });
        }
        Self { model, n_questions: questions.len(), splits: found }
    }

    /// `lagdb.qa/1`.
    pub(super) fn json(&self) -> Value {
        let split = |found: &Found| {
            json!({
                "name": found.name, "draws": found.n_draws, "remembered": found.recallable.n,
                "recallable": found.recallable.n_hits, "arms": found.rows.iter().map(Row::json).collect::<Vec<_>>(),
            })
        };
        json!({
            "schema": "lagdb.qa/1", "model": self.model, "questions": self.n_questions,
            "splits": self.splits.iter().map(split).collect::<Vec<_>>(),
        })
    }

    /// Tables.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![
            format!("{}: {} questions", self.model, self.n_questions),
            "Exact match and F1 in %, with 95 % intervals of a bootstrap over questions connected by facts; the last number is \
             that of such groups."
                .to_owned(),
        ];
        for found in &self.splits {
            let Found { name, n_draws, recallable, .. } = found;
            lines.push(format!(
                "\n{name}, draws: {n_draws}; {} remembered; {} of them answered rightly alone, by the published answers, and only these \
                 are recalled",
                recallable.n, recallable.n_hits
            ));
            lines.push(format!(
                "{:<23}{:<41}{:<41}{:<41}{:<41}{:<30}{:>9}{:>8}{:>9}",
                "arm",
                "answered",
                "right if answered",
                "right",
                "F1",
                "right more than none",
                "recalled",
                "tokens",
                "attached"
            ));
            lines.extend(found.rows.iter().map(Row::text));
        }
        lines.join("\n")
    }
}

impl Row {
    fn new(arm: &str, split: &str, cases: &BTreeMap<CaseKey, Case>, clusters: &[String]) -> Self {
        let mut row = Self {
            arm: arm.to_owned(),
            answered: Clustered::default(),
            right_if_answered: Clustered::default(),
            right: Clustered::default(),
            f1: Clustered::default(),
            gained: Clustered::of_differences(),
            recalled: Share::default(),
            prompt_tokens: None,
            attached_tokens: 0.0,
            n_too_long: 0,
        };
        for case in cases.values().filter(|case| case.key.split == split && case.key.arm == arm) {
            let cluster = clusters.get(case.key.question).map_or("", String::as_str);
            row.answered.add_hit(cluster, case.is_answered);
            if case.is_answered {
                row.right_if_answered.add_hit(cluster, case.is_right);
            }
            row.right.add_hit(cluster, case.is_right);
            row.f1.add(cluster, case.f1);
            if let Some(none) = cases.get(&CaseKey { arm: "none".to_owned(), ..case.key.clone() }) {
                row.gained.add(cluster, f64::from(u8::from(case.is_right)) - f64::from(u8::from(none.is_right)));
            }
            row.recalled.add(case.n_recalled > 0);
            if let Some(n_tokens) = case.prompt_tokens {
                *row.prompt_tokens.get_or_insert(0.0) += n_tokens as f64;
            }
            row.attached_tokens += case.attached_tokens as f64;
            row.n_too_long += usize::from(case.is_too_long);
        }
        let n = row.right.n().max(1) as f64;
        (row.prompt_tokens, row.attached_tokens) = (row.prompt_tokens.map(|sum| sum / n), row.attached_tokens / n);
        row
    }

    fn json(&self) -> Value {
        json!({
            "name": self.arm, "n": self.right.n(), "n_tasks": self.right.n_groups(),
            "success": round(self.right.value(), 4), "ci95": self.right.ci95().map(|x| round(x, 4)),
            "answered": self.answered.json(), "right_if_answered": self.right_if_answered.json(), "f1": self.f1.json(),
            "more_than_none": self.gained.json(), "recalled": round(self.recalled.value(), 4),
            "prompt_tokens": self.prompt_tokens.map(|mean| round(mean, 1)), "attached_tokens": round(self.attached_tokens, 1),
            "too_long": self.n_too_long,
        })
    }

    fn text(&self) -> String {
        let Self { arm, answered, right_if_answered, right, f1, gained, .. } = self;
        let gained = if gained.n() == 0 { String::new() } else { gained.to_string() };
        let prompt_tokens = self.prompt_tokens.map_or_else(|| "-".to_owned(), |mean| format!("{mean:.0}"));
        let recalled = 100.0 * self.recalled.value();
        let too_long = if self.n_too_long > 0 { format!("  {} did not fit", self.n_too_long) } else { String::new() };
        format!(
            "{arm:<23}{answered:<41}{right_if_answered:<41}{right:<41}{f1:<41}{gained:<30}{recalled:>9.1}{prompt_tokens:>8}{:>9.1}{too_long}",
            self.attached_tokens
        )
    }
}
