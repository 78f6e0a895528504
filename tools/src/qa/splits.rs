//! Which questions are remembered and which are asked: as published, and so that no fact is on both sides.

use crate::questions::question::Question;
use crate::questions::split::by_connected_facts;
use std::collections::BTreeMap;

/// One split. Questions are said by their places among all.
pub(super) struct Split {
    /// In a few words.
    pub(super) name: &'static str,
    /// Which draw of it.
    pub(super) seed: u64,
    /// The label of what may be recalled in it.
    pub(super) label: String,
    /// What may be recalled.
    pub(super) remembered: Vec<usize>,
    /// What is asked.
    pub(super) asked: Vec<usize>,
}

/// The splits of `questions`, of which the first `n_first` stood in the first of two files, if there were two.
///
/// Two files are a published split. Where facts are known there is a split by connected facts a seed beside it; of one file
/// without facts, one at random a seed. Of one file a third is asked.
pub(super) fn splits(questions: &[Question], n_first: Option<usize>, seeds: &[u64]) -> Vec<Split> {
    let mut splits = Vec::new();
    if let Some(n_first) = n_first {
        let (remembered, asked) = ((0..n_first).collect(), (n_first..questions.len()).collect());
        splits.push(Split { name: "published", seed: 1, label: "published".to_owned(), remembered, asked });
    }
    let has_facts = |question: &&Question| !question.facts.is_empty();
    let known: Vec<&Question> = questions.iter().filter(has_facts).collect();
    let (name, parts) = match (known.is_empty(), n_first) {
        (false, _) => ("by connected facts", known),
        (true, None) => ("at random", questions.iter().collect()),
        (true, Some(_)) => return splits,
    };
    let n_asked = match n_first {
        Some(n_first) => questions.iter().skip(n_first).filter(has_facts).count(),
        None => parts.len().div_ceil(3),
    };
    let places: BTreeMap<*const Question, usize> =
        questions.iter().enumerate().map(|(place, question)| (std::ptr::from_ref(question), place)).collect();
    let place = |question: &Question| places.get(&std::ptr::from_ref(question)).copied();
    for &seed in seeds {
        let (remembered, asked) = by_connected_facts(&parts, n_asked, seed.saturating_sub(1));
        let [mut remembered, mut asked] =
            [remembered, asked].map(|side| side.into_iter().filter_map(place).collect::<Vec<usize>>());
        remembered.sort_unstable();
        asked.sort_unstable();
        splits.push(Split { name, seed, label: format!("apart {seed}"), remembered, asked });
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Question `i` of three stands on a fact of its own and one that it shares.
    fn question(i: usize) -> Question {
        let facts = vec![format!("fact {i}"), format!("shared {}", i / 3)];
        Question { text: format!("question {i}"), context: None, answers: vec!["yes".to_owned()], facts }
    }

    #[test]
    fn no_fact_is_on_both_sides_and_every_draw_has_its_label() {
        let questions: Vec<Question> = (0..30).map(question).collect();
        let splits = splits(&questions, Some(20), &[1, 2, 3]);
        let labels: Vec<&str> = splits.iter().map(|split| split.label.as_str()).collect();
        assert_eq!(labels, ["published", "apart 1", "apart 2", "apart 3"]);
        let facts =
            |side: &[usize]| -> BTreeSet<String> { side.iter().flat_map(|i| questions[*i].facts.clone()).collect() };
        for split in splits.iter().skip(1) {
            assert!(facts(&split.remembered).is_disjoint(&facts(&split.asked)), "{}", split.label);
            assert_eq!(
                (split.remembered.len() + split.asked.len(), split.asked.len()),
                (30, 9),
                "whole components fit in ten"
            );
        }
        assert!(splits.windows(2).all(|pair| pair[0].asked != pair[1].asked), "draws differ");
        assert!(!facts(&splits[0].remembered).is_disjoint(&facts(&splits[0].asked)), "as published they may be shared");
    }
}
