//! Keys and values that look like a language model's: channels of very different size, neighbours alike.
//!
//! Every channel has its own mean and spread (a few are outliers, as reported for keys by KVQuant,
//! <https://arxiv.org/abs/2401.18079>); a token's number is mostly the one before plus noise.

#![allow(dead_code, reason = "every bench includes this file and none uses all of it")]

use lagdb::format::{CaptureStage, Digest, ElementType, KvGeometry, KvLayer, KvLog, ModelFingerprint};

/// Llama-3.2-1B.
pub(crate) const LLAMA_1B: KvGeometry = KvGeometry { n_layers: 16, n_kv_heads: 8, head_dim: 64 };

/// Qwen3-0.6B.
pub(crate) const QWEN3_06B: KvGeometry = KvGeometry { n_layers: 28, n_kv_heads: 8, head_dim: 128 };

/// A KV log of `n_tokens` tokens; the same seed gives the same bytes.
///
/// # Errors
/// Never for the geometries above.
pub(crate) fn kv_log(
    geometry: KvGeometry,
    n_tokens: usize,
    element: ElementType,
    seed: u64,
) -> lagdb::format::Result<KvLog> {
    let mut random = Random(seed);
    let layers = (0..geometry.n_layers).map(|_| {
        Ok(KvLayer {
            keys: column(geometry, n_tokens, element, &mut random, 0.03)?,
            values: column(geometry, n_tokens, element, &mut random, 0.0)?,
        })
    });
    log_of(geometry, n_tokens, element, layers.collect::<lagdb::format::Result<_>>()?)
}

/// One layer in which two in a hundred channels, of keys and of values, are twelve times as large as the others: where one
/// scale for all numbers of a token is bad.
///
/// # Errors
/// Never for the geometries above.
pub(crate) fn outliers(geometry: KvGeometry, n_tokens: usize, element: ElementType) -> lagdb::format::Result<KvLog> {
    let (geometry, mut random) = (KvGeometry { n_layers: 1, ..geometry }, Random(3));
    let mut chunk = || {
        let sizes: Vec<f32> =
            (0..geometry.row_width()).map(|_| if random.unit() < 0.02 { 12.0 } else { 1.0 }).collect();
        let rows = (0..n_tokens).flat_map(|_| sizes.clone());
        element.encode_f32(&rows.map(|size| size * random.normal()).collect::<Vec<_>>())
    };
    let layers = vec![KvLayer { keys: chunk()?, values: chunk()? }];
    log_of(geometry, n_tokens, element, layers)
}

fn log_of(
    geometry: KvGeometry,
    n_tokens: usize,
    element: ElementType,
    layers: Vec<KvLayer>,
) -> lagdb::format::Result<KvLog> {
    let digest = |name: &str| Digest::of("lagdb bench", &[name.as_bytes()]);
    let fingerprint = ModelFingerprint {
        weights: digest("weights"),
        config: digest("config"),
        tokenizer: digest("tokenizer"),
        rope: digest("rope"),
        adapters: None,
        geometry,
        capture: CaptureStage::BeforeRope,
    };
    let ids = (0..n_tokens as u32).collect::<Vec<_>>();
    KvLog::new(fingerprint, element, ids.clone(), ids, layers)
}

/// One column chunk, `[n_tokens, n_kv_heads, head_dim]`.
fn column(
    geometry: KvGeometry,
    n_tokens: usize,
    element: ElementType,
    random: &mut Random,
    outliers: f32,
) -> lagdb::format::Result<Vec<u8>> {
    let width = geometry.row_width();
    let channels: Vec<(f32, f32)> = (0..width)
        .map(|_| {
            let size = if random.unit() < outliers { 8.0 } else { 1.0 };
            (random.normal() * size, (0.2 + random.unit()) * size.sqrt())
        })
        .collect();
    let mut previous = vec![0f32; width];
    let mut numbers = Vec::with_capacity(n_tokens * width);
    for _ in 0..n_tokens {
        for ((mean, spread), last) in channels.iter().zip(&mut previous) {
            *last = 0.7 * *last + 0.7 * random.normal();
            numbers.push(mean + spread * *last);
        }
    }
    element.encode_f32(&numbers)
}

/// SplitMix64.
pub(crate) struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// About normal: the sum of twelve uniform numbers.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}
