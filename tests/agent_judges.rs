//! A judge says what it saw or abstains; what it cannot tell is never held against the agent, and when judges disagree a
//! success is not assumed.

use crate::kit;
use crate::kit::town::Door;
use lagdb::agent::{
    Agent, Attempt, Caution, English, Ensemble, Judge, ModelJudge, Policy, Recollection, Scripted, Verifier,
};
use lagdb::{Error, Judgment, JudgmentSource, Outcome};
use std::sync::Arc;

fn attempt(door: &mut Door, replies: &[&str]) -> Attempt {
    let (_database, scope) = kit::in_memory();
    let policy = Policy { max_steps: 1, ..Policy::default() };
    Agent::new(Scripted::new(replies.iter().copied()), scope, policy).solve(door, &Recollection::default()).unwrap()
}

fn judged(reply: &str) -> (Judgment, Scripted) {
    let mut door = Door::new("open the door", "sesame");
    let attempt = attempt(&mut door, &["sesame"]);
    let model = Scripted::new([reply]);
    let judge = ModelJudge::new(Arc::new(model.clone()), Arc::new(English));
    (judge.judge(&mut door, &attempt).unwrap(), model)
}

#[test]
fn a_verdict_is_a_line_of_its_own() {
    for (reply, outcome) in [
        ("The door opened.\nVERDICT: success", Outcome::Success),
        ("**Verdict:** failure.", Outcome::Failure),
        ("> VERDICT: partial\n", Outcome::Partial),
        ("VERDICT: success\nAgain: \nVERDICT: success", Outcome::Success),
    ] {
        assert_eq!(judged(reply).0.outcome, outcome, "{reply}");
    }
    let (judgment, model) = judged("It opened.\nVERDICT: success");
    assert_eq!(judgment.source, JudgmentSource::Model);
    assert!(judgment.evaluator.contains("english/1") && judgment.evaluator.contains("scripted"));
    assert!(judgment.rationale.contains("It opened."));
    assert_eq!(model.decodings()[0].temperature, 0.0);
    let prompt = &model.prompts()[0];
    assert!(prompt.contains("open the door") && prompt.contains("did: sesame") && prompt.contains("[1] saw: open"));
}

#[test]
fn what_is_no_verdict_is_an_abstention_and_never_a_failure() {
    for reply in [
        "",
        "success",
        "I think this was a success.",
        "VERDICT: success, although the cart is empty",
        "VERDICT: maybe",
        "VERDICT:",
        "VERDICT: success\nVERDICT: failure",
        "VERDICT: unknown",
        "VERDICT success",
    ] {
        let judgment = judged(reply).0;
        assert_eq!(judgment.outcome, Outcome::Unknown, "{reply}");
        assert!(judgment.rationale.starts_with("abstained: "), "{}", judgment.rationale);
        judgment.check().unwrap();
    }
}

#[test]
fn a_model_that_is_not_there_is_an_error() {
    let mut door = Door::new("open the door", "sesame");
    let attempt = attempt(&mut door, &["sesame"]);
    let judge = ModelJudge::new(Arc::new(Scripted::new([""; 0])), Arc::new(English));
    assert!(matches!(judge.judge(&mut door, &attempt), Err(Error::Reply { .. })));
}

#[test]
fn a_model_is_not_asked_about_a_world_that_broke_down() {
    let mut door = Door { breaks_at: Some(0), ..Door::new("open the door", "sesame") };
    let attempt = attempt(&mut door, &["sesame"]);
    let model = Scripted::new(["VERDICT: failure"]);
    let judgment = ModelJudge::new(Arc::new(model.clone()), Arc::new(English)).judge(&mut door, &attempt).unwrap();
    assert_eq!((judgment.outcome, model.n_left()), (Outcome::Unknown, 1));
}

#[test]
fn a_false_success_is_avoided_by_default() {
    let mut door = Door { verifies: true, ..Door::new("open the door", "sesame") };
    let attempt = attempt(&mut door, &["please"]);
    let says = |verdict: &str| -> Arc<dyn Judge> {
        let reply = format!("VERDICT: {verdict}");
        Arc::new(ModelJudge::new(Arc::new(Scripted::new([reply])), Arc::new(English)))
    };
    let fooled = Ensemble::new([says("success"), says("success"), Arc::new(Verifier)]);
    let judgment = fooled.judge(&mut door, &attempt).unwrap();
    assert_eq!(judgment.outcome, Outcome::Unknown, "two of three are not enough");
    assert!(judgment.rationale.contains("door: failure"), "{}", judgment.rationale);
    let split = Ensemble::new([says("success"), Arc::new(Verifier)]).judge(&mut door, &attempt).unwrap();
    assert_eq!(split.outcome, Outcome::Failure);
    let even = Ensemble::new([says("success"), says("success"), Arc::new(Verifier)]).caution(Caution::Even);
    assert_eq!(even.judge(&mut door, &attempt).unwrap().outcome, Outcome::Success);
    let prompt = |caution| {
        let model = Scripted::new(["VERDICT: failure"]);
        let judge = ModelJudge::new(Arc::new(model.clone()), Arc::new(English)).caution(caution);
        judge.judge(&mut Door::new("open the door", "sesame"), &attempt).unwrap();
        model.prompts().concat()
    };
    assert!(prompt(Caution::default()).contains("a mistaken success does more harm"));
    assert!(!prompt(Caution::Even).contains("a mistaken success does more harm"));
}
