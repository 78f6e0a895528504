//! An agent acts, its world answers, and both are in the trajectory as they were; a world that breaks down is no failure of
//! the agent.

use crate::kit;
use crate::kit::town::Door;
use lagdb::agent::{
    Agent, Attempt, Capture, ConversationOptions, Decoding, Ending, Environment, Judge, LanguageModel, Policy, Recall,
    Recollection, Scripted, Verifier,
};
use lagdb::format::ElementType;
use lagdb::{Error, JudgmentSource, Outcome, Step};

fn agent(model: Scripted, policy: Policy) -> Agent {
    let (_, scope) = kit::in_memory();
    Agent::new(model, scope, policy)
}

fn solve(replies: &[&str], door: &mut Door) -> Attempt {
    let policy = Policy { max_steps: 2, ..Policy::default() };
    agent(Scripted::new(replies.iter().copied()), policy).solve(door, &Recollection::default()).unwrap()
}

#[test]
fn the_trajectory_is_what_was_seen_and_said() {
    let mut door = Door::new("open the door", "sesame");
    let attempt = solve(&["try please", "try sesame"], &mut door);
    let first =
        Step::new("task: open the door\n", "try please").action_signature("say(please)").error_signature("locked");
    let second = Step::new("locked\n", "try sesame").action_signature("say(sesame)");
    assert_eq!(attempt.steps, [first, second, Step::new("open\n", "")]);
    assert_eq!((attempt.ending.clone(), attempt.n_actions()), (Ending::Done, 2));
    assert_eq!(Verifier.judge(&mut door, &attempt).unwrap().outcome, Outcome::Success);
}

#[test]
fn a_task_that_does_not_end_is_left_at_the_limit() {
    let attempt = solve(&["a", "b", "never said"], &mut Door::new("open the door", "sesame"));
    assert_eq!((attempt.ending.clone(), attempt.n_actions()), (Ending::StepLimit, 2));
}

#[test]
fn a_world_that_breaks_down_is_recorded_as_that() {
    let (_database, scope) = kit::in_memory();
    let agent = Agent::new(Scripted::new(["a", "b"]), scope.clone(), Policy::default());
    let mut door = Door { breaks_at: Some(1), ..Door::new("open the door", "sesame") };
    let attempt = agent.solve(&mut door, &Recollection::default()).unwrap();
    assert_eq!(attempt.ending, Ending::EnvironmentFailed("the lock is jammed".into()));
    assert_eq!(attempt.n_actions(), 2, "the action that met the failure is told");
    let judgment = Verifier.judge(&mut door, &attempt).unwrap();
    assert_eq!((judgment.outcome, judgment.source), (Outcome::Unknown, JudgmentSource::Environment));
    assert!(judgment.rationale.contains("jammed"), "{}", judgment.rationale);
    let id = agent.remember(door.task(), &attempt, &judgment, 0).unwrap();
    let snapshot = scope.snapshot().unwrap();
    assert_eq!(snapshot.outcome(id).unwrap(), Outcome::Unknown);
    assert_eq!(snapshot.get(id).unwrap().unwrap().domain.as_deref(), Some("doors"));
}

#[test]
fn a_world_that_cannot_tell_leaves_the_outcome_unknown() {
    let mut door = Door { verifies: false, ..Door::new("open the door", "sesame") };
    let attempt = solve(&["sesame"], &mut door);
    assert_eq!(Verifier.judge(&mut door, &attempt).unwrap().outcome, Outcome::Unknown);
}

#[test]
fn a_model_that_says_nothing_is_an_error_and_nothing_was_lived() {
    let agent = agent(Scripted::new([""; 0]), Policy::default());
    let error = agent.solve(&mut Door::new("open the door", "sesame"), &Recollection::default()).unwrap_err();
    assert!(matches!(error, Error::Reply { .. }), "{error}");
    assert!(agent.scope().snapshot().unwrap().is_empty::<lagdb::Trajectory>().unwrap());
}

#[test]
fn a_model_without_kv_logs_refuses_them() {
    let log = kit::kv_log(&kit::model(1), 2, 1);
    let mut conversation = Scripted::new(["hi"]).open(&ConversationOptions::default()).unwrap();
    assert!(matches!(conversation.attach(&log), Err(Error::KvLogsUnsupported { .. })));
    assert!(matches!(conversation.say_tokens(&[1]), Err(Error::KvLogsUnsupported { .. })));
    let capture = Some(Capture { lead_in_tokens: 0, element: ElementType::F16 });
    let agent = agent(Scripted::new(["sesame"]), Policy { capture, ..Policy::default() });
    let mut door = Door::new("open the door", "sesame");
    let recalled = agent.recall(door.task(), Recall::KvLogs, 1, &[]);
    assert!(matches!(recalled, Err(Error::KvLogsUnsupported { .. })));
    assert!(agent.recall(door.task(), Recall::Nothing, 1, &[]).unwrap().kv_logs.is_empty());
    let solved = agent.solve(&mut door, &Recollection::default());
    assert!(matches!(solved, Err(Error::KvLogsUnsupported { .. })));
}

#[test]
fn every_step_has_dice_of_its_own_and_the_first_has_the_seed() {
    let model = Scripted::new(["a", "b", "sesame"]);
    let policy = Policy { decoding: Decoding::random(1.0, 7, 4), ..Policy::default() };
    agent(model.clone(), policy).solve(&mut Door::new("open", "sesame"), &Recollection::default()).unwrap();
    let seeds: Vec<u64> = model.decodings().iter().map(|decoding| decoding.seed).collect();
    assert_eq!(seeds.first(), Some(&7));
    assert!(seeds.len() == 3 && seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2], "{seeds:?}");
    assert_eq!(model.prompts(), ["task: open\n", "locked\n", "locked\n"]);
}
