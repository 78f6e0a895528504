//! A task can be tried several times: apart, or one attempt after another in one conversation. Attempts are judged one by one,
//! belong to one rollout group, and are contrasted together.

use crate::kit;
use crate::kit::town::{self, Door};
use lagdb::agent::{Allot, Decoding, Learned, Learner, Living, Scaling, Scripted, TaskKey, Way};
use lagdb::{Filter, Outcome, Query, Scope, Strategy, StrategyKind, Trajectory};

const LESSON: &str = "title: Magic words\ndescription: When a door is shut.\ncontent: Say the word.\n";

fn learned(learner: &Learner, task: &str, number: u64) -> Learned {
    let key = TaskKey { stream: "doors".to_owned(), number };
    match learner.live(&mut Door::new(task, "sesame"), Some(&key)).unwrap() {
        Living::Now(learned) => *learned,
        Living::Earlier(ids) => panic!("{ids:?}"),
    }
}

fn scaled(model: &Scripted, scope: &Scope, way: Way, k: usize, allot: Allot) -> Learner {
    let mut learner = Learner { scaling: Scaling { way, k, allot }, ..town::learner_of_one_step(model, scope) };
    learner.recall.withhold = 0.0;
    learner
}

fn outcomes(learned: &Learned) -> Vec<Outcome> {
    learned.attempts.iter().map(|one| one.judgment.outcome).collect()
}

#[test]
fn attempts_apart_are_one_group_and_one_contrast() {
    let (database, scope) = kit::in_memory();
    let model = Scripted::new(["please", "sesame", "please", LESSON]);
    let learned = learned(&scaled(&model, &scope, Way::Parallel, 3, Allot::All), "open the door", 7);
    assert_eq!(outcomes(&learned), [Outcome::Failure, Outcome::Success, Outcome::Failure]);
    assert_eq!(learned.best, 1);
    let snapshot = scope.snapshot().unwrap();
    let group = snapshot.search::<Trajectory>(&Query::newest().filter(Filter::group("doors#7"))).unwrap();
    let mut attempts: Vec<u32> = group.iter().map(|hit| hit.record.rollout.as_ref().unwrap().attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [0, 1, 2]);
    // One question about all three, and one lesson with evidence from each.
    let prompts = model.prompts();
    assert_eq!(prompts.len(), 4);
    assert!(prompts[3].contains("Attempt 0, judged failure") && prompts[3].contains("Attempt 1, judged success"));
    let lesson = &snapshot.search::<Strategy>(&Query::newest()).unwrap()[0].record;
    assert_eq!((lesson.kind, lesson.provenance.evidence.len()), (StrategyKind::Contrast, 3));
    // Apart: none sees another, and each has dice of its own.
    assert_eq!(prompts[0], prompts[1]);
    let seeds: Vec<u64> = model.decodings().iter().map(|decoding: &Decoding| decoding.seed).collect();
    assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2], "{seeds:?}");
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

#[test]
fn attempts_stop_at_a_success_unless_all_are_wanted() {
    let (_database, scope) = kit::in_memory();
    let model = Scripted::new(["please", "sesame", LESSON, "unused"]);
    let learned = learned(&scaled(&model, &scope, Way::Parallel, 5, Allot::UntilSuccess), "open the door", 0);
    assert_eq!((outcomes(&learned), learned.best, model.n_left()), (vec![Outcome::Failure, Outcome::Success], 1, 1));
}

#[test]
fn refinements_see_what_was_tried_and_are_each_checked() {
    let (_database, scope) = kit::in_memory();
    let model = Scripted::new(["please", "pretty please", "sesame", LESSON]);
    let learned = learned(&scaled(&model, &scope, Way::Sequential, 3, Allot::UntilSuccess), "open the door", 0);
    assert_eq!(outcomes(&learned), [Outcome::Failure, Outcome::Failure, Outcome::Success]);
    let prompts = model.prompts();
    assert_eq!(prompts[0], "task: open the door\n");
    assert!(prompts[1].starts_with("locked\n\nThat attempt"), "what was seen last is read before: {}", prompts[1]);
    assert!(prompts[1].contains("did not hold up") && prompts[1].ends_with("task: open the door\n"), "{}", prompts[1]);
    assert!(prompts[2].contains("Check once more"));
    assert_eq!(learned.attempts[1].attempt.steps[0].action, "pretty please");
    let all = Scripted::answering(|all, _| Some(if all.contains("please") { "sesame" } else { "please" }.to_owned()));
    let mut learner = scaled(&all, &scope, Way::Sequential, 2, Allot::UntilSuccess);
    learner.distiller = None;
    learner.recall.limit = 0;
    assert_eq!(
        outcomes(&self::learned(&learner, "open another door", 1)),
        [Outcome::Failure, Outcome::Success],
        "the conversation goes on"
    );
}

#[test]
fn attempts_that_all_fail_are_looked_at_one_by_one() {
    let (_database, scope) = kit::in_memory();
    let model = Scripted::new(["a", "b", LESSON, "NONE"]);
    let learned = learned(&scaled(&model, &scope, Way::Parallel, 2, Allot::All), "open the door", 0);
    assert_eq!(learned.distilled.len(), 2);
    assert!(model.prompts()[2].contains("failed at the task"));
}

#[test]
fn hard_tasks_get_more_attempts_than_those_that_are_usually_solved() {
    let attempts = |says: &'static str| {
        let (_database, scope) = kit::in_memory();
        for number in 0..8 {
            learned(&town::saying(says, &scope), &format!("open door {number}"), number);
        }
        let model = Scripted::answering(|_, _| Some("please".to_owned()));
        let mut learner = scaled(&model, &scope, Way::Parallel, 9, Allot::ByDifficulty);
        learner.distiller = None;
        learned(&learner, "open door 99", 99).attempts.len()
    };
    let (easy, hard) = (attempts("sesame"), attempts("please"));
    assert_eq!((easy, hard), (2, 9), "nine of ten, one of ten");
}
