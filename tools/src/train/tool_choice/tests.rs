//! What must hold of practice and of a training step of the tool-choice model.

use super::loss::losses;
use super::practice::{Extent, Practice};
use super::preset::fresh;
use super::recipe::Recipe;
use super::student::{Student, WordTokens};
use crate::tool_choice::{Item, Knowledge, Word};
use crate::world::Rng;

const EXTENT: Extent = Extent { max_items: 16, max_attempts: 5, past: 0.0 };

#[test]
fn gradients_reach_every_weight() {
    let model = fresh(&mut Rng::new(1)).expect("a fresh model");
    let batch = [Practice::lesson(Extent { max_attempts: 1, ..EXTENT }, &mut Rng::new(2))];
    let student = Student { model: &model, tokens: &WordTokens::alone() };
    let losses = losses(student, &batch).expect("a forward pass");
    let grads = losses.total().and_then(|total| total.backward()).expect("a backward pass");
    for (name, var) in model.named() {
        let grad = grads.get(var).unwrap_or_else(|| panic!("no gradient reached {name}"));
        let size = grad.abs().and_then(|g| g.sum_all()?.to_scalar::<f32>()).expect("a sum");
        assert!(size.is_finite() && size > 0.0, "the gradient of {name} is {size}");
    }
}

/// A drill's targets must exclude what its own pages refuted, or the model learns to repeat itself.
#[test]
fn a_drill_never_allows_what_it_has_refuted() {
    let mut rng = Rng::new(3);
    let mut n_refuted = 0;
    for _ in 0..200 {
        let drill = Practice::drill(Extent { max_items: 0, ..EXTENT }, &mut rng);
        let act = drill.words.iter().position(|word| *word == Word::ACT).expect("an attempt");
        for (at, allowed) in &drill.choices {
            let subgoal = drill.words[*at];
            let steps: Vec<Word> =
                drill.words[act + 1..at - 1].iter().copied().filter(|word| *word != Word::AGAIN).collect();
            let mut seen = Knowledge::default();
            for step in steps.chunks_exact(4).filter(|step| step[1] == subgoal) {
                seen.see(crate::tool_choice::Choice { subgoal, tool: step[2], page: step[3] });
            }
            assert_eq!(*allowed, seen.allowed());
            n_refuted += usize::from(seen.works.is_empty() && !seen.fails.is_empty());
        }
    }
    assert!(n_refuted > 1000, "drills must be about refuted tools, found {n_refuted}");
}

#[test]
fn a_lesson_allows_what_its_items_say() {
    let mut rng = Rng::new(4);
    for _ in 0..100 {
        let lesson = Practice::lesson(Extent { max_attempts: 1, ..EXTENT }, &mut rng);
        let task = lesson.words.iter().position(|word| *word == Word::TASK).expect("a task");
        assert!((task - 1) / 4 <= 16);
        let (at, allowed) = lesson.choices[0];
        let (site, subgoal) = (lesson.words[at - 1], lesson.words[at]);
        let mut known = Knowledge::default();
        let items = lesson.words[1..task].chunks(4).map(|words| Item::parse(words).expect("an item"));
        let about = items.filter(|item| (item.site, item.subgoal) == (site, subgoal));
        about.for_each(|item| known.note(item.tool, item.works));
        assert_eq!(allowed, known.allowed());
        let last_word = lesson.written.last().expect("something is written").1;
        assert_eq!((lesson.verdicts.len(), last_word), (1, Word::END));
    }
}

/// What stands before `<bos>` must be steps and nothing else, or a model would be trained on what no log holds.
#[test]
fn past_steps_tell_what_their_items_say() {
    let mut rng = Rng::new(6);
    let mut n_past = 0;
    for _ in 0..200 {
        let quiz = Practice::quiz(12, 0.5, 1.0, &mut rng);
        let bos = quiz.words.iter().position(|word| *word == Word::BOS).expect("a beginning");
        let task = quiz.words.iter().position(|word| *word == Word::TASK).expect("a task");
        let logs: Vec<Word> =
            quiz.words[..bos].iter().copied().filter(|word| ![Word::JUDGE, Word::SUCCESS].contains(word)).collect();
        assert_eq!(logs.len() % 4, 0);
        let (at, allowed) = quiz.choices[0];
        let (site, subgoal) = (quiz.words[at - 1], quiz.words[at]);
        let mut known = Knowledge::default();
        for step in logs.chunks(4).filter(|step| (step[0], step[1]) == (site, subgoal)) {
            known.see(crate::tool_choice::Choice { subgoal, tool: step[2], page: step[3] });
            n_past += 1;
        }
        let items = quiz.words[bos + 1..task].chunks(4).filter_map(Item::parse);
        items.filter(|item| (item.site, item.subgoal) == (site, subgoal)).for_each(|i| known.note(i.tool, i.works));
        assert_eq!(allowed, known.allowed());
    }
    assert!(n_past > 100, "past steps about what is asked: {n_past}");
}

#[test]
fn a_contrast_is_written_of_all_attempts() {
    let mut rng = Rng::new(7);
    for _ in 0..100 {
        let mut drawn = Practice::default();
        drawn.contrast(EXTENT, &mut rng);
        let written: Vec<Word> = drawn.written.iter().map(|(_, word)| *word).collect();
        let (items, n_bad) = crate::tool_choice::parse_items(&written);
        assert!(n_bad == 0 && (1..=crate::tool_choice::N_CONTRASTED).contains(&items.len()), "{items:?}");
        assert!(drawn.written.iter().all(|(at, word)| drawn.words[at + 1] == *word));
    }
}

#[test]
fn reviews_follow_each_other_and_each_ends() {
    let mut rng = Rng::new(8);
    for _ in 0..50 {
        let drawn = Practice::reviews(EXTENT, &mut rng);
        let count = |word| drawn.words.iter().filter(|other| **other == word).count();
        assert_eq!((count(Word::BOS), count(Word::END)), (3, 3));
        assert!(drawn.written.iter().all(|(at, word)| drawn.words[at + 1] == *word));
    }
}

#[test]
fn a_few_steps_lower_the_loss() {
    let mut rng = Rng::new(5);
    let model = fresh(&mut rng).expect("a fresh model");
    let mut optimizer = crate::train::optimizer::Optimizer::new(&model).expect("an optimiser");
    let batch: Vec<Practice> =
        Recipe { n_steps: 100, is_finish: false }.batch(50, &mut rng).into_iter().take(4).collect();
    let mut seen = Vec::new();
    for step in 0..6 {
        let student = Student { model: &model, tokens: &WordTokens::alone() };
        let total = losses(student, &batch).and_then(|losses| losses.total()).expect("a loss");
        let grads = total.backward().expect("gradients");
        optimizer.step(&grads, Recipe { n_steps: 100, is_finish: false }.rates(step + 20)).expect("a step");
        seen.push(total.to_scalar::<f32>().expect("a number"));
    }
    assert!(seen[5] < 0.8 * seen[0], "{seen:?}");
}
