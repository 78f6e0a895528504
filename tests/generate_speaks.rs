//! A generator is a model to speak with: what is said in pieces is read as one text, a stop ends the reply, and what is
//! captured can be attached in another conversation.

use crate::generate_support::{Files, log_of, model, tokens};
use lagdb::Error;
use lagdb::agent::{
    Conversation, ConversationOptions, Decoding, LanguageModel, LogUse, Reply, ServedGenerator, Serving,
};
use lagdb::format::{ElementType, KvRead};
use lagdb::generate::{Admission, Generator};

fn generator() -> Generator {
    Files::of("llama").with_words().load().unwrap()
}

fn open(generator: &Generator) -> Box<dyn Conversation> {
    generator.open(&ConversationOptions { capture: true }).unwrap()
}

fn admitting(generator: &Generator, admission: Admission) -> ServedGenerator {
    ServedGenerator::new(generator.clone(), Serving { admission: Some(admission), ..Serving::default() })
}

fn reply(conversation: &mut dyn Conversation, decoding: &Decoding) -> Reply {
    conversation.reply(decoding, &mut |_| {}).unwrap()
}

#[test]
fn pieces_are_read_as_one_text() {
    let generator = generator();
    let (mut whole, mut pieces) = (open(&generator), open(&generator));
    whole.say("w5 w6 w7 w8").unwrap();
    pieces.say("w5 w6").unwrap();
    pieces.say_tokens(&[7]).unwrap();
    pieces.say("w8").unwrap();
    let decoding = Decoding { special: true, ..Decoding::greedy(6) };
    let reply_to_whole = reply(&mut *whole, &decoding);
    assert_eq!((reply_to_whole.prompt_tokens, reply_to_whole.n_tokens), (4, 6));
    assert_eq!(reply_to_whole, reply(&mut *pieces, &decoding));
}

/// A log that cannot be attached cost the whole task; who weighs computes its tokens, or goes without, and says so.
#[test]
fn a_log_that_cannot_be_attached_costs_no_reply() {
    let (generator, other) = (generator(), model("qwen3"));
    let ids = tokens(9, 0);
    let own = log_of(&generator, &ids, ElementType::F32);
    let unreadable = log_of(&other, &ids, ElementType::F32);
    let strict = open(&generator).attach(&unreadable);
    assert!(matches!(strict, Err(Error::ModelMismatch { .. })), "{strict:?}");
    let options = ConversationOptions { capture: true };
    let mut conversation = admitting(&generator, Admission::ATTACH).open(&options).unwrap();
    let uses = [&own, &unreadable].map(|log| conversation.attach(log).unwrap());
    assert!(matches!(&uses[0], LogUse::Attached { .. }) && uses[0].why().is_none(), "{uses:?}");
    assert_eq!(uses[1].name(), "refused", "of another tokenizer");
    assert!(uses[1].why().unwrap().contains("another model"), "{uses:?}");
    assert_eq!(conversation.n_attached(), 9);
    conversation.say("w5 w6").unwrap();
    assert_eq!(reply(&mut *conversation, &Decoding::greedy(3)).n_tokens, 3);
    let dear = Admission { attach_s_per_number: 1.0, prefill_s_per_token: 0.0 };
    let mut conversation = admitting(&generator, dear).open(&options).unwrap();
    assert_eq!(conversation.attach(&own).unwrap(), LogUse::Recomputed { why: None });
    assert_eq!(conversation.n_attached(), 0);
}

#[test]
fn a_stop_ends_the_reply_and_belongs_to_it() {
    let generator = generator();
    let mut free = open(&generator);
    free.say("w5 w6").unwrap();
    let text = reply(&mut *free, &Decoding { special: true, ..Decoding::greedy(6) }).text;
    let second = text.split_whitespace().nth(1).unwrap().to_owned();
    let n_expected = text.split_whitespace().position(|word| word.contains(&second)).unwrap() + 1;
    let (cut, said) = stopped(&generator, &second, &Decoding { special: true, ..Decoding::greedy(6) });
    assert_eq!(cut.n_tokens, n_expected);
    assert!(cut.text.ends_with(&second), "{}", cut.text);
    assert_eq!(said, cut.text);
}

/// A reply that is to end at `stop`, and what was streamed of it.
fn stopped(generator: &Generator, stop: &str, decoding: &Decoding) -> (Reply, String) {
    let (mut conversation, mut said) = (open(generator), String::new());
    conversation.say("w5 w6").unwrap();
    let decoding = Decoding { stop: vec![stop.to_owned()], ..decoding.clone() };
    let reply = conversation.reply(&decoding, &mut |text| said.push_str(text)).unwrap();
    (reply, said)
}

/// A stop of one token was looked for by its id alone: "\n" in vain where the model writes ".\n", which is another token. Here
/// `w7` is one, and so is `w71`.
#[test]
fn a_stop_of_one_token_is_found_within_another() {
    let generator = generator();
    let text = reply_to(&generator, &Decoding::greedy(30)).text;
    let is_long = |word: &&str| word.len() == 3;
    let (at, word) = text.split_whitespace().enumerate().find(|(_, word)| is_long(word)).unwrap();
    let stop = &word[..2];
    assert_eq!(generator.encode(stop, false).unwrap().len(), 1);
    assert!(text.split_whitespace().take(at).all(|word| word != stop), "its id is not what is found: {text}");
    let (cut, said) = stopped(&generator, stop, &Decoding::greedy(30));
    assert_eq!(cut.n_tokens, at + 1);
    assert_eq!(cut.text, text[..text.find(stop).unwrap() + 2], "nothing behind the stop");
    assert_eq!(said, cut.text);
}

fn reply_to(generator: &Generator, decoding: &Decoding) -> Reply {
    let mut conversation = open(generator);
    conversation.say("w5 w6").unwrap();
    reply(&mut *conversation, decoding)
}

/// A special token has no text: it is stopped at by its id.
#[test]
fn a_special_token_is_a_stop_too() {
    let mut files = Files::of("llama").with_words();
    files.config = files.config.replace("\"eos_token_id\": 2", "\"eos_token_id\": 3");
    let generator = files.load().unwrap();
    assert_eq!((generator.special_id("w2").unwrap(), generator.special_id("w7").unwrap()), (Some(2), None));
    let random = |seed| Decoding { special: true, ..Decoding::random(5.0, seed, 12) };
    let place = |seed| reply_to(&generator, &random(seed)).text.split_whitespace().position(|word| word == "w2");
    let (seed, at) = (0..200).find_map(|seed| Some((seed, place(seed)?))).unwrap();
    let (cut, _) = stopped(&generator, "w2", &random(seed));
    assert_eq!(cut.n_tokens, at + 1);
    assert!(cut.text.ends_with("w2"), "{}", cut.text);
}

#[test]
fn what_is_captured_is_attached_elsewhere_and_only_by_the_same_model() {
    let generator = generator();
    let mut first = open(&generator);
    first.say("w5 w6").unwrap();
    let said = reply(&mut *first, &Decoding::greedy(3));
    let log = first.capture(1, ElementType::F32).unwrap();
    assert_eq!(log.n_tokens(), said.n_tokens + 1, "one token of lead-in");
    let mut second = open(&generator);
    second.attach(&log).unwrap();
    assert_eq!(second.n_attached(), log.n_tokens());
    let other = Files::of("qwen2").with_words().load().unwrap();
    assert_ne!(other.identity(), generator.identity());
    let refused = other.open(&ConversationOptions::default()).unwrap().attach(&log);
    assert!(matches!(refused, Err(Error::ModelMismatch { .. })));
}
