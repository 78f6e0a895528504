//! Which model a KV log fits: everything that changes the meaning of its keys and values.
//!
//! Two fingerprints are equal exactly when a KV log captured under one may be attached under the other.

use crate::KvGeometry;
use std::fmt;

/// A 256-bit BLAKE3 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digest of length-prefixed `parts` under `domain`; no two different lists of parts share an input.
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(domain);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Where in a layer the keys were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CaptureStage {
    /// After the key projection (and `k_norm`, where the model has one) and before RoPE.
    BeforeRope = 1,
}

impl CaptureStage {
    /// The stage with this number in FORMAT.md, if there is one.
    pub fn from_code(code: u8) -> Option<Self> {
        (code == 1).then_some(Self::BeforeRope)
    }
}

/// Identity of the model that made a KV log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelFingerprint {
    /// Every weight tensor: a root over one digest of name, type, shape and bytes each.
    pub weights: Digest,
    /// The parts of the configuration that change the computation.
    pub config: Digest,
    /// Vocabulary, merges and normalisation: what a token id means.
    pub tokenizer: Digest,
    /// RoPE: base, scaling, rotated width and pairing of dimensions.
    pub rope: Digest,
    /// Adapters (such as LoRA) that change the computation beside the weights; `None` without any.
    pub adapters: Option<Digest>,
    /// Layers, KV heads and head width.
    pub geometry: KvGeometry,
    /// Where in the layer the keys were taken.
    pub capture: CaptureStage,
}

impl ModelFingerprint {
    /// One digest over all fields; what a KV log is filed under.
    ///
    /// A model without adapters keeps the id that it had before fingerprints knew of adapters, so that logs filed then
    /// are found.
    pub fn id(&self) -> Digest {
        let KvGeometry { n_layers, n_kv_heads, head_dim } = self.geometry;
        let geometry = [n_layers, n_kv_heads, head_dim].map(u32::to_le_bytes).concat();
        let capture = [self.capture as u8];
        let mut parts: Vec<&[u8]> =
            vec![&self.weights.0, &self.config.0, &self.tokenizer.0, &self.rope.0, &geometry, &capture];
        let Some(adapters) = &self.adapters else { return Digest::of("lagdb model fingerprint v1", &parts) };
        parts.push(&adapters.0);
        Digest::of("lagdb model fingerprint v2", &parts)
    }

    /// The name of the first field in which the two differ; `None` when they are equal.
    ///
    /// Ordered from what explains most to what explains least: a different geometry is named before the
    /// different weights that it implies.
    pub fn mismatch(&self, other: &Self) -> Option<&'static str> {
        [
            ("geometry", self.geometry != other.geometry),
            ("tokenizer", self.tokenizer != other.tokenizer),
            ("rope", self.rope != other.rope),
            ("config", self.config != other.config),
            ("capture", self.capture != other.capture),
            ("adapters", self.adapters != other.adapters),
            ("weights", self.weights != other.weights),
        ]
        .into_iter()
        .find_map(|(field, differs)| differs.then_some(field))
    }
}
