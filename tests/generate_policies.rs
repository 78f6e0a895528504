//! Policies are values: each changes what attention makes of logs, or what is kept, and none of them a path that others take.

use crate::generate_support::*;
use lagdb::format::{ElementType, Encoding, KvLog, KvRead, Segment, SegmentWriter};
use lagdb::generate::{
    AttachPolicy, CaptureBudget, CapturePolicy, Choice, Emphasis, Generator, Importance, KvNumbers, Layout, LogOrder,
    LogPositions, Recompute, Sampling, Selection, Session, SessionOptions,
};

const BOTH: [KvNumbers; 2] = [KvNumbers::F32, KvNumbers::F16];

fn holding(generator: &Generator, numbers: KvNumbers, first_position: u32) -> Session {
    let options = SessionOptions { kv_numbers: Some(numbers), first_position, ..Default::default() };
    generator.session(options).unwrap()
}

/// The logits of `ids` after these logs.
fn answer(
    generator: &Generator,
    numbers: KvNumbers,
    logs: &[&dyn KvRead],
    policy: &AttachPolicy,
    ids: &[u32],
) -> Vec<f32> {
    let mut session = holding(generator, numbers, 0);
    session.attach_all(logs, policy).unwrap();
    session.feed_for_logits(ids).unwrap()
}

fn emphasis(temperature: f32, scale: f32, bias: f32) -> AttachPolicy {
    AttachPolicy { emphasis: Emphasis { temperature, scale, bias }, ..AttachPolicy::default() }
}

#[test]
fn a_source_of_bias_minus_infinity_is_not_there() {
    for family in FAMILIES {
        let (generator, ids) = (model(family), tokens(30, 1));
        let log = log_of(&generator, &tokens(20, 0), ElementType::F32);
        for numbers in BOTH {
            let silenced = answer(&generator, numbers, &[&log], &emphasis(1.0, 1.0, f32::NEG_INFINITY), &ids);
            let absent = holding(&generator, numbers, 20).feed_for_logits(&ids).unwrap();
            let distance = distance(&silenced, &absent);
            assert!(
                distance < if numbers == KvNumbers::F32 { 1e-5 } else { 2e-2 },
                "{family}, {numbers:?}: {distance}"
            );
        }
    }
}

#[test]
fn emphasis_of_one_changes_nothing_and_any_other_something() {
    let (generator, ids) = (model("qwen3"), tokens(30, 1));
    let log = log_of(&generator, &tokens(20, 0), ElementType::F32);
    for numbers in BOTH {
        let plain = answer(&generator, numbers, &[&log], &AttachPolicy::default(), &ids);
        assert_eq!(answer(&generator, numbers, &[&log], &emphasis(1.0, 1.0, 0.0), &ids), plain);
        for policy in [emphasis(0.5, 1.0, 0.0), emphasis(1.0, 0.7, 0.0), emphasis(1.0, 1.0, 2.0)] {
            let changed = answer(&generator, numbers, &[&log], &policy, &ids);
            assert!(distance(&plain, &changed) > 1e-3, "{policy:?}, {numbers:?}");
            let exact = answer(&generator, KvNumbers::F32, &[&log], &policy, &ids);
            assert!(distance(&exact, &changed) < 0.02, "{policy:?}, {numbers:?}: {}", distance(&exact, &changed));
            // One by one, few queries take another way than many.
            let mut stepwise = holding(&generator, numbers, 0);
            stepwise.attach_all(&[&log], &policy).unwrap();
            let last = ids.iter().fold(Vec::new(), |_, id| stepwise.feed(&[*id]).unwrap());
            let error = distance(&last, &changed[(ids.len() - 1) * N_VOCAB..]);
            assert!(error < if numbers == KvNumbers::F32 { 1e-4 } else { 1e-2 }, "{policy:?}, {numbers:?}: {error}");
        }
        // Louder and louder, until the softest is as good as absent.
        let quiet = answer(&generator, numbers, &[&log], &emphasis(1.0, 1.0, -60.0), &ids);
        let silent = answer(&generator, numbers, &[&log], &emphasis(1.0, 1.0, f32::NEG_INFINITY), &ids);
        assert!(distance(&quiet, &silent) < 1e-5, "{numbers:?}");
    }
}

#[test]
fn logs_stand_in_the_order_and_at_the_positions_of_the_policy() {
    let (generator, ids) = (model("llama"), tokens(30, 1));
    let (a, b) =
        (log_of(&generator, &tokens(20, 2), ElementType::F32), log_of(&generator, &tokens(12, 3), ElementType::F32));
    let mut session = session(&generator);
    let policy = AttachPolicy { order: LogOrder::BestLast, ..AttachPolicy::default() };
    let attached = session.attach_all(&[&a, &b], &policy).unwrap();
    assert_eq!([attached[0].tokens.clone(), attached[1].tokens.clone()], [12..32, 0..12]);
    assert_eq!(session.token_ids(), [b.token_ids(), a.token_ids()].concat());
    let last = session.feed_for_logits(&ids).unwrap();
    assert!(distance(&last, &answer(&generator, KvNumbers::F32, &[&b, &a], &AttachPolicy::default(), &ids)) < 1e-6);
    // In parallel, and at one position, it does not matter which comes first.
    for positions in [LogPositions::Parallel, LogPositions::One] {
        let policy = AttachPolicy { positions, ..AttachPolicy::default() };
        let [ab, ba] =
            [[&a as &dyn KvRead, &b], [&b, &a]].map(|logs| answer(&generator, KvNumbers::F32, &logs, &policy, &ids));
        assert!(distance(&ab, &ba) < 1e-5, "{positions:?}: {}", distance(&ab, &ba));
        assert!(distance(&ab, &last) > 1e-3, "{positions:?}");
    }
}

/// Under a window of 16 the first tokens of a log at parallel positions are out of sight although a later row is not.
#[test]
fn a_window_is_one_of_positions_not_of_rows() {
    let (generator, ids) = (model("mistral_window"), tokens(4, 1));
    let (long, short) =
        (log_of(&generator, &tokens(40, 2), ElementType::F32), log_of(&generator, &tokens(6, 3), ElementType::F32));
    let policy = AttachPolicy { positions: LogPositions::Parallel, ..AttachPolicy::default() };
    for numbers in BOTH {
        // The short log ends 34 positions before the text: as if it were not there, whichever side it stands on.
        let alone = answer(&generator, numbers, &[&long], &policy, &ids);
        for logs in [[&long as &dyn KvRead, &short], [&short, &long]] {
            let distance = distance(&answer(&generator, numbers, &logs, &policy, &ids), &alone);
            assert!(distance < 1e-5, "{numbers:?}: {distance}");
        }
    }
}

/// All tokens of a second log computed again in sight of the first give what computing the whole text gives; some of them
/// come nearer to it than none.
#[test]
fn what_is_computed_again_sees_what_stands_before_it() {
    for family in FAMILIES {
        let (generator, ids) = (model(family), tokens(70, 0));
        let (first, second) =
            (log_of(&generator, &ids[..20], ElementType::F32), log_of(&generator, &ids[20..50], ElementType::F32));
        let whole = &logits(&generator, &ids)[50 * N_VOCAB..];
        let with = |recompute| {
            let policy = AttachPolicy { recompute, ..AttachPolicy::default() };
            distance(&answer(&generator, KvNumbers::F32, &[&first, &second], &policy, &ids[50..]), whole)
        };
        let none = with(Recompute::Nothing);
        assert!(none > 1e-3, "{family}: {none}");
        for all in [Recompute::FirstTokens(30), Recompute::FirstTokens(99), Recompute::MostDeviating(1.0)] {
            assert!(with(all) < 1e-4, "{family}, {all:?}: {}", with(all));
        }
        assert_eq!(with(Recompute::MostDeviating(0.0)), none, "{family}");
        // In f16 as well, and however loud the logs are then: they are computed as the model computes them.
        for all in [Recompute::FirstTokens(30), Recompute::MostDeviating(1.0)] {
            let quiet = Emphasis { temperature: 0.5, scale: 0.7, bias: -1.0 };
            let again = |logs: &[&dyn KvRead], recompute, numbers| {
                let policy = AttachPolicy { recompute, emphasis: quiet, ..AttachPolicy::default() };
                answer(&generator, numbers, logs, &policy, &ids[50..])
            };
            let one = log_of(&generator, &ids[..50], ElementType::F32);
            let expected = again(&[&one], Recompute::Nothing, KvNumbers::F32);
            for (numbers, most) in [(KvNumbers::F32, 1e-4), (KvNumbers::F16, 0.03)] {
                let error = distance(&again(&[&first, &second], all, numbers), &expected);
                assert!(error < most, "{family}, {all:?}, {numbers:?}: {error}");
            }
        }
        for some in [Recompute::FirstTokens(10), Recompute::MostDeviating(0.4)] {
            assert!((1e-5..2.0 * none).contains(&with(some)), "{family}, {some:?}: {} of {none}", with(some));
        }
    }
}

#[test]
fn a_policy_out_of_range_is_refused_and_one_bad_log_spoils_none() {
    let (generator, other) = (model("llama"), model("qwen3"));
    let (log, foreign) =
        (log_of(&generator, &tokens(9, 0), ElementType::F32), log_of(&other, &tokens(9, 0), ElementType::F32));
    let mut session = session(&generator);
    for policy in [
        emphasis(0.0, 1.0, 0.0),
        emphasis(1.0, f32::NAN, 0.0),
        emphasis(1.0, 1.0, f32::INFINITY),
        AttachPolicy { recompute: Recompute::MostDeviating(1.5), ..AttachPolicy::default() },
        AttachPolicy {
            recompute: Recompute::FirstTokens(2),
            positions: LogPositions::Parallel,
            ..AttachPolicy::default()
        },
    ] {
        assert!(matches!(session.attach_all(&[&log], &policy), Err(lagdb::Error::Invalid { .. })), "{policy:?}");
    }
    let error = session.attach_all(&[&log, &foreign], &AttachPolicy::default()).unwrap_err();
    assert!(matches!(error, lagdb::Error::ModelMismatch { .. }), "{error}");
    assert_eq!((session.n_tokens(), session.n_attached()), (0, 0));
}

/// What the tokenizer puts before a text comes before the logs, and once.
#[test]
fn a_session_begins_with_the_beginning_of_a_text() {
    let post = r#""post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "w2", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"w2": {"id": "w2", "ids": [2], "tokens": ["w2"]}}}"#;
    let mut files = Files::of("llama").with_words();
    files.tokenizer = files.tokenizer.map(|tokenizer| tokenizer.replace(r#""post_processor": null"#, post));
    let generator = files.load().unwrap();
    let log = log_of(&generator, &tokens(9, 0), ElementType::F32);
    let ids = |layout| {
        let mut session = generator.session(SessionOptions { layout, ..Default::default() }).unwrap();
        session.attach(&log).unwrap();
        session.generate("w5 w6", &Sampling::greedy(1), go_on).unwrap();
        let all = session.token_ids().to_vec();
        all[..all.len() - 1].to_vec()
    };
    assert_eq!(ids(Layout::SinkFirst), [&[2], log.token_ids(), &[5, 6]].concat());
    assert_eq!(ids(Layout::LogsFirst), [log.token_ids(), &[2, 5, 6]].concat());
    assert_eq!(ids(Layout::PreambleFirst(vec![7, 8])), [&[7, 8], log.token_ids(), &[5, 6]].concat());
}

#[test]
fn a_budget_keeps_what_its_policy_finds_important() {
    for family in ["llama", "qwen3", "smollm3", "mistral_window"] {
        let generator = model(family);
        for numbers in BOTH {
            let mut session = holding(&generator, numbers, 0);
            session.feed(&tokens(60, 0)).unwrap();
            let after = session.fork().unwrap().feed(&tokens(3, 1)).unwrap();
            let mut kept = |importance, budget, choice| {
                let policy =
                    CapturePolicy { budget, importance, choice, ..CapturePolicy::all(Selection::Tokens(5..55)) };
                session.capture_with(&policy, ElementType::F32).unwrap()
            };
            let budget = CaptureBudget::Tokens(12);
            let recent = kept(Importance::Recent, budget, Choice::Together);
            assert_eq!(recent.positions(), (43..55).collect::<Vec<_>>(), "{family}");
            for importance in [
                Importance::SnapKv { window: 4, pool: 2 },
                Importance::HeavyHitters,
                Importance::KeyNorm,
                Importance::Expected { window: 16 },
                Importance::Random { seed: 3 },
            ] {
                let log = kept(importance, budget, Choice::Together);
                assert_eq!((log.n_tokens(), log.heads()), (12, None), "{family}, {importance:?}");
                assert!(log.positions().is_sorted(), "{family}, {importance:?}");
                assert_ne!(log.positions(), recent.positions(), "{family}, {importance:?}");
                if importance == (Importance::SnapKv { window: 4, pool: 2 }) {
                    assert!(log.positions().ends_with(&[51, 52, 53, 54]), "{family}");
                }
                let (by_layer, by_head) =
                    (kept(importance, budget, Choice::PerLayer), kept(importance, budget, Choice::PerHead));
                for log in [&by_layer, &by_head] {
                    let n_of = |layer, head| log.heads().map_or(12, |heads| heads.n_tokens_of(layer, head));
                    assert_eq!((n_of(0, 0), n_of(1, 1)), (12, 12), "{family}, {importance:?}");
                }
            }
            let token_bytes = 2 * 4 * recent.geometry().row_width() * recent.geometry().n_layers as usize;
            let seven = CaptureBudget::Bytes(7 * token_bytes + 1);
            assert_eq!(kept(Importance::HeavyHitters, seven, Choice::Together).n_tokens(), 7, "{family}");
            // Looking again left the session as it was.
            assert_eq!(session.feed(&tokens(3, 1)).unwrap(), after, "{family}, {numbers:?}");
        }
    }
}

/// Each head keeps the keys of the least norm, by the keys of the whole log.
#[test]
fn key_norms_are_those_of_the_keys() {
    let generator = model("qwen3");
    let mut session = session(&generator);
    session.feed(&tokens(40, 0)).unwrap();
    let whole = session.capture(Selection::Tokens(0..40), ElementType::F32).unwrap();
    let policy = CapturePolicy {
        budget: CaptureBudget::Tokens(8),
        importance: Importance::KeyNorm,
        choice: Choice::PerHead,
        span: Selection::Tokens(0..40),
    };
    let kept = session.capture_with(&policy, ElementType::F32).unwrap();
    let (geometry, heads) = (whole.geometry(), kept.heads().unwrap());
    let (n_heads, d) = (geometry.n_kv_heads as usize, geometry.head_dim as usize);
    for layer in 0..geometry.n_layers {
        let mut keys = vec![0.0; whole.layer_numbers(layer).unwrap()];
        whole.read_keys(layer, &mut keys).unwrap();
        for head in 0..n_heads {
            let norm = |token: usize| keys[(token * n_heads + head) * d..][..d].iter().map(|x| x * x).sum::<f32>();
            let mut order: Vec<usize> = (0..40).collect();
            order.sort_by(|&a, &b| norm(a).total_cmp(&norm(b)));
            let mut expected: Vec<u32> = order[..8].iter().map(|token| *token as u32).collect();
            expected.sort_unstable();
            let found = heads.tokens_of(layer, head as u32).map(|token| kept.positions()[token as usize]);
            assert_eq!(found.collect::<Vec<_>>(), expected, "layer {layer}, head {head}");
        }
    }
}

/// Where queries are zero every row is seen alike by all that come after it: the first of the span are hit most.
#[test]
fn heavy_hitters_are_the_rows_with_most_attention() {
    let generator = Files::of("llama").with_tensors("q_proj.weight", |_| [0, 0]).load().unwrap();
    for numbers in BOTH {
        let mut session = holding(&generator, numbers, 0);
        session.feed(&tokens(60, 0)).unwrap();
        for choice in [Choice::Together, Choice::PerLayer, Choice::PerHead] {
            let policy = CapturePolicy {
                budget: CaptureBudget::Tokens(12),
                importance: Importance::HeavyHitters,
                choice,
                span: Selection::Tokens(5..55),
            };
            let log = session.capture_with(&policy, ElementType::F32).unwrap();
            assert_eq!(log.positions(), (5..17).collect::<Vec<_>>(), "{choice:?}, {numbers:?}");
        }
    }
}

/// Where every query is the bias of its projection nothing is spread, and what a key can expect is told in a line of f64.
#[test]
fn expected_attention_is_that_of_the_mean_query_to_come() {
    let generator = Files::of("qwen2").with_tensors("q_proj.weight", |_| [0, 0]).load().unwrap();
    let biases = biases_of("qwen2");
    let (n, n_kept) = (40, 8);
    let mut session = session(&generator);
    session.feed(&tokens(n, 0)).unwrap();
    let span = Selection::Tokens(0..n);
    let whole = session.capture(span.clone(), ElementType::F32).unwrap();
    let (budget, importance) = (CaptureBudget::Tokens(n_kept), Importance::Expected { window: 16 });
    let policy = CapturePolicy { budget, importance, choice: Choice::PerHead, span };
    let kept = session.capture_with(&policy, ElementType::F32).unwrap();
    let (geometry, heads) = (whole.geometry(), kept.heads().unwrap());
    let (n_kv_heads, d) = (geometry.n_kv_heads as usize, geometry.head_dim as usize);
    let turn = |x: &[f64], position: f64| -> Vec<f64> {
        let angle = |i: usize| position * 1e6_f64.powf(-2.0 * (i % (d / 2)) as f64 / d as f64);
        let other = |i: usize| if i < d / 2 { -x[i + d / 2] } else { x[i - d / 2] };
        (0..d).map(|i| x[i] * angle(i).cos() + other(i) * angle(i).sin()).collect()
    };
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    for layer in 0..geometry.n_layers {
        let mut keys = vec![0.0; whole.layer_numbers(layer).unwrap()];
        let mut values = keys.clone();
        whole.read_keys(layer, &mut keys).unwrap();
        whole.read_values(layer, &mut values).unwrap();
        let wide = |numbers: &[f32]| numbers.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let queries = &biases[layer as usize];
        for head in 0..n_kv_heads {
            let group = queries.len() / d / n_kv_heads;
            let of_group = queries[head * group * d..(head + 1) * group * d].chunks_exact(d);
            let means: Vec<Vec<f64>> = of_group
                .map(|query| {
                    let all: Vec<_> = (0..512).map(|i| turn(query, (n + i) as f64)).collect();
                    (0..d).map(|i| all.iter().map(|query| query[i]).sum::<f64>() / 512.0).collect()
                })
                .collect();
            let score = |token: usize| {
                let at = (token * n_kv_heads + head) * d;
                let key = turn(&wide(&keys[at..at + d]), token as f64);
                let value = wide(&values[at..at + d]);
                let asked = means.iter().map(|mean| dot(mean, &key) / (d as f64).sqrt());
                asked.fold(f64::NEG_INFINITY, f64::max) + dot(&value, &value).sqrt().ln()
            };
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
            let mut expected: Vec<u32> = order[..n_kept].iter().map(|token| *token as u32).collect();
            expected.sort_unstable();
            let found = heads.tokens_of(layer, head as u32).map(|token| kept.positions()[token as usize]);
            assert_eq!(found.collect::<Vec<_>>(), expected, "layer {layer}, head {head}");
        }
    }
}

/// The bias of every layer's queries.
fn biases_of(family: &str) -> Vec<Vec<f64>> {
    let bytes = std::fs::read(dir(family).join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let n_layers = model(family).config().layers.len();
    let of_layer = |layer| {
        let bias = tensors.tensor(&format!("model.layers.{layer}.self_attn.q_proj.bias")).unwrap();
        let element = match bias.dtype() {
            safetensors::Dtype::BF16 => ElementType::Bf16,
            safetensors::Dtype::F16 => ElementType::F16,
            other => panic!("{other:?}"),
        };
        let mut numbers = vec![0.0; bias.data().len() / 2];
        element.decode_f32(bias.data(), &mut numbers).unwrap();
        numbers.into_iter().map(f64::from).collect()
    };
    (0..n_layers).map(of_layer).collect()
}

#[test]
fn every_response_is_one_log() {
    let generator = model("llama");
    let mut session = session(&generator);
    let first = session.generate(&tokens(9, 0), &Sampling::greedy(4), go_on).unwrap();
    let second = session.generate(&tokens(5, 1), &Sampling::greedy(3), go_on).unwrap();
    let log = session.capture(Selection::EveryResponse, ElementType::F32).unwrap();
    assert_eq!(log.token_ids(), [first.token_ids, second.token_ids].concat());
    let rows: Vec<u32> = first.tokens.chain(second.tokens).map(|row| row as u32).collect();
    assert_eq!(log.positions(), rows);
}

/// A stored log of int8 or int4 moves the demo model's next token by less than this, in nats.
#[test]
fn quantized_logs_stay_near_on_a_trained_model() {
    let generator = Generator::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/demo-model/kv")).unwrap();
    let n_vocab = generator.config().vocab_size as u32;
    let ids: Vec<u32> = (0..60).map(|i| (i * 7919 + 13) % n_vocab).collect();
    let log = log_of(&generator, &ids[..40], ElementType::F32);
    let answer = |log: &dyn KvRead| {
        let mut session = session(&generator);
        session.attach(log).unwrap();
        session.feed_for_logits(&ids[40..]).unwrap()
    };
    let exact = answer(&log);
    for (encoding, most) in [(Encoding::Plain, 0.0), (Encoding::Int8, 1e-3), (Encoding::Int4, 0.1)] {
        let bytes = in_segment(&log, encoding);
        let found = answer(&Segment::open(&bytes).unwrap().kv_log(lagdb::format::RowGroupIndex(0)).unwrap());
        let kl = kl_divergence(&exact, &found, n_vocab as usize);
        assert!(kl <= most, "{encoding:?}: {kl} nats");
        assert!(encoding == Encoding::Plain || kl > 0.0, "{encoding:?} lost nothing");
    }
}

fn in_segment(log: &KvLog, encoding: Encoding) -> Vec<u8> {
    let mut writer = SegmentWriter::new(1);
    writer.push(log, encoding).unwrap();
    writer.finish().unwrap()
}
