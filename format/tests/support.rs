//! KV logs to write: of any shape, with any bytes, reproducible.

use lagdb_format::{
    CaptureStage, Digest, ElementType, Encoding, KvGeometry, KvLayer, KvLog, ModelFingerprint, SegmentWriter,
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

/// The bytes of a segment of these logs.
pub(crate) fn segment(segment_id: u64, logs: &[(&KvLog, Encoding)]) -> Vec<u8> {
    let mut writer = SegmentWriter::new(segment_id);
    for (log, encoding) in logs {
        writer.push(log, *encoding).unwrap();
    }
    writer.finish().unwrap()
}
