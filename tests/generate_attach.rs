//! An attached KV log gives the logits of never having left memory.

use crate::generate_support::*;
use lagdb::format::{ElementType, Encoding, Fidelity, HeadTokens, KvLayer, KvLog, KvRead, Segment, SegmentWriter};
use lagdb::generate::{AttachPolicy, Emphasis, Generator, KvNumbers, Layout, Selection, SessionOptions};

/// Logits of the rest after the first `n_prefix` tokens were attached as a log of `element`.
fn reuse(generator: &Generator, ids: &[u32], n_prefix: usize, element: ElementType) -> Vec<f32> {
    let mut session = session(generator);
    session.attach(&log_of(generator, &ids[..n_prefix], element)).unwrap();
    session.feed_for_logits(&ids[n_prefix..]).unwrap()
}

#[test]
fn a_prefix_kept_as_f32_is_exact() {
    for family in FAMILIES {
        let (generator, ids) = (model(family), tokens(96, 0));
        let whole = logits(&generator, &ids);
        for n_prefix in [1, 7, 40, 95] {
            let distance = distance(&reuse(&generator, &ids, n_prefix, ElementType::F32), &whole[n_prefix * N_VOCAB..]);
            assert!(distance < 1e-5, "{family}, {n_prefix} tokens: {distance}");
        }
    }
}

#[test]
fn a_prefix_kept_in_a_segment_is_exact() {
    for encoding in Encoding::LOSSLESS {
        let (generator, ids) = (model("qwen3"), tokens(96, 0));
        let mut writer = SegmentWriter::new(1);
        let row_group = writer.push(&log_of(&generator, &ids[..40], ElementType::F32), encoding).unwrap();
        let bytes = writer.finish().unwrap();
        let mut session = session(&generator);
        session.attach(&Segment::open(&bytes).unwrap().kv_log(row_group).unwrap()).unwrap();
        let stored = session.feed_for_logits(&ids[40..]).unwrap();
        assert_eq!(stored, reuse(&generator, &ids, 40, ElementType::F32), "{encoding:?}");
    }
}

#[test]
fn a_damaged_segment_leaves_the_session_as_it_was() {
    let (generator, ids) = (model("llama"), tokens(40, 0));
    let mut writer = SegmentWriter::new(1);
    let row_group = writer.push(&log_of(&generator, &ids, ElementType::F32), Encoding::Plain).unwrap();
    let mut bytes = writer.finish().unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut session = session(&generator);
    session.feed(&ids).unwrap();
    let segment = Segment::open(&bytes).unwrap();
    let error = session.attach(&segment.kv_log(row_group).unwrap()).unwrap_err();
    assert!(matches!(error, lagdb::Error::Corrupt { .. }), "{error}");
    assert_eq!((session.n_tokens(), session.n_attached()), (40, 0));
    assert_eq!(session.feed(&[1]).unwrap(), {
        let mut untouched = crate::generate_support::session(&generator);
        untouched.feed(&ids).unwrap();
        untouched.feed(&[1]).unwrap()
    });
}

#[test]
fn a_prefix_kept_as_f16_gives_the_same_choices() {
    for family in FAMILIES {
        let (generator, ids) = (model(family), tokens(96, 0));
        let (whole, reused) =
            (&logits(&generator, &ids)[40 * N_VOCAB..], reuse(&generator, &ids, 40, ElementType::F16));
        let distance = distance(&reused, whole);
        assert!(distance > 0.0 && distance < 0.02, "{family}: {distance}");
        for (reused, whole) in reused.chunks(N_VOCAB).zip(whole.chunks(N_VOCAB)) {
            assert_eq!(argmax(reused), argmax(whole), "{family}");
        }
    }
}

#[test]
fn a_log_may_be_attached_at_any_position() {
    for family in FAMILIES {
        let (generator, ids) = (model(family), tokens(96, 1));
        let log = log_of(&generator, &ids[..40], ElementType::F32);
        let at = |position| {
            let mut session = session_at(&generator, position);
            session.attach(&log).unwrap();
            session.feed_for_logits(&ids[40..]).unwrap()
        };
        let distance = distance(&at(0), &at(900));
        assert!(distance < 5e-5, "{family}: {distance}");
    }
}

#[test]
fn two_blocks_of_a_log_are_one_block() {
    for family in FAMILIES {
        let (generator, ids) = (model(family), tokens(96, 2));
        let mut source = session(&generator);
        source.feed(&ids[..40]).unwrap();
        let mut session = session(&generator);
        for rows in [0..25, 25..40] {
            let log = source.capture(Selection::Tokens(rows.clone()), ElementType::F32).unwrap();
            assert_eq!(log.positions(), rows.clone().map(|row| row as u32).collect::<Vec<_>>());
            assert_eq!(session.attach(&log).unwrap().tokens, rows);
        }
        let distance =
            distance(&session.feed_for_logits(&ids[40..]).unwrap(), &reuse(&generator, &ids, 40, ElementType::F32));
        assert!(distance < 1e-6, "{family}: {distance}");
    }
}

#[test]
fn logs_may_follow_a_preamble() {
    let (generator, ids) = (model("qwen3"), tokens(60, 3));
    let mut source = session(&generator);
    source.feed(&ids[..40]).unwrap();
    let log = source.capture(Selection::Tokens(5..40), ElementType::F32).unwrap();
    let layout = Layout::PreambleFirst(ids[..5].to_vec());
    let mut session = generator.session(SessionOptions { layout, ..Default::default() }).unwrap();
    assert_eq!(session.attach(&log).unwrap().tokens, 5..40);
    let distance = distance(&session.feed_for_logits(&ids[40..]).unwrap(), &logits(&generator, &ids)[40 * N_VOCAB..]);
    assert!(distance < 1e-5, "{distance}");
}

#[test]
fn logs_change_what_follows() {
    let (generator, ids) = (model("llama"), tokens(20, 4));
    let with = |seed| {
        let mut session = session(&generator);
        session.attach(&log_of(&generator, &tokens(20, seed), ElementType::F32)).unwrap();
        session.feed(&ids).unwrap()
    };
    assert!(distance(&with(5), &with(6)) > 0.01);
}

/// Tokens of a log ordered by importance become rows in the order of their text again.
#[test]
fn a_log_ordered_by_importance_is_attached_as_if_it_were_not() {
    let (generator, ids) = (model("qwen3"), tokens(96, 0));
    let log = log_of(&generator, &ids[..40], ElementType::F32);
    let importance: Vec<f32> = (0..40).map(|token| (token * 7 % 13) as f32).collect();
    let ordered = log.with_importance(&importance).unwrap();
    assert_ne!(ordered.token_ids(), &ids[..40]);
    let mut session = session(&generator);
    let attached = session.attach(&ordered).unwrap();
    assert_eq!(attached.fidelity, Fidelity::Exact);
    assert_eq!(session.token_ids(), &ids[..40]);
    let logits = session.feed_for_logits(&ids[40..]).unwrap();
    assert_eq!(logits, reuse(&generator, &ids, 40, ElementType::F32));
}

#[test]
fn an_attachment_says_how_near_it_comes() {
    let (generator, ids) = (model("llama"), tokens(40, 0));
    let (exact, rounded) = (log_of(&generator, &ids, ElementType::F32), log_of(&generator, &ids, ElementType::F16));
    let mut session = session(&generator);
    let found = [&exact, &exact, &rounded].map(|log| session.attach(log).unwrap().fidelity);
    assert_eq!(found, [Fidelity::Exact, Fidelity::Repositioned, Fidelity::Approximate]);
}

#[test]
fn other_tokens_than_expected_are_named_and_not_attached() {
    let (generator, mut ids) = (model("llama"), tokens(40, 0));
    let log = log_of(&generator, &ids, ElementType::F32);
    let mut session = session(&generator);
    session.attach_expecting(&log, &ids).unwrap();
    ids[7] ^= 1;
    let error = session.attach_expecting(&log, &ids).unwrap_err();
    assert!(error.to_string().contains("token 7 is"), "{error}");
    assert_eq!(session.n_attached(), 40);
}

/// A head that keeps some tokens attends to them as if the log had no others: of a log of forty tokens of which every head
/// keeps the same twenty, and one head one more, only that head differs from the log of these twenty.
#[test]
fn heads_attend_to_the_tokens_that_they_keep() {
    for family in ["llama", "qwen3", "mistral_window"] {
        let (generator, ids) = (model(family), tokens(60, 0));
        let log = log_of(&generator, &ids[..40], ElementType::F32);
        // At their own positions in both: what is dropped stands at the end.
        let first = |n: u32| ragged(&log, move |_, _, token| token < n);
        let one_more = ragged(&log, |layer, head, token| token < 20 || (layer, head, token) == (1, 0, 30));
        let mut source = session(&generator);
        source.feed(&ids[..40]).unwrap();
        let plain = source.capture(Selection::Tokens(0..20), ElementType::F32).unwrap();
        for numbers in [KvNumbers::F32, KvNumbers::F16] {
            let answer = |log: &KvLog, first_position| {
                let options = SessionOptions { first_position, kv_numbers: Some(numbers), ..Default::default() };
                let mut session = generator.session(options).unwrap();
                assert_eq!(session.attach(log).unwrap().tokens, 0..log.n_tokens());
                session.feed(&ids[40..]).unwrap()
            };
            let (twenty, more) = (answer(&first(20), 0), answer(&one_more, 0));
            // Here the text stands twenty positions nearer; without RoPE of its own, nothing else differs.
            assert!(distance(&twenty, &more) > 1e-6, "{family}, {numbers:?}: a head has one token more");
            let gap = generator_gap(&generator, numbers, &plain, &ids[40..]);
            assert!(distance(&twenty, &gap) < 2e-5, "{family}, {numbers:?}: {}", distance(&twenty, &gap));
        }
    }
}

/// The answer after the log of twenty tokens, the text beginning at position 40: tokens that are attached and silenced stand
/// between.
fn generator_gap(generator: &Generator, numbers: KvNumbers, log: &KvLog, ids: &[u32]) -> Vec<f32> {
    let mut session = generator.session(SessionOptions { kv_numbers: Some(numbers), ..Default::default() }).unwrap();
    session.attach(log).unwrap();
    let silent = Emphasis { bias: f32::NEG_INFINITY, ..Emphasis::default() };
    session.attach_all(&[log], &AttachPolicy { emphasis: silent, ..AttachPolicy::default() }).unwrap();
    session.feed(ids).unwrap()
}

/// The log of which each head keeps these tokens.
fn ragged(log: &KvLog, keeps: impl Fn(u32, u32, u32) -> bool) -> KvLog {
    let geometry = log.geometry();
    let heads = HeadTokens::new(geometry, log.n_tokens() as u32, &keeps);
    let (n_heads, head_bytes) = (geometry.n_kv_heads, geometry.head_dim as usize * 4);
    let of = |layer: u32, column: &[u8]| -> Vec<u8> {
        let rows = (0..n_heads).flat_map(|head| (0..log.n_tokens() as u32).map(move |token| (head, token)));
        let kept = rows.filter(|&(head, token)| keeps(layer, head, token));
        kept.flat_map(|(head, token)| {
            let at = (token * n_heads + head) as usize * head_bytes;
            column[at..at + head_bytes].to_vec()
        })
        .collect()
    };
    let layers = (0..).zip(log.layers());
    let layers = layers.map(|(i, l)| KvLayer { keys: of(i, &l.keys), values: of(i, &l.values) }).collect();
    let (ids, positions) = (log.token_ids().to_vec(), log.positions().to_vec());
    KvLog::ragged(*log.fingerprint(), ElementType::F32, ids, positions, heads, layers).unwrap()
}
