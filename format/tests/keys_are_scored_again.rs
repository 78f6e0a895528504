//! Probe queries score the tokens of a stored log as the model's own attention would, without the model.

use crate::support::{Shape, fingerprint, noise, ragged};
use lagdb_format::{
    ElementType, Encoding, FormatError, KvLayer, KvLog, KvRead, Precision, ProbeQueries, RowGroupIndex, Segment,
    SegmentWriter,
};

const SHAPE: Shape = Shape { n_layers: 2, n_kv_heads: 2, head_dim: 4, n_tokens: 6 };
const FREQUENCIES: [f64; 2] = [1.0, 0.01];

/// Keys between -1 and 1; token `i` stands at position `2 i`.
fn log() -> KvLog {
    let mut state = 7_u64;
    let mut column = || {
        let numbers: Vec<f32> = (0..6 * 2 * 4)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        ElementType::F32.encode_f32(&numbers).unwrap()
    };
    let layers = (0..2).map(|_| KvLayer { keys: column(), values: column() }).collect();
    let positions = (0..6).map(|i| 2 * i).collect();
    KvLog::new(fingerprint(SHAPE, 1), ElementType::F32, (0..6).collect(), positions, layers).unwrap()
}

/// Four query heads over two KV heads; queries at positions 7 and 30.
fn probes() -> ProbeQueries {
    let numbers = (0..2 * 4 * 2 * 4).map(|i| ((i * 37 % 23) as f32 - 11.0) / 6.0).collect();
    ProbeQueries::new(4, 4, vec![7, 30], numbers).unwrap()
}

fn turned(vector: &[f32], position: u32) -> [f64; 4] {
    std::array::from_fn(|i| {
        let (sin, cos) = (f64::from(position) * FREQUENCIES[i % 2]).sin_cos();
        let (a, b) = (f64::from(vector[i % 2]), f64::from(vector[i % 2 + 2]));
        if i < 2 { a * cos - b * sin } else { a * sin + b * cos }
    })
}

/// Attention written down once more, query by query.
fn expected(log: &KvLog) -> Vec<f64> {
    let probes = probes();
    let mut scores = vec![0.0; 6];
    for layer in 0..2 {
        let mut keys = vec![0.0; 48];
        log.read_keys(layer, &mut keys).unwrap();
        for (head, at) in (0..4).flat_map(|head| [(head, 0), (head, 1)]) {
            let query = turned(&probes.numbers()[((layer as usize * 4 + head) * 2 + at) * 4..][..4], [7, 30][at]);
            let weight = |token: usize| {
                let position = log.positions()[token];
                let key = turned(&keys[(token * 2 + head / 2) * 4..][..4], position);
                let dot: f64 = key.iter().zip(query).map(|(k, q)| k * q).sum();
                if position <= [7, 30][at] { (dot / 2.0).exp() } else { 0.0 }
            };
            let sum: f64 = (0..6).map(weight).sum();
            (0..6).for_each(|token| scores[token] += weight(token) / sum / 16.0);
        }
    }
    scores
}

#[test]
fn scores_are_those_of_attention_wherever_the_log_lies() {
    let log = log();
    let log = log.with_probes(probes().with_frequencies(FREQUENCIES.to_vec()).unwrap()).unwrap();
    let expected = expected(&log);
    assert!((expected.iter().sum::<f64>() - 1.0).abs() < 1e-12 && expected[0] > 2.0 * expected[5], "{expected:?}");
    let assert_near = |found: &[f32], most: f64| {
        let distance = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(found.len() == 6 && distance < most, "{found:?} is not {expected:?}");
    };
    assert_near(&log.probes().unwrap().score(&log).unwrap(), 1e-6);
    let mut writer = SegmentWriter::new(1);
    let index = writer.push_levels(&log, &Encoding::LAYERED).unwrap();
    let bytes = writer.finish().unwrap();
    let view = Segment::open(&bytes).unwrap().kv_log(index).unwrap();
    let stored = view.probes().unwrap().unwrap();
    assert_eq!(stored.frequencies(), Some(&FREQUENCIES[..]));
    assert_near(&stored.score(&view).unwrap(), 1e-6);
    assert_near(&stored.score(&view.with_precision(Precision::Int8)).unwrap(), 0.01);
}

/// A selection by another score, long after the session: the tokens come in its order, and a prefix is the best of them.
#[test]
fn a_log_is_ordered_anew() {
    let log = log();
    let scores = probes().with_frequencies(FREQUENCIES.to_vec()).unwrap().score(&log).unwrap();
    let best = (0..6).max_by(|a, b| scores[*a as usize].total_cmp(&scores[*b as usize])).unwrap();
    let ordered = log.with_importance(&scores).unwrap();
    assert_eq!(ordered.token_ids()[0], best);
    let bytes = crate::support::segment(1, &[(&ordered, Encoding::Plain)]);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    let again = probes().with_frequencies(FREQUENCIES.to_vec()).unwrap().score(&view).unwrap();
    assert!(again.is_sorted_by(|a, b| a >= b), "{again:?}");
}

/// Where the heads keep tokens of their own, each scores what it keeps.
#[test]
fn a_head_scores_the_tokens_it_keeps() {
    let log = ragged(SHAPE, ElementType::Bf16, 0x00f3_35c5);
    let zeros: Vec<_> = log.layers().iter().map(|layer| vec![0; layer.keys.len()]).collect();
    let layers = zeros.into_iter().map(|zeros| KvLayer { keys: zeros.clone(), values: zeros }).collect();
    let heads = log.heads().unwrap().clone();
    let (ids, positions) = (log.token_ids().to_vec(), log.positions().to_vec());
    let log = KvLog::ragged(*log.fingerprint(), ElementType::Bf16, ids, positions, heads, layers).unwrap();
    let probes = ProbeQueries::new(2, 4, vec![100], vec![1.0; 2 * 2 * 4]).unwrap();
    let scores = probes.with_frequencies(FREQUENCIES.to_vec()).unwrap().score(&log).unwrap();
    // Keys of zeros share a head's attention evenly.
    for token in 0..6_u32 {
        let heads = log.heads().unwrap();
        let shares = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(layer, head)| {
            let keeps = heads.tokens_of(layer, head).any(|kept| kept == token);
            if keeps { 1.0 / f64::from(heads.n_tokens_of(layer, head)) } else { 0.0 }
        });
        let expected = shares.iter().sum::<f64>() / 4.0;
        assert!((f64::from(scores[token as usize]) - expected).abs() < 1e-6, "{token}: {scores:?}");
    }
}

#[test]
fn what_cannot_be_scored_says_why() {
    let is_invalid = |result: lagdb_format::Result<Vec<f32>>, what| matches!(result, Err(FormatError::Invalid { what: found, .. }) if found == what);
    assert!(is_invalid(probes().score(&log()), "probe queries"), "no frequencies");
    let probes = probes().with_frequencies(FREQUENCIES.to_vec()).unwrap();
    let other = noise(Shape { n_layers: 3, ..SHAPE }, ElementType::F32, 1);
    assert!(is_invalid(probes.score(&other), "probe queries"), "another number of layers");
    for wrong in [vec![], vec![1.0, f64::NAN], vec![1.0; 3]] {
        assert!(matches!(self::probes().with_frequencies(wrong), Err(FormatError::Invalid { .. })));
    }
    let one = self::probes().with_frequencies(vec![1.0]).unwrap();
    assert!(log().with_probes(one).is_err(), "one pair of two");
}
