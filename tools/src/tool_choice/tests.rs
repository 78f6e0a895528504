//! The invariants of the tool-choice world.

use super::*;
use crate::world::Rng;
use std::collections::BTreeSet;

fn word(text: &str) -> Word {
    Word::parse(text).expect("a word of the world")
}

fn choice(subgoal: &str, tool: &str, page: &str) -> Choice {
    Choice { subgoal: word(subgoal), tool: word(tool), page: word(page) }
}

fn english(items: Vec<Item>) -> Vec<String> {
    items.into_iter().map(Item::english).collect()
}

#[test]
fn a_world_has_four_sites_of_four_subgoals_and_its_tasks_stay_in_it() {
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let world = ToolWorld::draw(&mut rng);
        let pairs: BTreeSet<_> = world.pairs().iter().map(|(site, subgoal, _)| (*site, *subgoal)).collect();
        let sites: BTreeSet<_> = pairs.iter().map(|(site, _)| *site).collect();
        assert_eq!((pairs.len(), sites.len()), (16, 4));
        for _ in 0..20 {
            let task = world.task(&mut rng);
            assert!((1..=3).contains(&task.subgoals.len()));
            let different: BTreeSet<_> = task.subgoals.iter().collect();
            assert_eq!(different.len(), task.subgoals.len());
            assert!(task.subgoals.iter().all(|subgoal| world.right_tool(task.site, *subgoal).is_some()));
        }
    }
}

#[test]
fn every_tool_works_somewhere_so_no_weight_can_know_one() {
    let tools: BTreeSet<Word> = (0..20).map(|seed| ToolWorld::draw(&mut Rng::new(seed)).pairs()[0].2).collect();
    assert_eq!(tools.len(), N_TOOLS);
}

#[test]
fn the_same_seed_gives_the_same_tasks() {
    let tasks = |seed| {
        let mut rng = Rng::new(seed);
        let world = ToolWorld::draw(&mut rng);
        (0..10).map(|_| world.task(&mut rng)).collect::<Vec<_>>()
    };
    assert_eq!(tasks(3), tasks(3));
    assert_ne!(tasks(3), tasks(4));
}

#[test]
fn pages_come_as_often_as_said() {
    let mut rng = Rng::new(1);
    let subgoal = word("search");
    let mut share = |right: bool, wanted: &dyn Fn(Word) -> bool| {
        (0..20_000).filter(|_| wanted(page(subgoal, right, &mut rng))).count() as f64 / 20_000.0
    };
    let near = |share: f64, expected: f64| assert!((share - expected).abs() < 0.012, "{share}, not {expected}");
    near(share(true, &|page| page == subgoal), 0.92);
    near(share(true, &|page| page == Word::BLANK), 0.08);
    near(share(false, &|page| page == subgoal), 0.03);
    near(share(false, &|page| page == Word::ERR), 0.40);
    near(share(false, &|page| page.is_subgoal() && page != subgoal), 0.49);
}

#[test]
fn the_teacher_uses_what_works_and_is_not_refuted() {
    let mut known = Knowledge::default();
    assert_eq!(known.allowed(), Tools::ALL);
    known.note(word("api"), false);
    assert_eq!(known.allowed().numbers().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    known.note(word("menu"), true);
    assert_eq!(known.allowed().numbers().collect::<Vec<_>>(), [1]);
    known.see(choice("search", "menu", "blank"));
    assert_eq!(known.allowed().len(), 1, "a blank page shows nothing");
    known.see(choice("search", "menu", "err"));
    assert_eq!(known.allowed().numbers().collect::<Vec<_>>(), [2, 3, 4, 5], "menu is recommended and refuted");
    Word::tools().for_each(|tool| known.note(tool, false));
    assert_eq!(known.allowed(), Tools::ALL, "nothing is left, so anything goes");
}

#[test]
fn lessons_follow_the_label_that_they_are_given() {
    let delta = word("Delta");
    let (good, bad, blank) =
        (choice("search", "api", "search"), choice("pay", "menu", "err"), choice("sort", "form", "blank"));
    let learned = |choices: &[Choice], success| english(lessons(delta, choices, success));
    assert_eq!(learned(&[good, bad], true), ["Use api for search at Delta", "Use menu for pay at Delta"]);
    assert_eq!(learned(&[good, bad], false), ["Use api for search at Delta", "Avoid menu for pay at Delta"]);
    assert_eq!(
        learned(&[blank, bad], false),
        ["Avoid menu for pay at Delta"],
        "a blank page is not blamed beside an error"
    );
    assert_eq!(learned(&[good, blank], false), ["Use api for search at Delta", "Avoid form for sort at Delta"]);
    assert_eq!(learned(&[good], false), ["Avoid api for search at Delta"], "somebody must be blamed");
}

#[test]
fn prompts_are_what_their_description_says_and_the_tokenizer_keeps_them() {
    let task = ToolTask { site: word("Delta"), subgoals: vec![word("search"), word("pay")] };
    let item = Item { site: word("Delta"), subgoal: word("pay"), tool: word("menu"), works: false };
    let attempt = vec![choice("search", "api", "search"), choice("pay", "menu", "err")];
    let act = task.act_prompt(&[item], std::slice::from_ref(&attempt));
    assert_eq!(
        text(&act),
        "<bos> Delta pay menu fails task Delta search pay act Delta search api search Delta pay menu err again Delta search"
    );
    let write = task.write_prompt(&attempt, false);
    assert_eq!(
        text(&write),
        "<bos> task Delta search pay act Delta search api search Delta pay menu err judge failure write"
    );
    assert!(write.starts_with(&task.judge_prompt(&attempt)));
    let tokenizer: tokenizers::Tokenizer = tokenizer_json().to_string().parse().expect("a valid tokenizer file");
    assert_eq!(tokenizer.get_vocab_size(true), N_WORDS);
    for prompt in [act, write] {
        let ids: Vec<u32> = prompt.iter().map(|word| word.id()).collect();
        assert_eq!(tokenizer.encode(text(&prompt), true).expect("known words").get_ids(), ids);
        assert_eq!(words(&text(&prompt)), Some(prompt));
    }
}

#[test]
fn what_is_no_item_is_counted_and_left_out() {
    let written =
        words("Delta search api works Delta pay works menu Delta sort form fails pay <end> act").expect("words");
    let (items, n_bad) = parse_items(&written);
    assert_eq!(english(items), ["Use api for search at Delta", "Avoid form for sort at Delta"]);
    assert_eq!(n_bad, 2);
    assert_eq!(parse_items(&[]), (Vec::new(), 0));
}
