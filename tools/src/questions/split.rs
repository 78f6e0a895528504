//! A split that shares no fact: questions that stand on a common fact, directly or over others, stay on one side.
//!
//! Questions whose facts are not known cannot be told apart so; whoever asks for the split leaves them out.

use super::Question;
use std::collections::BTreeMap;

/// Remembered and asked: whole components of questions connected by facts, in an order that looks random and is that of the
/// seed, are asked until `n_asked` are; one that would not fit is remembered.
pub(crate) fn by_connected_facts<'a>(
    questions: &[&'a Question],
    n_asked: usize,
    seed: u64,
) -> (Vec<&'a Question>, Vec<&'a Question>) {
    let mut components: BTreeMap<usize, Vec<&'a Question>> = BTreeMap::new();
    for (root, question) in components_of(questions).into_iter().zip(questions) {
        components.entry(root).or_default().push(question);
    }
    let mut components: Vec<(usize, Vec<&Question>)> = components.into_iter().collect();
    let salt = if seed == 0 { 0 } else { scattered(seed) };
    components.sort_by_key(|(root, _)| scattered(*root as u64 ^ salt));
    let (mut remembered, mut asked) = (Vec::new(), Vec::new());
    for (_, component) in components {
        let side = if asked.len() + component.len() <= n_asked { &mut asked } else { &mut remembered };
        side.extend(component);
    }
    (remembered, asked)
}

/// For each question one that stands for all that it is connected to.
pub(crate) fn components_of(questions: &[&Question]) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..questions.len()).collect();
    let mut first_with: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, question) in questions.iter().enumerate() {
        for fact in &question.facts {
            let other = *first_with.entry(fact).or_insert(i);
            let (a, b) = (root(&mut parents, i), root(&mut parents, other));
            if let Some(parent) = parents.get_mut(a.max(b)) {
                *parent = a.min(b);
            }
        }
    }
    (0..questions.len()).map(|i| root(&mut parents, i)).collect()
}

/// The root of `at`, and the way to it shortened.
fn root(parents: &mut [usize], mut at: usize) -> usize {
    while let Some(&parent) = parents.get(at).filter(|parent| **parent != at) {
        let grandparent = parents.get(parent).copied().unwrap_or(parent);
        if let Some(slot) = parents.get_mut(at) {
            *slot = grandparent;
        }
        at = grandparent;
    }
    at
}

/// A number that looks random, the same in every run (SplitMix64).
pub(crate) fn scattered(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 1
}
