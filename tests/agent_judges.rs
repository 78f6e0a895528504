//! A judge says what it saw or abstains; what it cannot tell is never held against the agent, and when judges disagree a
//! success is not assumed.

use crate::kit;
use crate::kit::town::Door;
use lagdb::agent::{
    Agent, Attempt, Caution, Conversation, ConversationOptions, Decoding, Dialect, English, Ensemble, Judge,
    LanguageModel, LogUse, ModelJudge, Policy, Recollection, Reply, Scripted, Task, Verdict, Verifier,
};
use lagdb::{Error, Judgment, JudgmentSource, Outcome, Step};
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

/// Says what it says, and how likely its first token was.
struct Sure(&'static str, f64);

impl LanguageModel for Sure {
    fn identity(&self) -> String {
        "sure".to_owned()
    }
    fn open(&self, options: &ConversationOptions) -> lagdb::Result<Box<dyn Conversation>> {
        Ok(Box::new(Certain(Scripted::new([self.0]).open(options)?, self.1)))
    }
}

struct Certain(Box<dyn Conversation>, f64);

impl Conversation for Certain {
    fn attach(&mut self, log: &dyn lagdb::format::KvRead) -> lagdb::Result<LogUse> {
        self.0.attach(log)
    }
    fn say(&mut self, text: &str) -> lagdb::Result<()> {
        self.0.say(text)
    }
    fn say_tokens(&mut self, ids: &[u32]) -> lagdb::Result<()> {
        self.0.say_tokens(ids)
    }
    fn reply(&mut self, decoding: &Decoding, on_text: &mut dyn FnMut(&str)) -> lagdb::Result<Reply> {
        Ok(Reply { first_log_prob: Some(self.1.ln()), ..self.0.reply(decoding, on_text)? })
    }
    fn capture(&mut self, n: usize, element: lagdb::format::ElementType) -> lagdb::Result<lagdb::format::KvLog> {
        self.0.capture(n, element)
    }
}

/// One word, and that is the verdict.
struct Terse;

impl Dialect for Terse {
    fn name(&self) -> &str {
        "terse/1"
    }
    fn ask_verdict(&self, _: &Task, _: &[Step], _: Caution) -> String {
        "success or failure?".to_owned()
    }
    fn read_verdict(&self, reply: &str) -> Verdict {
        English.read_verdict(&format!("VERDICT: {reply}"))
    }
    fn verdict_first(&self) -> bool {
        true
    }
}

/// English gives its reasons first, so the probability of the first token was that of "The", stored as how sure the judge was;
/// attempts were ranked by it, and verdicts thrown away for it.
#[test]
fn a_judge_is_as_sure_as_the_token_of_its_verdict() {
    let mut door = Door::new("open the door", "sesame");
    let attempt = attempt(&mut door, &["sesame"]);
    let mut judged = |reply: &'static str, dialect: Arc<dyn Dialect>| {
        let judge = ModelJudge::new(Arc::new(Sure(reply, 0.25)), dialect).min_confidence(0.2);
        judge.judge(&mut door, &attempt).unwrap()
    };
    assert_eq!(judged("The door is open.\nVERDICT: success", Arc::new(English)).score, None);
    assert_eq!(judged("success", Arc::new(Terse)).score, Some(0.25));
    assert_eq!(judged("failure", Arc::new(Terse)).score, Some(0.75));
    let mut unsure = |reply: &'static str, dialect: Arc<dyn Dialect>| {
        let judge = ModelJudge::new(Arc::new(Sure(reply, 0.25)), dialect).min_confidence(0.5);
        judge.judge(&mut door, &attempt).unwrap().outcome
    };
    assert_eq!(unsure("success", Arc::new(Terse)), Outcome::Unknown);
    assert_eq!(unsure("It is open.\nVERDICT: success", Arc::new(English)), Outcome::Success);
}

#[test]
fn a_judge_that_cannot_be_asked_abstains_among_others() {
    let mut door = Door::new("open the door", "sesame");
    let attempt = attempt(&mut door, &["sesame"]);
    let gone: Arc<dyn Judge> = Arc::new(ModelJudge::new(Arc::new(Scripted::new([""; 0])), Arc::new(English)));
    let judgment = Ensemble::new([gone.clone(), Arc::new(Verifier)]).judge(&mut door, &attempt).unwrap();
    assert_eq!(judgment.outcome, Outcome::Success);
    assert!(Ensemble::new([gone.clone(), gone]).judge(&mut door, &attempt).is_err(), "nobody could be asked");
}
