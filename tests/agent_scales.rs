//! A task can be tried several times: apart, or one attempt after another in one conversation. Attempts are judged one by one,
//! belong to one rollout group, and are contrasted together.

use crate::kit;
use crate::kit::town::{self, Door};
use lagdb::agent::{
    Allot, Decoding, Ending, English, Learned, Learner, Living, ModelJudge, Policy, Scaling, Scripted, TaskKey, Way,
};
use lagdb::{Error, Filter, Outcome, Query, Scope, Strategy, StrategyKind, Trajectory};
use std::sync::Arc;

const LESSON: &str = "title: Magic words\ndescription: When a door is shut.\ncontent: Say the word.\n";

fn learned(learner: &Learner, task: &str, number: u64) -> Learned {
    let key = TaskKey { stream: "doors".to_owned(), number };
    match learner.live(&mut Door::new(task, "sesame"), Some(&key)).unwrap() {
        Living::Now(learned) => *learned,
        Living::Earlier(ids) => panic!("{ids:?}"),
    }
}

fn scaled(model: &Scripted, scope: &Scope, way: Way, k: usize, allot: Allot) -> Learner {
    let policy = Policy { max_steps: 1, guard: None, decoding: Decoding::random(1.0, 0, 256), ..Policy::default() };
    let mut learner = Learner { scaling: Scaling { way, k, allot }, ..town::learner_with(model, scope, policy) };
    learner.recall.withhold = 0.0;
    learner.lessons.contrast = true;
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

/// Five attempts counted as five tasks: intervals were too narrow by the root of five, and a lesson was "well known" after one
/// task.
#[test]
fn however_often_a_task_is_tried_it_counts_once_for_a_lesson() {
    let (database, scope) = kit::in_memory();
    let mut tx = scope.begin().unwrap();
    let lesson = tx.put(&Strategy::new("Magic words", "When a door is shut.", "Say sesame.")).unwrap();
    let guardrail =
        Strategy::new("No pleading", "When a door is shut.", "It never helps.").action_signature("say(please)");
    let guardrail = tx.put(&Strategy { kind: StrategyKind::Guardrail, ..guardrail }).unwrap();
    for id in [lesson, guardrail] {
        tx.embed(id, &kit::embed("open the door")).unwrap();
    }
    tx.commit().unwrap();
    let model = Scripted::answering(|_, decoding| Some(if decoding.seed == 0 { "x" } else { "please" }.to_owned()));
    let mut learner = scaled(&model, &scope, Way::Parallel, 5, Allot::All);
    learner.distiller = None;
    let decoding = Decoding::random(1.0, 0, 256);
    let guard = Some(lagdb::agent::Guarding { withhold: 0.0, ..Default::default() });
    let policy = Policy { max_steps: 1, guard, decoding, ..Policy::default() };
    learner.agent = town::learner_with(&model, &scope, policy).agent;
    let learned = learned(&learner, "open the door", 0);
    assert_eq!(learned.attempts.len(), 5);
    let snapshot = scope.snapshot().unwrap();
    let n_given = |id| snapshot.strategy_stats(id).unwrap().unwrap().injected.n();
    assert_eq!(n_given(lesson), 1, "given before the first step of each, one task all the same");
    assert_eq!(n_given(guardrail), 1, "given before an action of four of them");
    let noted: Vec<usize> = learned.trajectories.iter().map(|id| snapshot.exposures(*id).unwrap().len()).collect();
    assert_eq!(noted, [1, 1, 0, 0, 0], "with the attempt that met it first");
    assert!(learned.attempts[4].attempt.warnings.len() == 1, "it was given there too");
    assert!(database.verify(&mut |_| {}).unwrap().is_sound());
}

/// A model that was out of reach, or out of room, in a later attempt threw away the attempts before it, and would have again
/// after every restart.
#[test]
fn a_model_that_breaks_down_in_a_later_attempt_ends_the_attempts_and_costs_none() {
    for way in [Way::Parallel, Way::Sequential] {
        let (_database, scope) = kit::in_memory();
        let learner =
            Learner { distiller: None, ..scaled(&Scripted::new(["please"]), &scope, way, 3, Allot::UntilSuccess) };
        let learned = learned(&learner, "open the door", 0);
        assert_eq!(outcomes(&learned), [Outcome::Failure, Outcome::Unknown]);
        assert!(
            matches!(&learned.attempts[1].attempt.ending, Ending::ModelFailed(why) if why.contains("script is over"))
        );
        assert_eq!((learned.best, learned.trajectories.len()), (0, 2), "what broke down is no answer");
        let judgment = &scope.snapshot().unwrap().judgments(learned.trajectories[1]).unwrap()[0];
        assert!(judgment.rationale.contains("script is over"), "{}", judgment.rationale);
    }
    let (_database, scope) = kit::in_memory();
    let learner = scaled(&Scripted::new([""; 0]), &scope, Way::Parallel, 3, Allot::All);
    let nothing = learner.live(&mut Door::new("open the door", "sesame"), None);
    assert!(matches!(nothing, Err(Error::Reply { .. })), "nothing was lived: {nothing:?}");
}

/// A refinement was told that the attempt before it had failed, also where the judge had abstained or called it a success.
#[test]
fn a_refinement_is_not_told_of_a_failure_that_nobody_found() {
    let told = |verdict: &str| {
        let (_database, scope) = kit::in_memory();
        let model = Scripted::new(["please", "please", "sesame"]);
        let verdict = format!("VERDICT: {verdict}");
        let judge = Scripted::answering(move |_, _| Some(verdict.clone()));
        let judge = Arc::new(ModelJudge::new(Arc::new(judge), Arc::new(English)));
        let learner = Learner { distiller: None, judge, ..scaled(&model, &scope, Way::Sequential, 3, Allot::All) };
        learned(&learner, "open the door", 0);
        let prompts = model.prompts();
        [prompts[1].clone(), prompts[2].clone()]
    };
    assert!(told("failure")[0].contains("did not hold up") && told("failure")[1].contains("what has failed"));
    assert!(told("partial").iter().all(|text| text.contains("Only a part of the task was done")));
    for verdict in ["unknown", "success", "nonsense"] {
        let told = told(verdict);
        assert!(told.iter().all(|text| text.contains("whether it was right or not")), "{verdict}: {told:?}");
        assert!(told.iter().all(|text| !text.contains("did not hold up") && !text.contains("failed")), "{told:?}");
    }
}

/// By default replies are the likeliest and attempts apart, so five attempts were five times the same, and five votes.
#[test]
fn greedy_attempts_apart_are_refused() {
    let (_database, scope) = kit::in_memory();
    let model = Scripted::answering(|_, _| Some("please".to_owned()));
    let scaling = Scaling { k: 3, ..Scaling::default() };
    let learner = Learner { scaling, ..town::learner_of_one_step(&model, &scope) };
    let refused = learner.live(&mut Door::new("open the door", "sesame"), None);
    assert!(matches!(refused, Err(Error::Invalid { what: "scaling", .. })), "{refused:?}");
    let scaling = Scaling { way: Way::Sequential, ..scaling };
    let learner = Learner { scaling, distiller: None, ..learner };
    assert_eq!(learned(&learner, "open the door", 0).attempts.len(), 3, "a refinement sees what was tried");
}

/// Two runs of one task in one millisecond had one group; the second was taken for the first and lost.
#[test]
fn two_runs_of_a_task_without_a_key_are_both_kept() {
    let database = lagdb::Database::options().clock(|| 1_000).in_memory().unwrap();
    let scope = database.scope("test").unwrap();
    let model = Scripted::answering(|_, _| Some("please".to_owned()));
    let learner = Learner { distiller: None, ..scaled(&model, &scope, Way::Parallel, 2, Allot::All) };
    for _ in 0..3 {
        let lived = learner.live(&mut Door::new("open the door", "sesame"), None).unwrap();
        assert!(matches!(lived, Living::Now(_)), "{lived:?}");
    }
    let snapshot = scope.snapshot().unwrap();
    let hits = snapshot.search::<Trajectory>(&Query::newest().limit(9)).unwrap();
    let groups: std::collections::BTreeSet<String> =
        hits.iter().map(|hit| hit.record.rollout.as_ref().unwrap().group.clone()).collect();
    assert_eq!((hits.len(), groups.len()), (6, 3));
}

#[test]
fn of_equal_verdicts_the_surest_counts_and_then_what_most_attempts_share() {
    let best = |actions: &[&'static str], sure: &'static [f64]| {
        let (_database, scope) = kit::in_memory();
        let model = Scripted::new(actions.iter().copied());
        let judge = Arc::new(Scored(std::sync::Mutex::new(sure.iter())));
        let learner =
            Learner { distiller: None, judge, ..scaled(&model, &scope, Way::Parallel, actions.len(), Allot::All) };
        learned(&learner, "open the door", 0).best
    };
    assert_eq!(best(&["a", "b", "c"], &[0.5, 0.9, 0.7]), 1);
    assert_eq!(best(&["a", "b", "b"], &[0.5, 0.5, 0.5]), 1);
    assert_eq!(best(&["a", "b", "c"], &[0.5, 0.5, 0.5]), 0);
}

/// Calls everything a success, and is as sure of it as it was told to be.
struct Scored(std::sync::Mutex<std::slice::Iter<'static, f64>>);

impl lagdb::agent::Judge for Scored {
    fn judge(
        &self,
        _: &mut dyn lagdb::agent::Environment,
        _: &lagdb::agent::Attempt,
    ) -> lagdb::Result<lagdb::Judgment> {
        let score = *self.0.lock().unwrap().next().unwrap();
        Ok(lagdb::Judgment::new(Outcome::Success, "test").score(score))
    }
}
