//! What a policy leaves unread changes attention by no more than it was allowed to.

use super::{Asking, Mix, PagePolicy, PageSource, PagesRead, SeenPages, attend};
use crate::generate::config::{RopeConfig, RopeScaling};
use crate::generate::heads::HeadShape;
use crate::generate::rope::Rope;
use lagdb_format::{
    Bytes, CaptureStage, Digest, ElementType, Encoding, KvGeometry, KvLayer, KvLog, KvLogView, ModelFingerprint,
    Segment, SegmentWriter,
};
use std::sync::Arc;

const GEOMETRY: KvGeometry = KvGeometry { n_layers: 1, n_kv_heads: 2, head_dim: 8 };
const SHAPE: HeadShape = HeadShape { n_tokens: 3, n_heads: 4, head_dim: 8 };
const N_PAGES: usize = 9;

/// Numbers from -1 to 1.
fn units(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| unit()).collect()
}

/// Keys of a page are near a mean of its own, values are from -1 to 1.
fn log(page_tokens: usize) -> KvLogView<'static> {
    let (n_tokens, width) = (N_PAGES * page_tokens, GEOMETRY.row_width());
    let means = units(N_PAGES * width, 1);
    let near = |(i, x): (usize, &f32)| 4.0 * means[i / (page_tokens * width) * width + i % width] + 0.2 * x;
    let keys: Vec<f32> = units(n_tokens * width, 2).iter().enumerate().map(near).collect();
    let encode = |numbers: &[f32]| ElementType::F16.encode_f32(numbers).unwrap();
    let digest = |name: &str| Digest::of(name, &[]);
    let fingerprint = ModelFingerprint {
        weights: digest("weights"),
        config: digest("config"),
        tokenizer: digest("tokenizer"),
        rope: digest("rope"),
        adapters: None,
        geometry: GEOMETRY,
        capture: CaptureStage::BeforeRope,
    };
    let layers = vec![KvLayer { keys: encode(&keys), values: encode(&units(n_tokens * width, 3)) }];
    let ids: Vec<u32> = (0..n_tokens as u32).collect();
    let log = KvLog::new(fingerprint, ElementType::F16, ids.clone(), ids, layers).unwrap();
    let mut writer = SegmentWriter::new(1).with_page_bytes(2 * page_tokens * width).with_key_summaries();
    writer.push(&log, Encoding::Int8).unwrap();
    let bytes = writer.finish().unwrap();
    let segment = Segment::open(&bytes).unwrap();
    let row_group = &segment.footer().row_groups()[0];
    let range = row_group.range();
    KvLogView::new(row_group, Bytes::from(bytes[range.start as usize..range.end as usize].to_vec())).unwrap()
}

/// Attention over the log beside rows whose mix is from -1 to 1.
fn answer(log: &KvLogView<'static>, negligible: f32, seed: u64) -> (Mix, PagesRead) {
    let policy = PagePolicy { negligible, ..PagePolicy::default() };
    let source = Arc::new(PageSource::new(std::slice::from_ref(log), GEOMETRY, policy, 0, 0).unwrap());
    assert_eq!(source.n_pages(), N_PAGES);
    let rope = Rope::new(&RopeConfig { theta: 1e4, scaling: RopeScaling::None }, SHAPE.head_dim);
    let seen = SeenPages { source, distances: rope.angles(&[5, 6, 7]), tokens: [vec![0, 1, 2], vec![0, 1, 2]] };
    let n = SHAPE.n_tokens * SHAPE.n_heads;
    let query: Vec<f32> = units(n * SHAPE.head_dim, seed).into_iter().map(|x| 3.0 * x).collect();
    let asking = Asking { query: &query, shape: SHAPE, n_kv_heads: 2, layer: 0, windowed: false, rope: true };
    let mut mix = Mix { numbers: units(n * SHAPE.head_dim, seed + 1), sums: units(n, seed + 2) };
    let read = attend(asking, &seen, &mut mix).unwrap();
    (mix, read)
}

/// With a share `m` left out, what is mixed is off by `m` times the difference of two mixes of values, and `ln Σ exp` by `-ln(1 - m)`.
/// Logits of a whole model have no such bound: layers come between.
#[test]
fn what_is_negligible_changes_attention_by_no_more() {
    // Pages with ranges by token and by channel.
    for page_tokens in [8, 40] {
        let (log, mut left_out) = (log(page_tokens), 0);
        for seed in 10..30 {
            let (all, read) = answer(&log, 0.0, seed);
            assert_eq!(read.read, read.of);
            for negligible in [1e-4, 0.01, 0.2] {
                let (some, read) = answer(&log, negligible, seed);
                left_out += read.of - read.read;
                for (all, some) in all.numbers.iter().zip(&some.numbers) {
                    assert!((all - some).abs() <= 2.01 * negligible + 1e-5, "{negligible}: {some} is {all}");
                }
                for (all, some) in all.sums.iter().zip(&some.sums) {
                    let most = -(-negligible).ln_1p() + 1e-5;
                    assert!((-1e-5..=most).contains(&(all - some)), "{negligible}: {some} is {all}");
                }
            }
        }
        assert!(left_out > 100, "{left_out}");
    }
}
