//! What a session promises: any way of feeding the same tokens gives the same, forks are apart, captures are exact.

use crate::generate_support::*;
use lagdb::Error;
use lagdb::format::{ElementType, KvRead};
use lagdb::generate::{Sampling, Selection, SessionOptions};

#[test]
fn token_by_token_and_chunk_by_chunk_are_one_shot() {
    for family in FAMILIES {
        let (generator, ids) = (model(family), tokens(96, 0));
        let whole = logits(&generator, &ids);
        let options = SessionOptions { chunk: 17, ..Default::default() };
        let chunked = generator.session(options).unwrap().feed_for_logits(&ids).unwrap();
        assert!(distance(&chunked, &whole) < 1e-5, "{family}");
        let mut session = session(&generator);
        for (id, expected) in ids.iter().zip(whole.chunks(N_VOCAB)) {
            let distance = distance(&session.feed(&[*id]).unwrap(), expected);
            assert!(distance < 2e-5, "{family}: {distance}");
        }
    }
}

#[test]
fn forks_do_not_see_each_other() {
    let generator = model("qwen3");
    let mut one = session(&generator);
    one.feed(&tokens(10, 0)).unwrap();
    let mut other = one.fork().unwrap();
    other.feed(&tokens(10, 2)).unwrap();
    one.feed(&tokens(10, 1)).unwrap();
    let ids = [tokens(10, 0), tokens(10, 1), tokens(5, 3)].concat();
    let continued = one.feed(&tokens(5, 3)).unwrap();
    assert!(distance(&continued, &logits(&generator, &ids)[24 * N_VOCAB..]) < 1e-5);
    assert_eq!(one.capture(Selection::Tokens(0..25), ElementType::F32).unwrap().token_ids(), ids);
}

#[test]
fn a_session_goes_on_after_a_response() {
    let generator = model("qwen2");
    let mut session = session(&generator);
    let first = session.generate(&tokens(8, 0), &Sampling::greedy(5), go_on).unwrap();
    assert_eq!((first.prefill_tokens, first.tokens.clone()), (8, 8..13));
    session.feed(&tokens(4, 1)).unwrap();
    let second = session.generate(&[][..] as &[u32], &Sampling::greedy(3), go_on).unwrap();
    let ids = [&tokens(8, 0), &first.token_ids, &tokens(4, 1), &second.token_ids].map(|ids| ids.as_slice()).concat();
    assert_eq!((session.token_ids(), second.tokens), (ids.as_slice(), 17..20));
    let fresh = log_of(&generator, &ids, ElementType::F32);
    let log = session.capture(Selection::LastResponseWithPrompt(17), ElementType::F32).unwrap();
    assert_eq!((log.token_ids(), log.positions()), (fresh.token_ids(), fresh.positions()));
    let n = 20 * generator.fingerprint().geometry.row_width();
    let (mut a, mut b) = (vec![0.0; n], vec![0.0; n]);
    for layer in 0..4 {
        log.read_keys(layer, &mut a).unwrap();
        fresh.read_keys(layer, &mut b).unwrap();
        assert!(distance(&a, &b) < 1e-4);
        log.read_values(layer, &mut a).unwrap();
        fresh.read_values(layer, &mut b).unwrap();
        assert!(distance(&a, &b) < 1e-4);
    }
}

#[test]
fn what_cannot_be_captured_is_refused() {
    let generator = model("llama");
    let log = log_of(&generator, &tokens(5, 0), ElementType::F16);
    let mut session = session(&generator);
    let refused = |result: lagdb::Result<_>| matches!(result, Err(Error::Invalid { what: "selection", .. }));
    let f16 = ElementType::F16;
    session.attach(&log).unwrap();
    assert!(matches!(session.feed(&[]), Err(Error::Invalid { what: "prompt", .. })), "a log alone predicts nothing");
    session.feed(&tokens(5, 1)).unwrap();
    assert!(refused(session.capture(Selection::LastResponse, f16)), "nothing was generated");
    assert!(refused(session.capture(Selection::Tokens(4..6), f16)), "row 4 was attached");
    assert!(refused(session.capture(Selection::Tokens(9..11), f16)), "row 10 is beyond");
    assert!(refused(session.capture(Selection::Tokens(7..7), f16)), "nothing is selected");
    assert!(session.capture(Selection::Tokens(5..10), f16).is_ok());
    let mut without = generator.session(SessionOptions { capture: false, ..Default::default() }).unwrap();
    without.feed(&tokens(5, 1)).unwrap();
    assert!(refused(without.capture(Selection::Tokens(0..5), f16)));
}

#[test]
fn text_is_streamed_and_special_tokens_are_not_text() {
    let generator = Files::of("llama").with_words().load().unwrap();
    let mut streamed = String::new();
    let mut session = session(&generator);
    let response = session
        .generate("w4 w8 w15", &Sampling::greedy(12), |token| {
            streamed.push_str(token.text);
            go_on(token)
        })
        .unwrap();
    assert_eq!(&session.token_ids()[..3], [4, 8, 15]);
    assert_eq!(streamed, response.text);
    assert_eq!(response.text, generator.decode(&response.token_ids, false).unwrap());
    assert_eq!(generator.decode(&[4, 2, 8], false).unwrap(), "w4 w8");
    let error = model("llama").encode("w4", false).unwrap_err();
    assert!(matches!(error, Error::Model { .. }) && error.to_string().contains("tokenizer.json"));
    assert!(matches!(session.feed(&[96]), Err(Error::Invalid { .. })));
}

#[test]
fn sessions_on_several_threads_share_a_model() {
    let generator = model("smollm3");
    let expected = logits(&generator, &tokens(50, 0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(logits(&generator, &tokens(50, 0)), expected));
        }
    });
}
