//! Generating while logs are still attached gives what attaching first gives, bit for bit, and fails as that does.

use crate::generate_support::{go_on, tokens};
use lagdb::Error;
use lagdb::format::{
    ElementType, Encoding, FormatError, HeadTokens, KvLayer, KvLog, KvRead, ModelFingerprint, RowGroupIndex, Segment,
    SegmentWriter,
};
use lagdb::generate::{
    AttachPolicy, Emphasis, Generator, KvNumbers, LogOrder, LogPositions, ModelConfig, Prompt, Recompute, Sampling,
    Session, SessionOptions, WeightPrecision,
};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, Mutex};
use std::thread::{self, ThreadId};

/// Wide enough that the log of some hundred tokens is worth a thread; NoPE, a window and tied weights are other files' matter.
const CONFIG: &str = r#"{
    "model_type": "qwen3", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 5,
    "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "max_position_embeddings": 4096, "tie_word_embeddings": false, "attention_bias": false, "hidden_act": "silu"
}"#;
pub(crate) const N_LAYERS: usize = 5;
const WIDTH: usize = 256;
pub(crate) const N_LOG: usize = 500;
/// The row group of a segment with one.
pub(crate) const ONLY: RowGroupIndex = RowGroupIndex(0);

pub(crate) static MODEL: LazyLock<Generator> = LazyLock::new(|| {
    let config = ModelConfig::from_json(CONFIG.as_bytes(), "config.json".as_ref()).unwrap();
    Generator::random(config, 1, WeightPrecision::F32).unwrap()
});

fn halves(n: usize, seed: usize) -> Vec<u8> {
    // f16 from -1 to 1 in steps of 1/16, little-endian.
    let bits = |i: usize| half::f16::from_f32((((i + 1) * (seed + 7919) % 33) as f32 - 16.0) / 16.0).to_bits();
    (0..n).flat_map(|i| bits(i).to_le_bytes()).collect()
}

/// A made-up log.
pub(crate) fn log(seed: usize) -> KvLog {
    let layer = |i: usize| KvLayer {
        keys: halves(N_LOG * WIDTH, seed + 2 * i),
        values: halves(N_LOG * WIDTH, seed + 2 * i + 1),
    };
    let (ids, positions) = (tokens(N_LOG, seed), (0..N_LOG as u32).collect());
    KvLog::new(*MODEL.fingerprint(), ElementType::F16, ids, positions, (0..N_LAYERS).map(layer).collect()).unwrap()
}

/// The log as a segment with one row group.
pub(crate) fn in_segment(log: &KvLog, encoding: Encoding) -> Vec<u8> {
    let mut writer = SegmentWriter::new(1);
    assert_eq!(writer.push(log, encoding).unwrap(), ONLY);
    writer.finish().unwrap()
}

fn session(options: SessionOptions) -> Session {
    let mut session = MODEL.session(options).unwrap();
    session.feed(&tokens(3, 9)).unwrap();
    session
}

pub(crate) fn held_as(numbers: KvNumbers) -> SessionOptions {
    SessionOptions { kv_numbers: Some(numbers), chunk: 16, ..Default::default() }
}

pub(crate) fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

/// Attaches and answers in one call and in two; all that is left must be the same.
fn same_in_one_call_as_in_two(logs: &[&dyn KvRead], policy: &AttachPolicy, options: &SessionOptions, prompt: &[u32]) {
    let sampling = Sampling::greedy(4);
    let (mut one, mut two) = (session(options.clone()), session(options.clone()));
    let mut seen = Vec::new();
    let (attached, response) = one
        .generate_attaching(logs, policy, prompt, &sampling, |token| {
            seen.push(token.id);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(attached, two.attach_all(logs, policy).unwrap());
    let expected = two.generate(prompt, &sampling, go_on).unwrap();
    assert_eq!(response.token_ids, expected.token_ids);
    assert_eq!(seen, response.token_ids);
    assert_eq!((response.tokens, response.prefill_tokens), (expected.tokens, expected.prefill_tokens));
    assert_eq!((response.attached_tokens, response.finish), (expected.attached_tokens, expected.finish));
    assert!(response.time >= response.time_to_first_token);
    assert_eq!(one.token_ids(), two.token_ids());
    let (one, two) = (one.feed_for_logits(&tokens(20, 5)).unwrap(), two.feed_for_logits(&tokens(20, 5)).unwrap());
    assert_eq!(bits(&one), bits(&two));
}

#[test]
fn every_policy_gives_the_same_bits() {
    let (a, b) = (log(1), log(2));
    let quiet = Emphasis { temperature: 0.9, scale: 0.8, bias: -0.5 };
    for numbers in [KvNumbers::F32, KvNumbers::F16] {
        for policy in [
            AttachPolicy::default(),
            AttachPolicy { order: LogOrder::BestLast, emphasis: quiet, ..Default::default() },
            AttachPolicy { order: LogOrder::BestLast, positions: LogPositions::Parallel, ..Default::default() },
            AttachPolicy { positions: LogPositions::One, ..Default::default() },
            AttachPolicy { recompute: Recompute::FirstTokens(3), ..Default::default() },
        ] {
            same_in_one_call_as_in_two(&[&a, &b], &policy, &held_as(numbers), &tokens(40, 3));
        }
    }
}

/// Stored without loss and with, ordered by importance, with tokens of their own for each head, and none at all.
#[test]
fn every_kind_of_log_gives_the_same_bits() {
    let (plain, policy) = (log(1), AttachPolicy::default());
    let (lossless, int8) = (in_segment(&plain, Encoding::ExponentHuffman), in_segment(&plain, Encoding::Int8));
    let (lossless, int8) = (Segment::open(&lossless).unwrap(), Segment::open(&int8).unwrap());
    let importance: Vec<f32> = (0..N_LOG).map(|i| (i * 37 % 101) as f32).collect();
    let ordered = plain.clone().with_importance(&importance).unwrap();
    let logs: [&dyn KvRead; 4] =
        [&lossless.kv_log(ONLY).unwrap(), &int8.kv_log(ONLY).unwrap(), &ordered, &ragged(&plain)];
    for log in logs {
        same_in_one_call_as_in_two(&[log], &policy, &held_as(KvNumbers::F16), &tokens(7, 3));
    }
    same_in_one_call_as_in_two(&logs, &policy, &held_as(KvNumbers::F32), &tokens(7, 3));
    same_in_one_call_as_in_two(&[], &policy, &held_as(KvNumbers::F32), &tokens(7, 3));
}

/// Every head keeps three tokens in four, others than the head before.
fn ragged(log: &KvLog) -> KvLog {
    let geometry = log.geometry();
    let heads = HeadTokens::new(geometry, N_LOG as u32, |_, head, token| (head + token) % 4 != 0);
    let layers = (0..geometry.n_layers).map(|layer| {
        let n = (0..geometry.n_kv_heads).map(|head| heads.tokens_of(layer, head).count()).sum::<usize>();
        let n = n * geometry.head_dim as usize;
        KvLayer { keys: halves(n, 3), values: halves(n, 4) }
    });
    let (ids, positions) = (log.token_ids().to_vec(), log.positions().to_vec());
    KvLog::ragged(*log.fingerprint(), ElementType::F16, ids, positions, heads.clone(), layers.collect()).unwrap()
}

/// A prompt for which there is no room beside the logs makes the cache grow while its layers are away.
#[test]
fn a_prompt_longer_than_the_room_left_gives_the_same_bits() {
    let options = SessionOptions { chunk: 300, ..held_as(KvNumbers::F16) };
    same_in_one_call_as_in_two(&[&log(1)], &AttachPolicy::default(), &options, &tokens(900, 3));
}

/// What a call that fails leaves: nothing, and no token was shown.
fn fails(log: &dyn KvRead, policy: &AttachPolicy, options: SessionOptions, cancel: bool) -> Error {
    let (mut session, mut untouched) = (session(options.clone()), session(options));
    if cancel {
        session.cancellation().cancel();
    }
    let error = session
        .generate_attaching(&[log], policy, &tokens(40, 3), &Sampling::greedy(4), |_| {
            panic!("a token of a call that fails")
        })
        .unwrap_err();
    assert_eq!((session.n_tokens(), session.n_attached()), (3, 0));
    let prompt = tokens(30, 4);
    assert_eq!(bits(&session.feed_for_logits(&prompt).unwrap()), bits(&untouched.feed_for_logits(&prompt).unwrap()));
    error
}

#[test]
fn damage_at_any_layer_leaves_the_session_as_it_was() {
    let sound = in_segment(&log(1), Encoding::Plain);
    let of_layer = sound.len() / N_LAYERS;
    for layer in [0, 2, N_LAYERS - 1] {
        let mut bytes = sound.clone();
        bytes[layer * of_layer + of_layer / 2] ^= 1;
        let segment = Segment::open(&bytes).unwrap();
        for numbers in [KvNumbers::F32, KvNumbers::F16] {
            let error = fails(&segment.kv_log(ONLY).unwrap(), &AttachPolicy::default(), held_as(numbers), false);
            assert!(matches!(error, Error::Corrupt { .. }), "layer {layer}: {error}");
        }
    }
}

/// The log with no number in place of one of its values, at the last layer: everything before it is computed by then.
#[test]
fn what_is_no_number_leaves_the_session_as_it_was() {
    let sound = log(1);
    let mut layers = sound.layers().to_vec();
    layers.last_mut().unwrap().values[400..402].copy_from_slice(&half::f16::NAN.to_bits().to_le_bytes());
    let (ids, positions) = (sound.token_ids().to_vec(), sound.positions().to_vec());
    let log = KvLog::new(*sound.fingerprint(), ElementType::F16, ids, positions, layers).unwrap();
    let error = fails(&log, &AttachPolicy::default(), held_as(KvNumbers::F16), false);
    assert!(error.to_string().contains("layer 4: the value of token 0 is NaN"), "{error}");
}

#[test]
fn cancelling_leaves_the_session_as_it_was() {
    let error = fails(&log(1), &AttachPolicy::default(), held_as(KvNumbers::F16), true);
    assert!(matches!(error, Error::Cancelled), "{error}");
}

/// Logs, prompt and a token are counted together, before a byte of the log is read: this one is damaged.
#[test]
fn too_many_tokens_are_refused_before_anything_is_read() {
    let mut bytes = in_segment(&log(1), Encoding::Plain);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let segment = Segment::open(&bytes).unwrap();
    let options = SessionOptions { context_limit: Some(N_LOG + 3 + 40), ..held_as(KvNumbers::F16) };
    let error = fails(&segment.kv_log(ONLY).unwrap(), &AttachPolicy::default(), options, false);
    assert!(matches!(error, Error::ContextLimit { n_tokens, .. } if n_tokens == N_LOG + 3 + 41), "{error}");
}

/// A log that notes who reads it and panics at one layer.
struct Watched {
    log: KvLog,
    readers: Mutex<Vec<ThreadId>>,
    panics_at: Option<u32>,
}

impl Watched {
    fn new(log: KvLog, panics_at: Option<u32>) -> Self {
        Self { log, readers: Mutex::default(), panics_at }
    }

    fn note(&self, layer: u32) {
        self.readers.lock().unwrap().push(thread::current().id());
        assert_ne!(self.panics_at, Some(layer), "this log panics");
    }
}

impl KvRead for Watched {
    fn fingerprint(&self) -> &ModelFingerprint {
        self.log.fingerprint()
    }
    fn element(&self) -> ElementType {
        self.log.element()
    }
    fn token_ids(&self) -> &[u32] {
        self.log.token_ids()
    }
    fn positions(&self) -> &[u32] {
        self.log.positions()
    }
    fn heads(&self) -> Option<&HeadTokens> {
        self.log.heads()
    }
    fn importance(&self) -> Option<&[f32]> {
        self.log.importance()
    }
    fn is_approximate(&self) -> bool {
        self.log.is_approximate()
    }
    fn read_keys(&self, layer: u32, out: &mut [f32]) -> Result<(), FormatError> {
        self.note(layer);
        self.log.read_keys(layer, out)
    }
    fn read_values(&self, layer: u32, out: &mut [f32]) -> Result<(), FormatError> {
        self.note(layer);
        self.log.read_values(layer, out)
    }
}

/// With two processors a large log is read by another thread, a small one and one to be computed again by this one.
#[test]
fn a_large_log_is_read_by_another_thread() {
    let small = {
        let (ids, n) = (tokens(5, 1), 5 * WIDTH);
        let layers = (0..N_LAYERS).map(|i| KvLayer { keys: halves(n, i), values: halves(n, i + 1) });
        KvLog::new(*MODEL.fingerprint(), ElementType::F16, ids, (0..5).collect(), layers.collect()).unwrap()
    };
    let again = AttachPolicy { recompute: Recompute::FirstTokens(2), ..Default::default() };
    let two = thread::available_parallelism().is_ok_and(|n| n.get() > 1);
    for (log, policy, by_another) in
        [(log(1), AttachPolicy::default(), two), (small, AttachPolicy::default(), false), (log(1), again, false)]
    {
        let log = Watched::new(log, None);
        let mut session = session(held_as(KvNumbers::F16));
        session.generate_attaching(&[&log], &policy, &tokens(4, 3), &Sampling::greedy(1), go_on).unwrap();
        let readers = log.readers.into_inner().unwrap();
        assert_eq!(readers.len(), 2 * N_LAYERS);
        assert!(readers.iter().all(|&reader| (reader != thread::current().id()) == by_another));
    }
}

/// A panic in a log passes through; where it took layers of the cache along, the session says so and makes nothing up.
#[test]
fn a_panic_takes_no_layers_unnoticed() {
    let log = Watched::new(log(1), Some(2));
    let mut session = session(held_as(KvNumbers::F16));
    let call = AssertUnwindSafe(|| {
        session.generate_attaching(&[&log], &AttachPolicy::default(), Prompt::Tokens(&[1]), &Sampling::greedy(1), go_on)
    });
    assert!(catch_unwind(call).is_err());
    if thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
        let error = session.feed(&[1]).unwrap_err();
        assert!(error.to_string().contains("did not come back"), "{error}");
    }
}
