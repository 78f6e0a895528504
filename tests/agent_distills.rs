//! Lessons are read from what a model wrote, never made up: an item that does not hold up is rejected with a reason.

use lagdb::agent::{
    Dialect, Distilled, Distiller, English, Item, ItemLimits, Learning, Lived, Material, Rejection, Scripted, Task,
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
