//! No key scores more than the bound of its page, wherever query and keys stand.

use crate::support::{ELEMENTS, Shape, fingerprint};
use lagdb_format::{
    ElementType, Encoding, HeadTokens, KvLayer, KvLog, KvLogView, KvRead, Precision, RowGroupIndex, Segment,
    SegmentWriter,
};
use proptest::prelude::*;

const SHAPE: Shape = Shape { n_layers: 2, n_kv_heads: 2, head_dim: 8, n_tokens: 23 };
const N_HEADS: usize = 4;

/// Keys of very different sizes from channel to channel, as models make them.
fn log(seed: u64, element: ElementType, is_ragged: bool) -> KvLog {
    let mut state = seed;
    let mut number = move |i: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
        uniform * [0.01, 1.0, 30.0, 1e-5][i % 8 % 4]
    };
    let fingerprint = fingerprint(SHAPE, 1);
    let heads = HeadTokens::new(fingerprint.geometry, 23, |layer, head, token| (layer + head + token) % 3 != 0);
    let mut layer = |layer: u32| {
        let n_rows = if is_ragged { heads.n_rows_of(layer) as usize } else { 23 * 2 };
        let numbers: Vec<f32> = (0..n_rows * 8).map(&mut number).collect();
        KvLayer { keys: element.encode_f32(&numbers).unwrap(), values: element.encode_f32(&numbers).unwrap() }
    };
    let layers = vec![layer(0), layer(1)];
    let (ids, positions) = ((0..23).collect(), (0..23).collect());
    match is_ragged {
        true => KvLog::ragged(fingerprint, element, ids, positions, heads, layers).unwrap(),
        false => KvLog::new(fingerprint, element, ids, positions, layers).unwrap(),
    }
}

fn segment(log: &KvLog, levels: &[Encoding]) -> Vec<u8> {
    // Pages of a few tokens.
    let mut writer = SegmentWriter::new(1).with_page_bytes(160).with_key_summaries();
    writer.push_levels(log, levels).unwrap();
    writer.finish().unwrap()
}

/// Turns the pairs `(i, i + 4)` of a vector of eight as RoPE does at `position`.
fn turned(vector: &[f32], position: i32) -> Vec<f64> {
    let mut out: Vec<f64> = vector.iter().map(|x| f64::from(*x)).collect();
    for pair in 0..4 {
        let angle = f64::from(position) * 10_000_f64.powf(-(pair as f64) / 4.0);
        let (sin, cos) = angle.sin_cos();
        let (a, b) = (out[pair], out[pair + 4]);
        (out[pair], out[pair + 4]) = (a * cos - b * sin, a * sin + b * cos);
    }
    out
}

/// The keys of each page and head of layer 1, as a reader decodes them.
fn keys_of_pages(view: &KvLogView<'_>) -> Vec<Vec<Vec<f32>>> {
    let mut keys = vec![0.0; view.layer_numbers(1).unwrap()];
    view.read_keys(1, &mut keys).unwrap();
    let summaries = view.key_summaries(1).unwrap().unwrap();
    let mut rest = &keys[..];
    let mut pages = Vec::new();
    for page in &summaries {
        let heads_in_page = page.heads.len();
        let (rows, after) = rest.split_at(page.n_rows as usize * heads_in_page * 8);
        rest = after;
        let of = |head: u32| match page.head {
            None => rows.chunks(8).skip(head as usize).step_by(2).flatten().copied().collect(),
            Some(only) if only == head => rows.to_vec(),
            Some(_) => vec![],
        };
        pages.push(vec![of(0), of(1)]);
    }
    assert!(rest.is_empty());
    pages
}

proptest! {
    #[test]
    fn no_key_exceeds_the_bound_of_its_page(
        seed in any::<u64>(),
        element in prop::sample::select(&ELEMENTS[..]),
        levels in prop::sample::select(vec![&Encoding::LOSSLESS[..1], &Encoding::LOSSLESS[1..2], &Encoding::LOSSLESS[2..], &[Encoding::Int8], &Encoding::LAYERED[..1], &Encoding::LAYERED]),
        is_ragged in any::<bool>(),
        query in prop::collection::vec(-8.0_f32..8.0, N_HEADS * 8),
        precision in prop::sample::select(vec![Precision::Base, Precision::Int8, Precision::Exact]),
        at in (0..200_000_i32, 0..200_000_i32),
        n_tokens in 8..24_usize,
    ) {
        let bytes = segment(&log(seed, element, is_ragged), levels);
        let opened = Segment::open(&bytes).unwrap();
        prop_assert!(opened.verify().is_sound());
        let view = opened.kv_log(RowGroupIndex(0)).unwrap();
        let view = view.with_precision(precision).prefix(n_tokens);
        let bounds = view.page_bounds(1, &query).unwrap().unwrap();
        let pages = keys_of_pages(&view);
        prop_assert!(pages.len() > 1);
        prop_assert_eq!(bounds.pages().count(), pages.len());
        let summaries = view.key_summaries(1).unwrap().unwrap();
        let rows: Vec<_> = summaries.iter().map(|page| page.first_row..page.first_row + page.n_rows).collect();
        prop_assert_eq!(bounds.rows().collect::<Vec<_>>(), rows);
        for (bounds, heads) in bounds.pages().zip(&pages) {
            for (head, bound) in bounds.iter().enumerate() {
                let keys = &heads[head * 2 / N_HEADS];
                prop_assert_eq!(keys.is_empty(), *bound == f32::NEG_INFINITY);
                let query = turned(&query[head * 8..][..8], at.0);
                for key in keys.chunks(8) {
                    let score: f64 = turned(key, at.1).iter().zip(&query).map(|(k, q)| k * q).sum();
                    prop_assert!(score <= f64::from(*bound), "{score} > {bound}");
                }
            }
        }
    }
}

/// The scores of each page, head after head: those of the query as it is, whose keys stand where it stands.
fn scores_in_place<'a>(keys: &'a [f32], query: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
    keys.chunks(8).map(move |key| key.iter().zip(query).map(|(k, q)| f64::from(*k) * f64::from(*q)).sum())
}

proptest! {
    /// Of keys before RoPE, or where all stand at one position: no score is above the bound, and their mean not below its own.
    #[test]
    fn scores_in_place_are_between_what_is_said_of_them(
        seed in any::<u64>(),
        element in prop::sample::select(&ELEMENTS[..]),
        encoding in prop::sample::select(vec![Encoding::Plain, Encoding::Int8, Encoding::Int4]),
        is_ragged in any::<bool>(),
        query in prop::collection::vec(-8.0_f32..8.0, 8),
    ) {
        let bytes = segment(&log(seed, element, is_ragged), &[encoding]);
        let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
        for (page, keys) in view.key_summaries(1).unwrap().unwrap().iter().zip(keys_of_pages(&view)) {
            for (head, summary) in (page.head.unwrap_or(0)..).zip(&page.heads) {
                let scores: Vec<f64> = scores_in_place(&keys[head as usize], &query).collect();
                let found = summary.scores_in_place(&query);
                let (most, mean) = (scores.iter().copied().fold(f64::MIN, f64::max), scores.iter().sum::<f64>() / scores.len() as f64);
                prop_assert!(most <= f64::from(found.bound), "{most} > {}", found.bound);
                prop_assert!(mean >= f64::from(found.mean), "{mean} < {}", found.mean);
            }
        }
    }
}

/// The summaries were once of f32 alone: a key that a reader of bytes gets is rounded to bf16, away from zero too, and
/// exceeded the norms of its page.
#[test]
fn keys_rounded_to_the_element_type_are_bounded_too() {
    for (seed, levels) in (0..40).flat_map(|seed| [(seed, &[Encoding::Int8][..]), (seed, &Encoding::LAYERED[..2])]) {
        let bytes = segment(&log(seed, ElementType::Bf16, false), levels);
        let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
        for view in [view.clone().with_precision(Precision::Base), view] {
            let mut keys = vec![0.0; view.layer_numbers(1).unwrap()];
            ElementType::Bf16.decode_f32(&view.keys_raw(1).unwrap(), &mut keys).unwrap();
            let mut rows = keys.chunks_exact(16);
            for page in view.key_summaries(1).unwrap().unwrap() {
                for row in rows.by_ref().take(page.n_rows as usize) {
                    for (key, summary) in row.chunks(8).zip(&page.heads) {
                        assert!(key.iter().zip(&summary.max).all(|(x, max)| x <= max), "{key:?}: {summary:?}");
                        assert!(key.iter().zip(&summary.min).all(|(x, min)| x >= min), "{key:?}: {summary:?}");
                        let norms = (0..4).map(|pair| f64::from(key[pair]).hypot(key[pair + 4].into()));
                        let mut bounded = norms.zip(&summary.pair_norm).map(|(norm, most)| norm <= f64::from(*most));
                        assert!(bounded.all(|is_bounded| is_bounded), "{key:?}: {summary:?}");
                    }
                }
            }
        }
    }
}

/// A bound that is far above every score skips nothing: with one key, in the query's own direction, it is the score.
#[test]
fn the_bound_is_near_where_it_can_be() {
    let log = log(7, ElementType::F16, false);
    let bytes = segment(&log, &[Encoding::Plain]);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    let mut keys = vec![0.0; view.layer_numbers(0).unwrap()];
    view.read_keys(0, &mut keys).unwrap();
    let summary = &view.key_summaries(0).unwrap().unwrap()[0];
    let largest = (0..summary.n_rows as usize).map(|row| &keys[row * 16..row * 16 + 8]);
    let norm = |key: &[f32]| key.iter().map(|x| x * x).sum::<f32>();
    let key = largest.max_by(|a, b| norm(a).total_cmp(&norm(b))).unwrap();
    let bound = summary.heads[0].score_bound(key);
    assert!(bound >= norm(key) && bound < 1.5 * norm(key), "{bound} for {}", norm(key));
    let extremes = (0..summary.n_rows as usize).map(|row| keys[row * 16 + 2]);
    assert_eq!(summary.heads[0].max[2], extremes.clone().fold(f32::MIN, f32::max));
    assert_eq!(summary.heads[0].min[2], extremes.fold(f32::MAX, f32::min));
}

#[test]
fn a_log_without_summaries_has_no_bounds() {
    let log = log(7, ElementType::F16, false);
    let bytes = crate::support::segment(1, &[(&log, Encoding::Plain)]);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    assert_eq!(view.page_bounds(0, &[0.0; 32]).unwrap(), None);
    assert!(view.page_bounds(0, &[0.0; 8]).is_err(), "one query head for two KV heads");
    assert!(view.page_bounds(2, &[0.0; 32]).is_err(), "no such layer");
}
