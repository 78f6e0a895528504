//! The invariants of the demo world.

use super::*;
use std::collections::BTreeSet;

fn parse(words: &str) -> Vec<Word> {
    words.split(' ').map(|word| Word::parse(word).expect("a word of the demo world")).collect()
}

fn nine_sources(world: &mut World) -> Vec<SourceTask> {
    (0..9).map(|_| world.source_task(TaskSize::new(4, 4)).expect("a world holds nine")).collect()
}

#[test]
fn a_world_holds_nine_sources_and_every_follow_up() {
    for seed in 0..20 {
        let mut world = World::new(seed, Pairs::HeldOut);
        let sources = nine_sources(&mut world);
        for source in &sources {
            for kind in Kind::ALL {
                for through in [Through::Bridge, Through::SamePerson] {
                    let task = world.follow_up(source, kind, through).expect("a world holds a follow-up");
                    assert_eq!(task.world.answer(task.question), Some((task.org, task.answer)));
                    assert!(task.is_answered_by(&task.response()));
                }
            }
        }
    }
}

#[test]
fn no_two_sources_share_an_entity() {
    let sources = nine_sources(&mut World::new(3, Pairs::HeldOut));
    let subjects: Vec<BTreeSet<Word>> =
        sources.iter().map(|source| source.facts.iter().map(|fact| fact.subject).collect()).collect();
    let all: BTreeSet<Word> = subjects.iter().flatten().copied().collect();
    assert_eq!(all.len(), 9 * 8);
}

#[test]
fn training_worlds_contain_no_held_out_pair() {
    for seed in 0..50 {
        let mut world = World::new(seed, Pairs::Training);
        for source in nine_sources(&mut world) {
            assert!(source.org_facts().all(|fact| !is_held_out(fact.subject, fact.value)));
        }
    }
}

#[test]
fn held_out_worlds_contain_almost_only_held_out_pairs() {
    let facts: Vec<Fact> = (0..50)
        .flat_map(|seed| nine_sources(&mut World::new(seed, Pairs::HeldOut)))
        .flat_map(|source| source.facts)
        .collect();
    let share = |of: &dyn Fn(&Fact) -> bool| {
        let chosen: Vec<_> = facts.iter().filter(|fact| of(fact)).collect();
        chosen.iter().filter(|fact| is_held_out(fact.subject, fact.value)).count() as f64 / chosen.len() as f64
    };
    assert!(share(&|fact| fact.relation != Relation::Employer) > 0.97);
    assert!(share(&|fact| fact.relation == Relation::Employer) > 0.85);
}

#[test]
fn each_kind_needs_what_its_name_says() {
    let mut world = World::new(5, Pairs::HeldOut);
    let source = world.source_task(TaskSize::new(3, 3)).expect("an empty world has room");
    let mut needs = |kind, through| {
        let task = world.follow_up(&source, kind, through).expect("room for a follow-up");
        let needed = task.world.fact(task.org, task.question.attribute).expect("the world knows the answer");
        let spelled = source.spelled_facts().contains(&needed);
        (task.facts.contains(&needed), spelled, source.facts.contains(&needed))
    };
    assert_eq!(needs(Kind::Own, Through::Bridge), (true, false, false));
    assert_eq!(needs(Kind::Spelled, Through::Bridge), (false, true, true));
    assert_eq!(needs(Kind::Spelled, Through::SamePerson), (false, true, true));
    assert_eq!(needs(Kind::Unspelled, Through::Bridge), (false, false, true));
    assert_eq!(needs(Kind::Unspelled, Through::SamePerson), (false, false, true));
    assert_eq!(needs(Kind::Absent, Through::Bridge), (false, false, false));
}

#[test]
fn the_environment_answers_a_look_up() {
    let mut world = World::new(5, Pairs::HeldOut);
    let source = world.source_task(TaskSize::new(2, 2)).expect("an empty world has room");
    let facts = world.answer_lookup(&[Word::THINK, source.org, Word::CITY, Word::LOOKUP]).expect("a known entity");
    assert_eq!(facts.len(), 3);
    assert!(facts.iter().all(|fact| source.facts.contains(fact)));
    let person = source.question.person;
    assert_eq!(world.answer_lookup(&[person, Word::EMPLOYER, Word::LOOKUP]).map(|facts| facts.len()), Some(1));
    assert_eq!(world.answer_lookup(&[Word::CITY, Word::LOOKUP]), None);
    assert_eq!(world.answer_lookup(&[source.org, Word::CITY]), None);
}

#[test]
fn a_missing_fact_is_looked_up_once() {
    let mut world = World::new(5, Pairs::HeldOut);
    let source = world.source_task(TaskSize::new(2, 2)).expect("an empty world has room");
    let (mut known, mut rng) = (Known::new(), Rng::new(1));
    let said = |words: MarkedWords| words.iter().filter(|(word, _)| *word == Word::LOOKUP).count();
    assert_eq!(said(expected_response(&world, source.question, &mut known, &mut rng)), 2);
    let again = expected_response(&world, source.question, &mut known, &mut rng);
    assert_eq!(again.into_iter().map(|(word, _)| word).collect::<Vec<_>>(), source.response());
}

#[test]
fn the_same_seed_gives_the_same_task() {
    let prompt = text(&World::new(1, Pairs::HeldOut).source_task(TaskSize::new(2, 2)).expect("room").prompt());
    let again = text(&World::new(1, Pairs::HeldOut).source_task(TaskSize::new(2, 2)).expect("room").prompt());
    assert_eq!(prompt, again);
}

#[test]
fn the_tokenizer_maps_one_word_to_one_token() {
    let tokenizer: tokenizers::Tokenizer = tokenizer_json().to_string().parse().expect("a valid tokenizer file");
    assert_eq!(tokenizer.get_vocab_size(true), VOCABULARY_LEN);
    let mut world = World::new(2, Pairs::HeldOut);
    let source = world.source_task(TaskSize::new(4, 4)).expect("an empty world has room");
    let words = source.trajectory();
    let ids: Vec<u32> = words.iter().map(|word| word.id()).collect();
    assert_eq!(tokenizer.encode(text(&words), false).expect("known words").get_ids(), ids);
    assert_eq!(tokenizer.encode(text(&words), true).expect("known words").get_ids(), ids);
}

#[test]
fn english_reads_well() {
    let question = Question { person: parse("Chen")[0], attribute: Relation::City };
    assert_eq!(english_question(question), "In which city is Chen's employer?");
    let response = parse("Chen employer Nova city Lagos <end>");
    assert_eq!(english_response(&response), "Chen works for Nova; Nova is in Lagos.");
    let with_look_up = parse("Chen employer Nova boss lookup Nova boss Cruz <end>");
    assert_eq!(english_response(&with_look_up), "Chen works for Nova; (looks up Nova); Cruz leads Nova.");
}
