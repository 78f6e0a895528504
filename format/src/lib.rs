//! The KV segment format: keys and values of selected tokens, by layer, checksummed and addressed by model.
//!
//! This crate knows bytes only: no paths, no database, no tensors. It is the language that the store and the
//! generator both speak: [`KvLog`] (in memory), [`KvLogView`] (in a segment) and [`ModelFingerprint`] (which model
//! a KV log fits). [`SegmentWriter`] writes, [`Segment`] reads; [`encoding`] makes pages smaller.
//!
//! ```
//! use lagdb_format::{
//!     CaptureStage, Digest, ElementType, Encoding, KvGeometry, KvLayer, KvLog, KvRead, ModelFingerprint, Segment,
//!     SegmentWriter,
//! };
//!
//! # fn main() -> lagdb_format::Result<()> {
//! let fingerprint = ModelFingerprint {
//!     weights: Digest::of("weights", &[b"of a model"]),
//!     config: Digest::of("config", &[b"of a model"]),
//!     tokenizer: Digest::of("tokenizer", &[b"of a model"]),
//!     rope: Digest::of("rope", &[b"of a model"]),
//!     adapters: None,
//!     geometry: KvGeometry { n_layers: 1, n_kv_heads: 1, head_dim: 2 },
//!     capture: CaptureStage::BeforeRope,
//! };
//! let numbers = ElementType::Bf16.encode_f32(&[1.0, 2.0, 3.0, 4.0])?; // [n_tokens, n_kv_heads, head_dim]
//! let layer = KvLayer { keys: numbers.clone(), values: numbers };
//! let log = KvLog::new(fingerprint, ElementType::Bf16, vec![10, 11], vec![4, 6], vec![layer])?;
//!
//! let mut writer = SegmentWriter::new(7);
//! let index = writer.push(&log, Encoding::ExponentHuffman)?;
//! let bytes = writer.finish()?;
//!
//! let segment = Segment::open_as(&bytes, 7)?;
//! let view = segment.kv_log(index)?;
//! let mut keys = [0.0; 4];
//! view.read_keys(0, &mut keys)?;
//! assert_eq!(keys, [1.0, 2.0, 3.0, 4.0]);
//! assert!(segment.verify().is_sound());
//! # Ok(())
//! # }
//! ```
//!
#![doc = include_str!("../FORMAT.md")]

mod crc;
pub mod element;
pub mod encoding;
pub mod error;
pub mod fidelity;
pub mod fingerprint;
pub mod geometry;
pub mod head_tokens;
#[cfg(feature = "safetensors")]
pub mod interchange;
pub mod kv_log;
pub mod planner;
pub mod probes;
pub mod segment;
mod simd;

pub use element::ElementType;
pub use encoding::{Encoding, PageError, PageShape, QuantizedPage};
pub use error::{FormatError, Result};
pub use fidelity::Fidelity;
pub use fingerprint::{CaptureStage, Digest, ModelFingerprint};
pub use geometry::KvGeometry;
pub use head_tokens::HeadTokens;
pub use kv_log::{KvLayer, KvLog, KvRead, KvRun, RunNumbers};
pub use probes::ProbeQueries;
pub use segment::{
    Bytes, Footer, FooterRange, KeySummary, KvLogView, Out, PageBounds, PageInfo, PageNumbers, PageSummary, Part,
    Precision, RowGroup, RowGroupIndex, ScoresInPlace, Segment, SegmentWriter, Verification,
};
