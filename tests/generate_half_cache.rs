//! A KV cache of f16 answers nearly as one of f32, however tokens come, and says when a number does not fit.

use crate::generate_support::*;
use lagdb::Error;
use lagdb::format::{ElementType, Fidelity, KvRead};
use lagdb::generate::{Generator, KvNumbers, Selection, Session, SessionOptions};

fn half(generator: &Generator) -> Session {
    generator.session(SessionOptions { kv_numbers: Some(KvNumbers::F16), ..Default::default() }).unwrap()
}

/// Logits differ by thousandths, and by no more where many queries take another way than few.
#[test]
fn logits_are_nearly_those_of_f32() {
    for family in FAMILIES {
        let (generator, reference) = (model(family), reference(family));
        let one_shot = half(&generator).feed_for_logits(&reference.ids).unwrap();
        let one_shot_error = distance(&one_shot, &reference.logits);
        assert!(one_shot_error < 0.02, "{family}: {one_shot_error}");
        assert!(one_shot_error > 0.0, "{family}: f32 was kept");
        let mut stepwise = half(&generator);
        let mut logits = Vec::new();
        for id in &reference.ids {
            logits.extend(stepwise.feed(&[*id]).unwrap());
        }
        let step_error = distance(&logits, &one_shot);
        assert!(step_error < 1e-2, "{family}, token by token: {step_error}");
    }
}

/// Longer than one block of queries, one tile of rows and the first capacity; in chunks that end inside all of them.
#[test]
fn long_contexts_take_the_same_way() {
    for family in ["qwen3", "mistral_window", "smollm3"] {
        let (generator, ids) = (model(family), tokens(700, 5));
        let exact = logits(&generator, &ids);
        for chunk in [256, 61] {
            let options = SessionOptions { chunk, kv_numbers: Some(KvNumbers::F16), ..Default::default() };
            let mut session = generator.session(options).unwrap();
            let error = distance(&session.feed_for_logits(&ids).unwrap(), &exact);
            assert!(error < 0.03, "{family}, chunks of {chunk}: {error}");
        }
    }
}

#[test]
fn a_log_is_attached_forked_and_captured() {
    let generator = model("llama");
    let (context, prompt) = (tokens(40, 1), tokens(9, 2));
    let mut whole = half(&generator);
    whole.feed(&context).unwrap();
    let log = whole.capture(Selection::Tokens(0..40), ElementType::F16).unwrap();
    let mut attached = half(&generator);
    attached.attach(&log).unwrap();
    let mut fork = attached.fork().unwrap();
    let expected = whole.feed(&prompt).unwrap();
    let error = distance(&attached.feed(&prompt).unwrap(), &expected);
    assert!(error < 5e-3, "{error}");
    assert_eq!(fork.feed(&prompt).unwrap(), attached.feed(&[]).unwrap());
    fork.feed(&tokens(3, 3)).unwrap();
    assert_eq!(attached.feed(&[]).unwrap(), half_again(&generator, &log, &prompt));
    // f16 of f16 is exact: the values captured again are those in the cache.
    let again = attached.capture(Selection::Tokens(40..49), ElementType::F16).unwrap();
    assert_eq!(again.n_tokens(), 9);
}

fn half_again(generator: &Generator, log: &dyn KvRead, prompt: &[u32]) -> Vec<f32> {
    let mut session = half(generator);
    session.attach(log).unwrap();
    session.feed(prompt).unwrap()
}

/// Values of a model whose projection is absurd are beyond f16; f32 holds them.
#[test]
fn a_number_that_does_not_fit_is_an_error() {
    let absurd = |number: [u8; 2]| f16(if number[0] & 1 == 0 { 60_000.0 } else { -60_000.0 });
    let files = Files::of("llama").with_tensors("model.layers.1.self_attn.v_proj.weight", absurd);
    let generator = files.load().unwrap();
    let ids = tokens(20, 4);
    assert!(session(&generator).feed(&ids).is_ok());
    let mut session = half(&generator);
    let error = session.feed(&ids).unwrap_err();
    assert!(matches!(error, Error::Tensor(_)), "{error}");
    assert!(error.to_string().contains("layer 1: the value of token"), "{error}");
    // It failed in the second of its layers and goes on as if nothing had been asked.
    assert_eq!(session.n_tokens(), 0);
    assert!(session.feed(&[]).unwrap_err().to_string().contains("empty"));
}

/// Rows that a refused log had already written lie behind those of the session, where the last block of sixteen rows reached:
/// zero times infinity made all logits NaN.
#[test]
fn a_refused_log_leaves_nothing_behind() {
    let generator = model("llama");
    let log = log_of(&generator, &tokens(40, 1), ElementType::F32);
    for (x, words) in [(70_000.0, "no finite f16"), (f32::NAN, "is NaN"), (f32::INFINITY, "is inf")] {
        let mut session = half(&generator);
        session.feed(&tokens(5, 2)).unwrap();
        let mut untouched = session.fork().unwrap();
        let error = session.attach(&with_value(&log, x)).unwrap_err();
        assert!(matches!(error, Error::Invalid { what: "KV log", .. }), "{error}");
        assert!(error.to_string().contains("layer 3: the value of token 3 is"), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!((session.n_tokens(), session.n_attached()), (5, 0));
        let prompt = tokens(30, 3);
        assert_eq!(session.feed_for_logits(&prompt).unwrap(), untouched.feed_for_logits(&prompt).unwrap(), "{x}");
    }
}

/// A session of f32 holds 70,000 and refuses what is no number.
#[test]
fn a_log_of_no_numbers_is_refused_by_f32_too() {
    let generator = model("llama");
    let log = log_of(&generator, &tokens(40, 1), ElementType::F32);
    let mut session = session(&generator);
    session.attach(&with_value(&log, 70_000.0)).unwrap();
    let error = session.attach(&with_value(&log, f32::NAN)).unwrap_err();
    assert!(error.to_string().contains("is NaN"), "{error}");
    assert_eq!(session.n_attached(), 40);
    assert!(session.feed(&tokens(9, 2)).is_ok());
}

/// What went through f16 is not what was computed.
#[test]
fn a_cache_of_f16_promises_no_exactness() {
    let generator = model("llama");
    let exact = log_of(&generator, &tokens(20, 1), ElementType::F32);
    assert_eq!(half(&generator).attach(&exact).unwrap().fidelity, Fidelity::Approximate);
    let mut source = half(&generator);
    source.feed(&tokens(20, 1)).unwrap();
    let log = source.capture(Selection::Tokens(0..20), ElementType::F32).unwrap();
    assert!(log.is_approximate());
    assert_eq!(session(&generator).attach(&log).unwrap().fidelity, Fidelity::Approximate);
}

/// The bytes of ±60,000, which f16 still has.
fn f16(number: f32) -> [u8; 2] {
    let sign = if number < 0.0 { 0x8000 } else { 0 };
    (0x7b53_u16 | sign).to_le_bytes()
}
