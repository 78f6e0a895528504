//! Logs are admitted while the text after them is computed, or one by one before it: what is said is the same, bit for bit, what
//! became of each log too, and a call that fails leaves nothing.

use crate::generate_streams::{MODEL, N_LAYERS, N_LOG, ONLY, bits, held_as, in_segment, log};
use crate::generate_support::{go_on, tokens};
use lagdb::Error;
use lagdb::agent::{Conversation, ConversationOptions, Decoding, LanguageModel, LogUse, ServedGenerator, Serving};
use lagdb::format::{ElementType, Encoding, KvLogView, KvRead, Segment};
use lagdb::generate::{Admission, Admitted, KvNumbers, PagePolicy, Sampling, Session, SessionOptions};

fn session() -> Session {
    let mut session = MODEL.session(held_as(KvNumbers::F16)).unwrap();
    session.feed(&tokens(3, 9)).unwrap();
    session
}

/// A log in a segment whose bytes live as long as the tests do.
fn view(seed: usize, change: impl FnOnce(&mut Vec<u8>)) -> KvLogView<'static> {
    encoded(seed, Encoding::Plain, change)
}

fn encoded(seed: usize, encoding: Encoding, change: impl FnOnce(&mut Vec<u8>)) -> KvLogView<'static> {
    let mut bytes = in_segment(&log(seed), encoding);
    change(&mut bytes);
    Segment::open(bytes.leak()).unwrap().kv_log(ONLY).unwrap()
}

/// One that turns out damaged at the last layer but one, when all before it is computed.
fn damaged(seed: usize) -> KvLogView<'static> {
    view(seed, |bytes| {
        let of_layer = bytes.len() / N_LAYERS;
        bytes[(N_LAYERS - 2) * of_layer + of_layer / 2] ^= 1;
    })
}

/// What became of the logs when they were admitted first, the tokens after them, and logits of a text after those.
fn one_by_one(logs: &[KvLogView<'static>], admission: Admission) -> (Vec<String>, Vec<u32>, Vec<u32>) {
    let mut session = session();
    let admitted: Vec<Admitted> = logs.iter().map(|log| session.admit(log, &admission)).collect();
    let response = session.generate(&tokens(40, 3), &Sampling::greedy(4), go_on).unwrap();
    (shown(&admitted), response.token_ids, bits(&session.feed_for_logits(&tokens(20, 5)).unwrap()))
}

fn in_one_call(logs: &[KvLogView<'static>], admission: Admission) -> (Vec<String>, Vec<u32>, Vec<u32>) {
    let (mut session, mut seen) = (session(), Vec::new());
    let views: Vec<&dyn KvRead> = logs.iter().map(|log| log as &dyn KvRead).collect();
    let (admitted, response) = session
        .generate_admitting(&views, &admission, &tokens(40, 3), &Sampling::greedy(4), |token| {
            seen.push(token.id);
            go_on(token)
        })
        .unwrap();
    assert_eq!(seen, response.token_ids, "every token is said once");
    assert!(response.time >= response.time_to_first_token);
    (shown(&admitted), response.token_ids, bits(&session.feed_for_logits(&tokens(20, 5)).unwrap()))
}

fn shown(admitted: &[Admitted]) -> Vec<String> {
    admitted.iter().map(|log| format!("{log:?}")).collect()
}

#[test]
fn admitted_in_one_call_or_one_by_one_gives_the_same_bits() {
    let dear = Admission { attach_s_per_number: 1.0, prefill_s_per_token: 0.0 };
    let (sound, other) = (view(1, |_| {}), view(2, |_| {}));
    for (logs, admission, name) in [
        (vec![sound.clone(), other.clone()], Admission::ATTACH, "Attached"),
        (vec![sound.clone(), other.clone()], dear, "Recomputed"),
        (vec![sound.clone(), damaged(2), other], Admission::ATTACH, "Attached"),
        (vec![], Admission::ATTACH, ""),
    ] {
        let found = in_one_call(&logs, admission);
        assert_eq!(found, one_by_one(&logs, admission));
        assert!(found.0.iter().take(1).all(|log| log.starts_with(name)), "{:?}", found.0);
    }
}

/// What is found only when most of it is computed costs the log its place and nothing else.
#[test]
fn a_damaged_layer_found_on_the_way_costs_that_log_alone() {
    let (admitted, ..) = in_one_call(&[view(1, |_| {}), damaged(2)], Admission::ATTACH);
    assert!(admitted[0].starts_with("Attached"), "{admitted:?}");
    assert!(admitted[1].starts_with("Recomputed") && admitted[1].contains("Corrupt"), "{admitted:?}");
}

#[test]
fn a_call_that_fails_attaches_nothing() {
    let logs = [view(1, |_| {}), view(2, |_| {})];
    let views: Vec<&dyn KvRead> = logs.iter().map(|log| log as &dyn KvRead).collect();
    // Room for both logs, and one token too few for the prompt and an answer.
    let limit = 3 + 2 * N_LOG + 40;
    let options = SessionOptions { context_limit: Some(limit), ..held_as(KvNumbers::F16) };
    for cancels in [false, true] {
        let mut session = MODEL.session(options.clone()).unwrap();
        session.feed(&tokens(3, 9)).unwrap();
        if cancels {
            session.cancellation().cancel();
        }
        let prompt = if cancels { tokens(9, 3) } else { tokens(40, 3) };
        let error = session
            .generate_admitting(&views, &Admission::ATTACH, &prompt, &Sampling::greedy(4), |_| {
                panic!("a token was said")
            })
            .unwrap_err();
        match error {
            Error::Cancelled => assert!(cancels),
            Error::ContextLimit { n_tokens, .. } => assert!(!cancels && n_tokens == limit + 1),
            other => panic!("{other}"),
        }
        assert_eq!((session.n_tokens(), session.n_attached()), (3, 0));
        let mut untouched = MODEL.session(options.clone()).unwrap();
        untouched.feed(&tokens(3, 9)).unwrap();
        let text = tokens(20, 5);
        assert_eq!(bits(&session.feed_for_logits(&text).unwrap()), bits(&untouched.feed_for_logits(&text).unwrap()));
    }
}

/// To cancel while a log's tokens were computed only refused the log.
#[test]
fn cancelling_is_not_taken_for_a_fault_of_the_log() {
    let mut session = session();
    let dear = Admission { attach_s_per_number: 1.0, prefill_s_per_token: 0.0 };
    session.cancellation().cancel();
    let log = view(1, |_| {});
    let refused = session.generate_admitting(&[&log], &dear, &tokens(9, 3), &Sampling::greedy(4), go_on);
    assert!(matches!(refused, Err(Error::Cancelled)), "{refused:?}");
    assert_eq!(session.n_tokens(), 3);
}

fn conversation(admission: Option<Admission>) -> Box<dyn Conversation> {
    served(Serving { admission, ..Serving::default() })
}

fn served(serving: Serving) -> Box<dyn Conversation> {
    ServedGenerator::new(MODEL.clone(), serving).open(&ConversationOptions { capture: true }).unwrap()
}

/// The reply of an agent's conversation with logs, in whichever way they were given.
#[test]
fn a_conversation_replies_alike_to_logs_given_before_and_with_the_turn() {
    let (sound, damaged) = ([view(1, |_| {}), view(2, |_| {})], [view(1, |_| {}), damaged(2)]);
    for (admission, logs, score) in [
        (None, &sound, false),
        (None, &sound, true),
        (Some(Admission::ATTACH), &sound, false),
        (Some(Admission::ATTACH), &damaged, false),
        (Some(Admission::ATTACH), &damaged, true),
    ] {
        let decoding = Decoding { score, ..Decoding::greedy(5) };
        let (mut before, mut with) = (conversation(admission), conversation(admission));
        let attached: Vec<LogUse> = logs.iter().map(|log| before.attach(log).unwrap()).collect();
        for conversation in [&mut before, &mut with] {
            conversation.say_tokens(&tokens(30, 3)).unwrap();
        }
        let expected = before.reply(&decoding, &mut |_| {}).unwrap();
        assert_eq!(with.reply_attending(logs, &decoding, &mut |_| {}).unwrap(), (attached, expected));
        assert_eq!(with.n_attached(), before.n_attached());
        let [a, b] = [before, with].map(|mut conversation| conversation.capture(7, ElementType::F16).unwrap());
        assert_eq!((a.token_ids(), a.positions()), (b.token_ids(), b.positions()));
        assert_eq!(a.layers(), b.layers());
    }
}

/// Whoever does not weigh hears of a damaged log as before, and can go on without it: what was said was lost with it.
#[test]
fn a_turn_that_failed_is_said_again() {
    let mut conversation = conversation(None);
    conversation.say_tokens(&tokens(30, 3)).unwrap();
    let failed = conversation.reply_attending(&[view(1, |_| {}), damaged(2)], &Decoding::greedy(5), &mut |_| {});
    assert!(matches!(failed, Err(Error::Corrupt { .. })), "{failed:?}");
    assert_eq!(conversation.n_attached(), 0);
    let again = conversation.reply(&Decoding::greedy(5), &mut |_| {}).unwrap();
    assert_eq!((again.prompt_tokens, again.n_tokens), (30, 5));
}

/// Logs of int8 are attended to as they are stored; one that is not is refused, or becomes rows where logs are admitted.
#[test]
fn pages_are_attended_to_where_logs_are_stored_so() {
    let (int8, plain) = (encoded(1, Encoding::Int8, |_| {}), view(2, |_| {}));
    let decoding = Decoding::greedy(5);
    let by_pages = |admission| served(Serving { pages: Some(PagePolicy::default()), admission, ..Serving::default() });
    for score in [false, true] {
        let mut by_hand = MODEL.session(SessionOptions::default()).unwrap();
        by_hand.attach_pages(std::slice::from_ref(&int8), &PagePolicy::default()).unwrap();
        let rows = by_hand.attach(&plain).unwrap();
        let expected = by_hand.generate(&tokens(30, 3), &Sampling::greedy(5), go_on).unwrap();
        let mut conversation = by_pages(Some(Admission::ATTACH));
        conversation.say_tokens(&tokens(30, 3)).unwrap();
        let logs = [int8.clone(), plain.clone()];
        let decoding = Decoding { score, ..decoding.clone() };
        let (uses, reply) = conversation.reply_attending(&logs, &decoding, &mut |_| {}).unwrap();
        assert_eq!(uses[0], LogUse::Paged);
        assert_eq!((uses[1].name(), uses[1].fidelity()), ("attached", Some(rows.fidelity)));
        assert!(uses[1].why().is_some_and(|why| why.contains("plain and not int8")), "{uses:?}");
        assert_eq!((reply.n_tokens, conversation.n_attached()), (5, 2 * N_LOG));
        let captured = conversation.capture(0, ElementType::F16).unwrap();
        assert_eq!(captured.token_ids(), expected.token_ids);
    }
    let mut strict = by_pages(None);
    strict.say_tokens(&tokens(30, 3)).unwrap();
    let refused = strict.reply_attending(&[int8.clone(), plain], &decoding, &mut |_| {});
    assert!(matches!(refused, Err(Error::Invalid { what: "KV log", .. })), "{refused:?}");
    assert_eq!(strict.n_attached(), 0);
    assert_eq!(strict.reply_attending(&[int8], &decoding, &mut |_| {}).unwrap().0, [LogUse::Paged]);
}
