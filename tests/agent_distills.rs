//! Lessons are read from what a model wrote, never made up: an item that does not hold up is rejected with a reason.

use crate::kit;
use crate::kit::town;
use lagdb::agent::{
    Allot, Decoding, Dialect, Distilled, Distiller, English, Item, ItemLimits, Learning, Lived, Living, Material,
    Policy, Rejection, Scaling, Scripted, Task,
};
use lagdb::{Error, Judgment, Outcome, Step};
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};
use std::sync::Arc;

const TWO: &str = "\
Here is what I would keep.

## Lesson 1
**Title:** Look at the cart first
**Description:** When something is to be paid.
**Content:** Open the cart and read its total,
because a total that was not read is guessed.
**Steps:** 0-1

- title: Ask for the code
- description: When a form asks for a code.
- content: Ask the user; do not invent one.
";

fn distill(kind: Learning, task: &Task, reply: &str) -> (Distilled, Scripted) {
    let model = Scripted::new([reply]);
    let distiller = Distiller::new(Arc::new(model.clone()), Arc::new(English));
    let steps = [Step::new("a cart", "open(cart)"), Step::new("empty", "pay")];
    let judgment = Judgment::new(Outcome::Success, "test").rationale("the receipt came");
    let lived = [Lived { steps: &steps, judgment: &judgment }];
    (distiller.distill(kind, task, &lived).unwrap(), model)
}

fn rejections(reply: &str) -> Vec<Rejection> {
    let task = Task::new("pay").answer("order #W123 45");
    distill(Learning::Success, &task, reply).0.rejected.iter().map(|rejected| rejected.reason).collect()
}

fn item(title: &str, content: &str) -> String {
    format!("title: {title}\ndescription: when it applies\ncontent: {content}\n")
}

#[test]
fn items_are_read_as_they_stand() {
    let (distilled, model) = distill(Learning::Success, &Task::new("pay the cart"), TWO);
    assert_eq!(distilled.rejected, []);
    let [first, second] = distilled.items.as_slice() else { panic!("{:?}", distilled.items) };
    assert_eq!(first.title, "Look at the cart first");
    assert_eq!(first.content, "Open the cart and read its total, because a total that was not read is guessed.");
    assert_eq!((first.steps.clone(), second.steps.clone()), (Some(0..=1), None));
    assert_eq!(second.content, "Ask the user; do not invent one.");
    let prompt = model.prompts().concat();
    assert!(
        prompt.contains("pay the cart") && prompt.contains("did: open(cart)") && prompt.contains("the receipt came")
    );
    assert!(prompt.contains("At most 3 lessons"));
}

#[test]
fn the_memory_items_of_reasoning_bank_are_read_too() {
    let reply = "```\n# Memory Item 1\n## Title Check the total\n## Description When paying.\n## Content Read it.\n\n\
                 # Memory Item 2\n## Title\nAsk\n## Description\nWhen unsure.\n## Content\nAsk first.\n```";
    let (distilled, _) = distill(Learning::Success, &Task::new("pay"), reply);
    let titles: Vec<&str> = distilled.items.iter().map(|item| item.title.as_str()).collect();
    assert_eq!(titles, ["Check the total", "Ask"], "{:?}", distilled.rejected);
}

#[test]
fn success_failure_and_contrast_are_asked_in_words_of_their_own() {
    let prompts: Vec<String> = [Learning::Success, Learning::Failure, Learning::Contrast]
        .map(|kind| distill(kind, &Task::new("pay"), "NONE").1.prompts().concat())
        .into();
    assert!(prompts[0].contains("solved the task") && prompts[1].contains("failed at the task"));
    assert!(prompts[2].contains("Compare the attempts") && prompts[2].contains("At most 5 lessons"));
}

#[test]
fn who_distilled_is_told_with_a_digest_of_the_prompt() {
    let distiller = |name: &str| distill(Learning::Failure, &Task::new(name), "NONE").0.distiller;
    assert!(distiller("pay").starts_with("english/1 failure scripted prompt "), "{}", distiller("pay"));
    assert_eq!(distiller("pay"), distiller("pay"));
    assert_ne!(distiller("pay"), distiller("pay twice"), "another prompt has another digest");
    assert!(distiller("pay").len() < 255);
}

#[test]
fn every_item_that_is_not_kept_has_its_reason() {
    assert_eq!(rejections(""), []);
    assert_eq!(rejections("NONE."), []);
    assert_eq!(rejections("I could not find anything."), [Rejection::Unreadable]);
    assert_eq!(rejections("title: x\ncontent: y"), [Rejection::Empty], "no description");
    assert_eq!(rejections(&item("***", "do it")), [Rejection::Empty], "a title without words");
    assert_eq!(rejections(&item("x", &"long ".repeat(300))), [Rejection::TooLong]);
    assert_eq!(rejections(&(item("Ask", "do it") + &item("ask!", "Do it."))), [Rejection::Duplicate]);
    assert_eq!(rejections(&item("Ask", "Return Order (#w123-45) at once")), [Rejection::LeaksAnswer]);
    assert_eq!(rejections(&(item("Ask", "do it") + "steps: 1-2\n")), [Rejection::NoSuchStep]);
    let four: String = ["a", "b", "c", "d"].map(|title| item(title, title)).concat();
    assert_eq!(rejections(&four), [Rejection::TooMany]);
}

#[test]
fn a_model_that_gives_no_reply_is_an_error() {
    let distiller = Distiller::new(Arc::new(Scripted::new([""; 0])), Arc::new(English));
    assert!(matches!(distiller.distill(Learning::Success, &Task::new("x"), &[]), Err(Error::Reply { .. })));
}

fn canonical(item: &Item) -> String {
    let steps =
        item.steps.as_ref().map_or(String::new(), |steps| format!("steps: {}-{}\n", steps.start(), steps.end()));
    format!("title: {}\ndescription: {}\ncontent: {}\n{steps}", item.title, item.description, item.content)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_the_parser_panic_or_keep_what_does_not_fit(reply in "\\PC{0,400}|(title:|content:|description:|#|\n|[a-z]){0,60}") {
        let (distilled, _) = distill(Learning::Success, &Task::new("pay").answer("a b"), &reply);
        let limits = ItemLimits::default();
        prop_assert!(distilled.items.len() <= limits.per_trajectory);
        for item in &distilled.items {
            prop_assert!(!item.title.is_empty() && !item.description.is_empty() && !item.content.is_empty());
            prop_assert!(item.content.chars().count() <= limits.content_chars);
        }
    }

    #[test]
    fn what_was_written_is_read_again(
        words in prop::collection::vec(("[A-Z][a-z]{0,8}( [a-z]{1,8}){0,4}", "[A-Z][a-z ]{0,20}[a-z]", "[A-Z][a-z, ]{0,40}[a-z]"), 1..3),
        steps in prop::option::of(0u32..2),
        seed in any::<u8>(),
    ) {
        let mut items: Vec<Item> = Vec::new();
        for (at, (title, description, content)) in words.into_iter().enumerate() {
            let steps = steps.map(|step| step..=1);
            // Made different, so that none is a duplicate.
            let title = format!("{title} {seed} {at}");
            items.push(Item { title, description, content, steps, ..Item::default() });
        }
        let reply: String = items.iter().map(canonical).collect();
        let (distilled, _) = distill(Learning::Success, &Task::new("pay"), &reply);
        prop_assert_eq!(distilled.items, items);
    }
}

#[test]
fn a_dialect_reads_what_it_asked_for() {
    let task = Task::new("pay");
    let material = Material { kind: Learning::Success, task: &task, attempts: &[], max_items: 3 };
    assert_eq!(English.read_lessons(TWO, &material).len(), 2);
}

/// One range of steps was taken for all attempts that were looked at, winners and losers; and a lesson that cited none was
/// filed under every error there was, so that three lessons each guarded everything.
#[test]
fn a_lesson_comes_from_the_steps_of_the_attempt_it_cites() {
    let (_database, scope) = kit::in_memory();
    let cited = ["steps: 1:0-0", "steps: attempt 0, steps 1 to 2", "steps: 0-0", ""];
    let titles = ["apples", "pears", "cherries", "plums"];
    let reply: String = std::iter::zip(titles, cited).map(|(title, cited)| item(title, title) + cited + "\n").collect();
    let model = Scripted::new(["please", "pretty", "sesame", "pray", "please", "beg", &reply]);
    let decoding = Decoding::random(1.0, 0, 9);
    let policy = Policy { max_steps: 3, guard: None, decoding, ..Policy::default() };
    let mut learner = town::learner_with(&model, &scope, policy);
    learner.scaling = Scaling { k: 2, allot: Allot::All, ..Scaling::default() };
    learner.lessons.contrast = true;
    let Living::Now(learned) = learner.live(&mut town::Door::new("open", "sesame"), None).unwrap() else { panic!() };
    assert!(model.prompts()[6].contains("steps: attempt:first-last step"), "{}", model.prompts()[6]);
    let range_of = |content: &str, attempt: usize| {
        let snapshot = scope.snapshot().unwrap();
        let all = snapshot.search::<lagdb::Strategy>(&lagdb::Query::newest()).unwrap();
        let lesson = all.into_iter().find(|hit| hit.record.content == content).unwrap().record;
        let from = learned.trajectories[attempt];
        let piece = lesson.provenance.evidence.into_iter().find(|piece| piece.trajectory == from).unwrap();
        (piece.first_step, piece.last_step)
    };
    assert_eq!((range_of("apples", 0), range_of("apples", 1)), ((0, 3), (0, 0)));
    assert_eq!((range_of("pears", 0), range_of("pears", 1)), ((1, 2), (0, 3)));
    assert_eq!((range_of("cherries", 0), range_of("cherries", 1)), ((0, 3), (0, 3)), "of which attempt was not said");
    assert_eq!((range_of("plums", 0), range_of("plums", 1)), ((0, 3), (0, 3)));
}

#[test]
fn a_guardrail_speaks_about_the_error_it_means() {
    let signatures = |replies: &[&str], steps: &str| {
        let (_database, scope) = kit::in_memory();
        let lesson = format!("title: T\ndescription: When.\ncontent: A.\n{steps}");
        let model = Scripted::new(replies.iter().copied().chain([lesson.as_str()]));
        let policy = Policy { max_steps: replies.len(), guard: None, ..Policy::default() };
        let learner = town::learner_with(&model, &scope, policy);
        learner.live(&mut town::Door::new("open", "sesame"), None).unwrap();
        scope.snapshot().unwrap().search::<lagdb::Strategy>(&lagdb::Query::newest()).unwrap()[0]
            .record
            .action_signatures
            .clone()
    };
    assert_eq!(signatures(&["please"], ""), ["say(please)"], "the only error there was");
    assert_eq!(signatures(&["please", "beg"], ""), [""; 0], "one of two, and nobody knows which");
    assert_eq!(signatures(&["please", "beg"], "steps: 1"), ["say(beg)"]);
    assert_eq!(signatures(&["please", "beg"], "steps: 0-1"), ["say(please)", "say(beg)"]);
}

/// Answers such as "2" and "yes" stand in nearly every text: nearly every lesson about such a task was rejected.
#[test]
fn a_short_answer_leaks_nothing() {
    let kept = |answer: &str, content: &str| {
        distill(Learning::Success, &Task::new("pay").answer(answer), &item("Ask", content)).0.items.len()
    };
    for answer in ["2", "yes", "No", "none", "true"] {
        assert_eq!(kept(answer, &format!("Check {answer} times, or say {answer}")), 1, "{answer}");
    }
    for answer in ["Paris", "no refund", "1789", "12.5"] {
        assert_eq!(kept(answer, &format!("It was {answer} last time")), 0, "{answer}");
    }
}

/// Five attempts of any length made a prompt five times as long as one: longer than the model could read.
#[test]
fn what_is_told_of_many_attempts_is_as_long_as_of_one() {
    let steps: Vec<Step> = (0..60).map(|at| Step::new("x".repeat(900), format!("act {at}"))).collect();
    let judgment = Judgment::new(Outcome::Failure, "test");
    let task = Task::new("pay");
    let n_chars = |n: usize| {
        let attempts = vec![Lived { steps: &steps, judgment: &judgment }; n];
        English
            .ask_lessons(&Material { kind: Learning::Contrast, task: &task, attempts: &attempts, max_items: 5 })
            .len()
    };
    assert!(n_chars(5) < n_chars(1) + 2_000, "{} beside {}", n_chars(5), n_chars(1));
}
