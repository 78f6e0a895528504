//! KV logs to write: of any shape, with any bytes, reproducible.

use lagdb_format::{
    CaptureStage, Digest, ElementType, Encoding, HeadTokens, KvGeometry, KvLayer, KvLog, KvRead, ModelFingerprint,
    ProbeQueries, Segment, SegmentWriter,
};

pub(crate) const ELEMENTS: [ElementType; 3] = [ElementType::F32, ElementType::F16, ElementType::Bf16];

/// Sizes of a KV log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) n_layers: u32,
    pub(crate) n_kv_heads: u32,
    pub(crate) head_dim: u32,
    pub(crate) n_tokens: usize,
}

impl Shape {
    /// Two layers, two heads of four, three tokens: a few hundred bytes.
    pub(crate) const TINY: Self = Self { n_layers: 2, n_kv_heads: 2, head_dim: 4, n_tokens: 3 };

    fn geometry(self) -> KvGeometry {
        let Self { n_layers, n_kv_heads, head_dim, .. } = self;
        KvGeometry { n_layers, n_kv_heads, head_dim }
    }
}

/// The fingerprint of model number `model`.
pub(crate) fn fingerprint(shape: Shape, model: u8) -> ModelFingerprint {
    let digest = |field: u8| Digest(std::array::from_fn(|i| model.wrapping_mul(31) ^ field.wrapping_add(i as u8)));
    ModelFingerprint {
        weights: digest(1),
        config: digest(2),
        tokenizer: digest(3),
        rope: digest(4),
        adapters: None,
        geometry: shape.geometry(),
        capture: CaptureStage::BeforeRope,
    }
}

/// A log whose bytes come from `byte`, called once per byte in file order.
pub(crate) fn log_of(shape: Shape, element: ElementType, mut byte: impl FnMut() -> u8) -> KvLog {
    let n_bytes = shape.n_tokens * shape.geometry().row_width() * element.n_bytes();
    let mut chunk = || (0..n_bytes).map(|_| byte()).collect::<Vec<_>>();
    let layers = (0..shape.n_layers).map(|_| KvLayer { keys: chunk(), values: chunk() }).collect();
    let token_ids = (0..shape.n_tokens).map(|i| (i * 7919 % 32_000) as u32).collect();
    let positions = (0..shape.n_tokens).map(|i| (i * 3 + 5) as u32).collect();
    KvLog::new(fingerprint(shape, 1), element, token_ids, positions, layers).unwrap()
}

/// A log of noise from `seed`.
pub(crate) fn noise(shape: Shape, element: ElementType, seed: u64) -> KvLog {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    log_of(shape, element, || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
}

/// A log of bytes that repeat.
pub(crate) fn pattern(shape: Shape, element: ElementType) -> KvLog {
    let mut i = 0_u32;
    log_of(shape, element, || {
        i += 1;
        (i % 6) as u8
    })
}

/// A log of noise whose heads keep about half of the tokens each.
pub(crate) fn ragged(shape: Shape, element: ElementType, seed: u64) -> KvLog {
    let log = noise(shape, element, seed);
    let heads = HeadTokens::new(shape.geometry(), shape.n_tokens as u32, |layer, head, token| {
        (seed >> ((layer * 7 + head * 3 + token) % 31)) & 1 == 0
    });
    let layer = |(number, layer): (u32, &KvLayer)| {
        let n_bytes = heads.n_rows_of(number) as usize * shape.head_dim as usize * element.n_bytes();
        KvLayer { keys: layer.keys[..n_bytes].to_vec(), values: layer.values[..n_bytes].to_vec() }
    };
    let layers = (0..).zip(log.layers()).map(layer).collect();
    let (ids, positions) = (log.token_ids().to_vec(), log.positions().to_vec());
    KvLog::ragged(*log.fingerprint(), element, ids, positions, heads, layers).unwrap()
}

/// Scores that go up and down.
pub(crate) fn importance(log: &KvLog) -> Vec<f32> {
    (0..log.n_tokens()).map(|token| (token * 7 % 5) as f32 + token as f32 / 64.0).collect()
}

/// A segment with everything in it: every element type and encoding, pages of 32 bytes, no tokens at all, tokens of each
/// head, importance, probe queries.
pub(crate) fn everything(segment_id: u64) -> (Vec<u8>, Vec<KvLog>) {
    let one_head = Shape { n_layers: 1, n_kv_heads: 1, head_dim: 3, n_tokens: 2 };
    let logs = vec![
        (noise(Shape::TINY, ElementType::Bf16, 1), Encoding::Plain),
        (pattern(Shape { n_tokens: 8, ..Shape::TINY }, ElementType::F32), Encoding::ByteSplitZstd),
        (noise(Shape { n_tokens: 0, ..Shape::TINY }, ElementType::F32, 2), Encoding::Plain),
        (noise(one_head, ElementType::F16, 3), Encoding::ByteSplitZstd),
        (noise(Shape::TINY, ElementType::Bf16, 4), Encoding::Plain),
        (ragged(Shape { n_tokens: 9, ..Shape::TINY }, ElementType::F16, 0x5a3c_96f1), Encoding::Plain),
        (with_everything(), Encoding::ByteSplitZstd),
        (pattern(Shape { n_layers: 1, n_tokens: 8, ..Shape::TINY }, ElementType::F32), Encoding::ExponentHuffman),
    ];
    let mut writer = SegmentWriter::new(segment_id).with_page_bytes(32);
    for (i, (log, encoding)) in logs.iter().enumerate() {
        if i == 1 {
            // A page long enough for zstd to be worth it.
            writer = writer.with_page_bytes(256);
        }
        if log.probes().is_some() {
            writer = writer.with_key_summaries();
        }
        writer.push(log, *encoding).unwrap();
    }
    (writer.finish().unwrap(), logs.into_iter().map(|(log, _)| log).collect())
}

/// A ragged log with importance and probe queries.
fn with_everything() -> KvLog {
    let log = ragged(Shape { n_tokens: 5, ..Shape::TINY }, ElementType::F32, 0x1234_5678);
    let importance = importance(&log);
    let probes = ProbeQueries::new(2, 4, vec![3], (0..16).map(|i| i as f32).collect()).unwrap();
    let probes = probes.with_frequencies(vec![1.0, 0.01]).unwrap();
    log.with_importance(&importance).unwrap().with_probes(probes).unwrap()
}

/// Every log of a segment, read in every way there is; the ways must agree.
pub(crate) fn read_all(bytes: &[u8]) -> lagdb_format::Result<Vec<KvLog>> {
    let segment = Segment::open(bytes)?;
    let logs = segment.footer().row_groups().iter().map(|row_group| {
        let view = segment.kv_log(row_group.index())?;
        let log = view.to_log()?;
        assert_eq!(numbers(&view)?, numbers(&log)?);
        Ok(log)
    });
    logs.collect()
}

/// The f32s of every column chunk, as bits so that NaNs compare.
pub(crate) fn numbers(log: &dyn KvRead) -> lagdb_format::Result<Vec<u32>> {
    let mut bits = Vec::new();
    for layer in 0..log.geometry().n_layers {
        let mut out = vec![0.0_f32; log.layer_numbers(layer)?];
        log.read_keys(layer, &mut out)?;
        bits.extend(out.iter().map(|x| x.to_bits()));
        log.read_values(layer, &mut out)?;
        bits.extend(out.iter().map(|x| x.to_bits()));
    }
    Ok(bits)
}

/// Whether opening or verifying finds something wrong.
pub(crate) fn is_found(bytes: &[u8]) -> bool {
    !Segment::open(bytes).is_ok_and(|segment| segment.verify().is_sound())
}

/// The bytes of a segment of these logs.
pub(crate) fn segment(segment_id: u64, logs: &[(&KvLog, Encoding)]) -> Vec<u8> {
    let mut writer = SegmentWriter::new(segment_id);
    for (log, encoding) in logs {
        writer.push(log, *encoding).unwrap();
    }
    writer.finish().unwrap()
}
