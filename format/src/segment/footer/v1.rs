//! The footer of version 1: an rkyv archive, checked in this order: checksum, archive structure, meaning.
//!
//! Its structs are frozen: rkyv has no schema evolution. Nothing writes it any more.

use super::{Entries, Entry};
use crate::{CaptureStage, Digest, FormatError, KvGeometry, ModelFingerprint, Result};
use rkyv::Archive;

#[derive(Archive)]
#[allow(dead_code, reason = "only the archived forms are read")]
struct FooterV1 {
    segment_id: u64,
    fingerprints: Vec<FingerprintV1>,
    row_groups: Vec<RowGroupV1>,
}

#[derive(Archive)]
#[allow(dead_code, reason = "only the archived forms are read")]
struct FingerprintV1 {
    weights: [u8; 32],
    config: [u8; 32],
    tokenizer: [u8; 32],
    rope: [u8; 32],
    n_layers: u32,
    n_kv_heads: u32,
    head_dim: u32,
    capture: u8,
}

#[derive(Archive)]
#[allow(dead_code, reason = "only the archived forms are read")]
struct RowGroupV1 {
    n_bytes: u64,
    n_tokens: u32,
    tokens_per_page: u32,
    fingerprint: u32,
    element: u8,
}

/// What the archive `bytes` says, found at `offset` of segment `segment_id`.
///
/// # Errors
/// [`FormatError::Corrupt`] for wrong bytes, [`FormatError::Unsupported`] for codes that are not known.
pub(super) fn read(bytes: &[u8], offset: u64, segment_id: u64) -> Result<Entries> {
    let archive = rkyv::access::<ArchivedFooterV1, rkyv::rancor::Failure>(bytes)
        .map_err(|_| FormatError::corrupt(offset, "footer", "is not a footer archive"))?;
    if archive.segment_id.to_native() != segment_id {
        return Err(FormatError::corrupt(offset, "footer segment id", "differs from the tail"));
    }
    let row_groups = archive.row_groups.iter().map(|entry| Entry {
        n_bytes: entry.n_bytes.to_native(),
        n_tokens: entry.n_tokens.to_native(),
        tokens_per_page: entry.tokens_per_page.to_native(),
        fingerprint: entry.fingerprint.to_native(),
        element: entry.element,
        rest: None,
    });
    let fingerprints = archive.fingerprints.iter().map(ArchivedFingerprintV1::read).collect::<Result<_>>()?;
    Ok(Entries { fingerprints, row_groups: row_groups.collect() })
}

impl ArchivedFingerprintV1 {
    fn read(&self) -> Result<ModelFingerprint> {
        let capture = CaptureStage::from_code(self.capture)
            .ok_or_else(|| FormatError::Unsupported { field: "capture stage", detail: self.capture.to_string() })?;
        let geometry = KvGeometry {
            n_layers: self.n_layers.to_native(),
            n_kv_heads: self.n_kv_heads.to_native(),
            head_dim: self.head_dim.to_native(),
        };
        Ok(ModelFingerprint {
            weights: Digest(self.weights),
            config: Digest(self.config),
            tokenizer: Digest(self.tokenizer),
            rope: Digest(self.rope),
            adapters: None,
            geometry,
            capture,
        })
    }
}
