//! The KV segment format: keys and values of selected tokens, by layer, checksummed and addressed by model.
//!
//! This crate knows bytes only: no paths, no database, no tensors. It is the language that the store and the
//! generator both speak: [`KvLog`] (in memory), [`KvLogView`] (in a segment) and [`ModelFingerprint`] (which model
//! a KV log fits).

pub mod element;
pub mod encoding;
pub mod error;
pub mod fingerprint;
pub mod geometry;
pub mod kv_log;
pub mod segment;

pub use element::ElementType;
pub use encoding::Encoding;
pub use error::{FormatError, Result};
pub use fingerprint::{CaptureStage, Digest, ModelFingerprint};
pub use geometry::KvGeometry;
pub use kv_log::{KvLayer, KvLog, KvRead};
pub use segment::{
    Bytes, Footer, FooterRange, KvLogView, PageInfo, Part, RowGroup, RowGroupIndex, Segment, SegmentWriter,
    Verification,
};
