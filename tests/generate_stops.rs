//! A response ends at a stop string wherever tokens begin and end, and when it is cancelled, also while the prompt is read.

use crate::generate_support::*;
use lagdb::Error;
use lagdb::format::{ElementType, KvRead};
use lagdb::generate::{
    AttachPolicy, FinishReason, Generator, Moment, RecallPolicy, Response, Sampling, Selection, SessionOptions,
};

fn generator() -> Generator {
    Files::of("llama").with_words().load().unwrap()
}

/// The response, and what was streamed of it.
fn respond(generator: &Generator, sampling: &Sampling) -> (Response, String) {
    let mut streamed = String::new();
    let response = session(generator).generate("w4 w8 w15", sampling, |token| {
        streamed.push_str(token.text);
        go_on(token)
    });
    (response.unwrap(), streamed)
}

#[test]
fn nothing_of_a_stop_is_said() {
    let generator = generator();
    let (free, _) = respond(&generator, &Sampling::greedy(8));
    let words: Vec<&str> = free.text.split(' ').collect();
    assert!(words.len() >= 4, "{}", free.text);
    // From within the second word to within the third.
    let stop = format!("{} {}", &words[1][1..], &words[2][..1]);
    let sampling = Sampling { stop: vec!["never".into(), stop.clone()], ..Sampling::greedy(8) };
    let (stopped, streamed) = respond(&generator, &sampling);
    assert_eq!((stopped.finish, stopped.stop.as_ref()), (FinishReason::StopText, Some(&stop)));
    assert_eq!(stopped.text, free.text[..free.text.find(&stop).unwrap()]);
    assert_eq!(streamed, stopped.text);
    assert_eq!(stopped.token_ids, free.token_ids[..stopped.token_ids.len()]);
    assert!(stopped.token_ids.len() < free.token_ids.len());
    assert!(generator.decode(&stopped.token_ids, false).unwrap().contains(&stop), "its tokens are rows all the same");
}

/// What could have become a stop and did not is said with the last token.
#[test]
fn what_was_held_back_is_said_in_the_end() {
    let generator = generator();
    let (free, _) = respond(&generator, &Sampling::greedy(5));
    let stop = vec![format!("{} and no more", free.text)];
    let (response, streamed) = respond(&generator, &Sampling { stop, ..Sampling::greedy(5) });
    assert_eq!((response.finish, &response.text, &streamed), (free.finish, &free.text, &free.text));
}

#[test]
fn stops_that_cannot_be_are_refused() {
    let empty = Sampling { stop: vec![String::new()], ..Sampling::greedy(5) };
    let refused = session(&generator()).generate("w4", &empty, go_on);
    assert!(matches!(refused, Err(Error::Invalid { what: "sampling", .. })));
    let stop = Sampling { stop: vec!["w4".into()], ..Sampling::greedy(5) };
    let mut without = session(&model("llama"));
    assert!(matches!(without.generate(&tokens(4, 0), &stop, go_on), Err(Error::Model { .. })), "it has no text");
    assert_eq!(without.n_tokens(), 0);
}

/// Stops were refused where the store is asked on the way: they would have been missed where one stride ends and the next
/// begins. However often it is asked, what is said and where it ends is what one response says.
#[test]
fn stops_are_found_across_askings_on_the_way() {
    let generator = generator();
    let (free, _) = respond(&generator, &Sampling::greedy(8));
    let words: Vec<&str> = free.text.split(' ').collect();
    let within = format!("{} {}", &words[1][1..], &words[2][..1]);
    let across = format!("{} {} {}", &words[1][1..], words[2], &words[3][..1]);
    let never = format!("{} and no more", free.text);
    for stop in [across, within, never] {
        let sampling = Sampling { stop: vec![stop], ..Sampling::greedy(8) };
        let (expected, said) = respond(&generator, &sampling);
        for every in [1, 2, 3, 5, 8] {
            let (mut streamed, mut asked) = (String::new(), Vec::new());
            let policy = RecallPolicy { every, attach: AttachPolicy::default() };
            let none = |moment: Moment<'_>| {
                asked.push(moment.token_ids.len());
                Ok(Vec::<lagdb::format::KvLog>::new())
            };
            let recalled = session(&generator)
                .generate_recalling("w4 w8 w15", &sampling, &policy, none, |token| {
                    streamed.push_str(token.text);
                    go_on(token)
                })
                .unwrap();
            assert_eq!((&recalled.text, &recalled.token_ids), (&expected.text, &expected.token_ids), "every {every}");
            assert_eq!(streamed, said, "every {every}");
            let last = recalled.strides.last().unwrap();
            assert_eq!((last.finish, &last.stop), (expected.finish, &expected.stop), "every {every}");
            assert_eq!(
                asked,
                (1..).map(|i| i * every).take_while(|n| *n < expected.token_ids.len()).collect::<Vec<_>>()
            );
        }
    }
}

/// A full session was an error when the store was asked right before, and an end otherwise.
#[test]
fn a_full_session_ends_a_response_alike_with_and_without_askings() {
    let generator = generator();
    let options = SessionOptions { context_limit: Some(7), ..Default::default() };
    let full = || generator.session(options.clone()).unwrap();
    let expected = full().generate("w4 w8 w15", &Sampling::greedy(8), go_on).unwrap();
    for every in [1, 2, 3] {
        let policy = RecallPolicy { every, attach: AttachPolicy::default() };
        let none = |_: Moment<'_>| Ok(Vec::<lagdb::format::KvLog>::new());
        let recalled = full().generate_recalling("w4 w8 w15", &Sampling::greedy(8), &policy, none, go_on).unwrap();
        assert_eq!(recalled.token_ids, expected.token_ids, "every {every}");
        assert_eq!(recalled.strides.last().unwrap().finish, expected.finish, "every {every}");
    }
}

#[test]
fn a_prompt_is_cancelled_while_it_is_read() {
    let generator = model("qwen2");
    let mut session = generator.session(SessionOptions { chunk: 4, ..Default::default() }).unwrap();
    session.feed(&tokens(6, 1)).unwrap();
    let cancellation = session.cancellation();
    cancellation.cancel();
    let refused = session.generate(&tokens(40, 0), &Sampling::greedy(5), |_| panic!("a token was chosen"));
    assert!(matches!(refused, Err(Error::Cancelled)), "{refused:?}");
    assert_eq!(session.n_tokens(), 6, "the session is as it was");
    let mut fork = session.fork().unwrap();
    cancellation.cancel();
    let free = fork.generate(&tokens(40, 0), &Sampling::greedy(5), go_on).unwrap();
    assert_eq!(free.finish, FinishReason::MaxTokens, "a fork has a cancellation of its own");
    assert!(session.generate(&tokens(40, 0), &Sampling::greedy(5), go_on).is_err());
    // Obeyed once, it is over; and a prompt read in vain left nothing behind.
    let again = session.generate(&tokens(40, 0), &Sampling::greedy(5), go_on).unwrap();
    assert_eq!(again.token_ids, free.token_ids);
}

#[test]
fn tokens_that_were_chosen_stay() {
    let generator = model("qwen2");
    let mut running = session(&generator);
    let cancellation = running.cancellation();
    let mut n = 0;
    let response = running.generate(&tokens(9, 0), &Sampling::greedy(6), |token| {
        n += 1;
        if n == 2 {
            cancellation.cancel();
        }
        go_on(token)
    });
    let response = response.unwrap();
    assert_eq!((response.finish, response.token_ids.len()), (FinishReason::Cancelled, 2));
    let whole = session(&generator).generate(&tokens(9, 0), &Sampling::greedy(6), go_on).unwrap();
    assert_eq!(whole.token_ids[..2], response.token_ids);
    let rest = running.generate(&[][..] as &[u32], &Sampling::greedy(4), go_on).unwrap();
    assert_eq!(whole.token_ids[2..], rest.token_ids);
}

/// Broken off at the very last token, a response is whole; its log could not be captured, and the next turn was refused.
#[test]
fn a_response_that_has_ended_cannot_be_cancelled() {
    let generator = model("qwen2");
    let mut session = session(&generator);
    let cancellation = session.cancellation();
    let response = session.generate(&tokens(9, 0), &Sampling::greedy(1), |token| {
        cancellation.cancel();
        go_on(token)
    });
    assert_eq!(response.unwrap().finish, FinishReason::MaxTokens);
    assert_eq!(session.capture(Selection::LastResponse, ElementType::F16).unwrap().n_tokens(), 1);
    assert_eq!(session.generate(&tokens(2, 1), &Sampling::greedy(2), go_on).unwrap().token_ids.len(), 2);
}
