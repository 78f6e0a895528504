//! A session asks again while it generates, and what it gets is what the tokens after it attend to; logs are attached or
//! computed, whichever is measured to be faster, and what became of them is said.

use crate::generate_support::*;
use lagdb::Error;
use lagdb::format::{ElementType, KvLog, KvRead};
use lagdb::generate::{
    Admission, Admitted, AttachPolicy, FinishReason, NewToken, RecallPolicy, Sampling, Selection, Session,
    SessionOptions,
};
use std::ops::ControlFlow;

fn policy(every: usize) -> RecallPolicy {
    RecallPolicy { every, attach: AttachPolicy::default() }
}

#[test]
fn asking_and_getting_nothing_changes_nothing() {
    let generator = model("qwen3");
    let (prompt, sampling) = (tokens(12, 0), Sampling::greedy(10));
    let plain = session(&generator).generate(&prompt, &sampling, go_on).unwrap();
    for every in [1, 3, 10, 99] {
        let (mut asked, mut session) = (Vec::new(), session(&generator));
        let recall = |moment: lagdb::generate::Moment<'_>| {
            assert_eq!(moment.hidden.len(), generator.config().hidden_size);
            asked.push(moment.token_ids.to_vec());
            Ok(Vec::<KvLog>::new())
        };
        let recalled = session.generate_recalling(&prompt, &sampling, &policy(every), recall, go_on).unwrap();
        assert_eq!(recalled.token_ids, plain.token_ids, "every {every}");
        assert_eq!(asked.len(), (10 - 1) / every, "every {every}");
        assert!(asked.iter().all(|ids| plain.token_ids.starts_with(ids)));
        let log = session.capture(Selection::LastResponse, ElementType::F32).unwrap();
        assert_eq!(log.token_ids(), plain.token_ids);
    }
}

/// The last token chosen is computed in sight of what was recalled: as if the log had been attached before that token.
#[test]
fn what_is_recalled_is_attended_to_from_the_next_token_on() {
    let generator = model("llama");
    let (prompt, log) = (tokens(12, 0), log_of(&generator, &tokens(20, 5), ElementType::F32));
    let mut own = session(&generator);
    let mut given = Some(vec![log.clone()]);
    let recalled = own
        .generate_recalling(&prompt, &Sampling::greedy(6), &policy(3), |_| Ok(given.take().unwrap_or_default()), go_on)
        .unwrap();
    assert_eq!(recalled.attached.len(), 1);
    let (after, attachment) = &recalled.attached[0];
    assert_eq!((*after, attachment.tokens.clone()), (3, 14..34));
    let mut by_hand: Session = session(&generator);
    by_hand.feed(&prompt).unwrap();
    by_hand.feed(&recalled.token_ids[..2]).unwrap();
    by_hand.attach(&log).unwrap();
    let mut next = by_hand.feed(&recalled.token_ids[2..3]).unwrap();
    for id in &recalled.token_ids[3..] {
        assert_eq!(argmax(&next), *id as usize);
        next = by_hand.feed(&[*id]).unwrap();
    }
    assert_eq!(own.token_ids(), by_hand.token_ids());
    // Its own tokens can be captured, on both sides of the log.
    let captured = own.capture(Selection::LastResponse, ElementType::F32).unwrap();
    assert_eq!(captured.token_ids(), recalled.token_ids);
    assert_eq!(captured.positions(), [12, 13, 34, 35, 36, 37]);
}

#[test]
fn a_recall_that_fails_says_so() {
    let generator = model("llama");
    let mut session = session(&generator);
    let fails = |_: lagdb::generate::Moment<'_>| Err::<Vec<KvLog>, _>(Error::invalid("store", "it is away"));
    let error = session.generate_recalling(&tokens(5, 0), &Sampling::greedy(6), &policy(2), fails, go_on).unwrap_err();
    assert!(error.to_string().contains("it is away"), "{error}");
    assert!(session.feed(&tokens(3, 1)).is_ok());
    let never = |_: lagdb::generate::Moment<'_>| Ok(Vec::<KvLog>::new());
    assert!(session.generate_recalling(&tokens(5, 0), &Sampling::greedy(6), &policy(0), never, go_on).is_err());
}

#[test]
fn logs_are_attached_or_computed_or_refused_and_it_is_said_which() {
    let (generator, other) = (model("llama"), model("qwen3"));
    let log = log_of(&generator, &tokens(20, 5), ElementType::F32);
    let (load, compute) = (
        Admission { attach_s_per_number: 1e-9, prefill_s_per_token: 1.0 },
        Admission { attach_s_per_number: 1.0, prefill_s_per_token: 1e-9 },
    );
    let mut attached = session(&generator);
    let admitted = attached.admit(&log, &load);
    assert!(matches!(&admitted, Admitted::Attached(attachment) if attachment.tokens == (0..20)), "{admitted:?}");
    let mut computed = session(&generator);
    let admitted = computed.admit(&log, &compute);
    assert!(matches!(&admitted, Admitted::Recomputed { tokens, why: None } if *tokens == (0..20)), "{admitted:?}");
    assert_eq!((admitted.name(), computed.n_attached()), ("recomputed", 0));
    let ids = tokens(7, 6);
    assert!(distance(&attached.feed(&ids).unwrap(), &computed.feed(&ids).unwrap()) < 1e-5);
    // Neither model has a tokenizer: ids mean the same to both, and other weights are no reason not to compute them.
    let foreign = log_of(&other, &tokens(20, 5), ElementType::F32);
    let admitted = session(&generator).admit(&foreign, &load);
    assert!(matches!(&admitted, Admitted::Recomputed { why: Some(Error::ModelMismatch { .. }), .. }), "{admitted:?}");
    let with_words = Files::of("llama").with_words().load().unwrap();
    let admitted = session(&with_words).admit(&foreign, &load);
    assert!(matches!(&admitted, Admitted::Refused { why: Error::ModelMismatch { .. } }), "{admitted:?}");
    let options = lagdb::generate::SessionOptions { context_limit: Some(10), ..Default::default() };
    for admission in [load, compute] {
        let mut short = generator.session(options.clone()).unwrap();
        let admitted = short.admit(&log, &admission);
        assert!(matches!(&admitted, Admitted::Refused { why: Error::ContextLimit { .. } }), "{admitted:?}");
        assert_eq!(short.n_tokens(), 0);
    }
}

#[test]
fn what_is_measured_is_a_time_for_both() {
    let generator = model("llama");
    let measured =
        Admission::measure(&generator, None, || Ok(log_of(&generator, &tokens(20, 5), ElementType::F16))).unwrap();
    assert!(measured.attach_s_per_number > 0.0 && measured.prefill_s_per_token > 0.0, "{measured:?}");
    let log = log_of(&generator, &tokens(9, 1), ElementType::F16);
    let (attach, prefill) = (measured.attach_s_per_number, measured.prefill_s_per_token);
    let numbers = 2 * log.layer_numbers(0).unwrap() * log.geometry().n_layers as usize;
    assert_eq!(measured.prefers_attaching(&log).unwrap(), attach * numbers as f64 <= prefill * 9.0);
}

/// With `every: 1` each token is the last of its part, and nobody who broke off or cancelled was heard: the response went on.
#[test]
fn breaking_off_between_two_askings_is_heard() {
    let generator = model("llama");
    let nothing = |_: lagdb::generate::Moment<'_>| Ok(Vec::<KvLog>::new());
    for every in [1, 2, 3] {
        for n in 1..=5 {
            let sampling = Sampling::greedy(8);
            for cancels in [false, true] {
                let (mut own, mut seen) = (session(&generator), 0);
                let cancellation = own.cancellation();
                let on_token = |_: NewToken<'_>| {
                    seen += 1;
                    match (seen == n, cancels) {
                        (true, false) => return ControlFlow::Break(()),
                        (true, true) => cancellation.cancel(),
                        (false, _) => {}
                    }
                    ControlFlow::Continue(())
                };
                let prompt = tokens(12, 0);
                let recalled = own.generate_recalling(&prompt, &sampling, &policy(every), nothing, on_token).unwrap();
                assert_eq!(recalled.token_ids.len(), n, "every {every}, cancels {cancels}");
                assert_eq!(recalled.strides.last().unwrap().finish, FinishReason::Cancelled, "every {every}, {n}");
                // What was said before is not what comes after.
                assert_eq!(own.generate(&tokens(2, 3), &Sampling::greedy(3), go_on).unwrap().token_ids.len(), 3);
            }
        }
        // While the store is asked: what was chosen is kept.
        let mut own = session(&generator);
        let cancellation = own.cancellation();
        let cancels = |_: lagdb::generate::Moment<'_>| {
            cancellation.cancel();
            Ok(vec![log_of(&generator, &tokens(20, 5), ElementType::F32)])
        };
        let recalled =
            own.generate_recalling(&tokens(12, 0), &Sampling::greedy(8), &policy(every), cancels, go_on).unwrap();
        assert_eq!(recalled.token_ids.len(), every);
        assert_eq!(recalled.strides.last().unwrap().finish, FinishReason::Cancelled);
    }
}

/// A log that filled the session was attached, the token before it stood behind the last row, and the response was lost.
#[test]
fn logs_for_which_there_is_no_room_are_left_out() {
    let generator = model("llama");
    let (prompt, sampling) = (tokens(12, 0), Sampling::greedy(6));
    let log = |n: usize| log_of(&generator, &tokens(n, 5), ElementType::F32);
    let begun = session(&generator).n_tokens();
    // After two tokens there is room for logs of 20 and the four tokens that follow.
    let limit = begun + 12 + 2 + 20 + 4;
    for (logs, n_attached, n_left_out, n_tokens) in [
        (vec![log(20)], 1, 0, 6),
        (vec![log(23)], 1, 0, 3),
        (vec![log(24)], 0, 1, 6),
        (vec![log(10), log(14), log(1)], 1, 2, 6),
        (vec![log(60)], 0, 1, 6),
    ] {
        let options = SessionOptions { context_limit: Some(limit), ..SessionOptions::default() };
        let mut own = generator.session(options).unwrap();
        let mut given = Some(logs);
        let recall = |_: lagdb::generate::Moment<'_>| Ok(given.take().unwrap_or_default());
        let recalled = own.generate_recalling(&prompt, &sampling, &policy(2), recall, go_on).unwrap();
        assert_eq!((recalled.attached.len(), recalled.token_ids.len()), (n_attached, n_tokens));
        let left_out = if n_left_out > 0 { vec![(2, n_left_out)] } else { Vec::new() };
        assert_eq!(recalled.left_out, left_out);
        assert!(own.n_tokens() <= limit);
    }
}
