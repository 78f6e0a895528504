//! The footer: one entry per row group, enough to choose a KV log and to know which bytes to read.
//!
//! An rkyv archive, checked in this order: checksum, archive structure, meaning. Its structs are frozen: rkyv has
//! no schema evolution, so another footer is another version. Offsets are sums of lengths and not stored.

use super::address::RowGroupAddress;
use super::grid::PageGrid;
use super::layout::{ALIGNMENT, HEADER_BYTES, TAIL_BYTES, aligned};
use super::tail::FooterRange;
use crate::{CaptureStage, Digest, ElementType, FormatError, KvGeometry, ModelFingerprint, Result};
use rkyv::{Archive, Serialize};
use std::ops::Range;

/// What a segment holds: its row groups, in file order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    segment_id: u64,
    row_groups: Vec<RowGroup>,
}

/// One KV log in a segment, without its tokens and pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowGroup {
    pub(crate) address: RowGroupAddress,
    pub(crate) grid: PageGrid,
    pub(crate) offset: u64,
    pub(crate) n_bytes: u64,
    fingerprint: ModelFingerprint,
}

/// Number of a row group in its segment, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowGroupIndex(pub u32);

impl Footer {
    /// How many bytes at the end of a segment [`locate`](Self::locate) wants.
    pub const fn tail_bytes() -> usize {
        TAIL_BYTES
    }

    /// Reads the tail of a file of `file_bytes` and says where the footer lies.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when `tail` is not [`tail_bytes`](Self::tail_bytes) long; [`FormatError::Corrupt`]
    /// for wrong bytes; [`FormatError::Unsupported`] for a newer segment.
    pub fn locate(tail: &[u8], file_bytes: u64) -> Result<FooterRange> {
        FooterRange::read(tail, file_bytes)
    }

    /// Reads the footer, `bytes`, found at `range` of the file that should be `segment_id`.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] for wrong bytes and for another segment's file; [`FormatError::Unsupported`] for
    /// codes that are not known.
    pub fn parse(bytes: &[u8], range: &FooterRange, segment_id: u64) -> Result<Self> {
        range.identity.expect(segment_id, range.range().end)?;
        if bytes.len() as u64 != u64::from(range.n_bytes) || crc32c::crc32c(bytes) != range.crc {
            return Err(FormatError::corrupt(range.offset, "footer checksum", "does not match"));
        }
        let archive = rkyv::access::<ArchivedFooterV1, rkyv::rancor::Failure>(bytes)
            .map_err(|_| FormatError::corrupt(range.offset, "footer", "is not a footer archive"))?;
        if archive.segment_id.to_native() != segment_id {
            return Err(FormatError::corrupt(range.offset, "footer segment id", "differs from the tail"));
        }
        Self::from_archive(archive, range)
    }

    fn from_archive(archive: &ArchivedFooterV1, range: &FooterRange) -> Result<Self> {
        let segment_id = range.segment_id();
        let corrupt = |field, detail: &str| FormatError::corrupt(range.offset, field, detail);
        let fingerprints: Vec<_> =
            archive.fingerprints.iter().map(ArchivedFingerprintV1::read).collect::<Result<_>>()?;
        let mut offset = HEADER_BYTES as u64;
        let mut row_groups = Vec::with_capacity(archive.row_groups.len());
        for (index, entry) in archive.row_groups.iter().enumerate() {
            let index = u32::try_from(index).map_err(|_| corrupt("row groups", "too many"))?;
            let fingerprint = fingerprints.get(entry.fingerprint.to_native() as usize);
            let fingerprint = *fingerprint.ok_or_else(|| corrupt("fingerprint number", "names none"))?;
            let row_group = RowGroup::read(entry, RowGroupIndex(index), offset, fingerprint, segment_id)
                .map_err(|error| error.at(range.offset))?;
            offset = offset.checked_add(row_group.n_bytes).ok_or_else(|| corrupt("row group bytes", "too many"))?;
            row_groups.push(row_group);
        }
        if offset != range.offset {
            return Err(corrupt("row group bytes", "do not end where the footer begins"));
        }
        Ok(Self { segment_id, row_groups })
    }

    /// The segment this is the footer of.
    pub fn segment_id(&self) -> u64 {
        self.segment_id
    }

    /// The KV logs of the segment, in file order.
    pub fn row_groups(&self) -> &[RowGroup] {
        &self.row_groups
    }

    /// The row group with this number.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there is none.
    pub fn row_group(&self, index: RowGroupIndex) -> Result<&RowGroup> {
        let n = self.row_groups.len();
        let missing = || FormatError::invalid("row group", format!("{} of {n}", index.0));
        self.row_groups.get(index.0 as usize).ok_or_else(missing)
    }
}

impl RowGroup {
    fn read(
        entry: &ArchivedRowGroupV1,
        index: RowGroupIndex,
        offset: u64,
        fingerprint: ModelFingerprint,
        segment_id: u64,
    ) -> Result<Self> {
        let element = ElementType::from_code(entry.element)
            .ok_or_else(|| FormatError::Unsupported { field: "element type", detail: entry.element.to_string() })?;
        let (n_tokens, tokens_per_page) = (entry.n_tokens.to_native(), entry.tokens_per_page.to_native());
        let grid = PageGrid::new(fingerprint.geometry, element, n_tokens, tokens_per_page)
            .map_err(|detail| FormatError::corrupt(0, "row group shape", detail))?;
        let n_bytes = entry.n_bytes.to_native();
        let smallest = aligned(grid.directory_bytes() as u64);
        if !n_bytes.is_multiple_of(ALIGNMENT as u64) || smallest.is_none_or(|smallest| n_bytes < smallest) {
            return Err(FormatError::corrupt(0, "row group bytes", format!("{n_bytes} are not enough or not aligned")));
        }
        let address = RowGroupAddress { segment_id, row_group: index.0, element };
        Ok(Self { address, grid, offset, n_bytes, fingerprint })
    }

    /// Its number in the segment.
    pub fn index(&self) -> RowGroupIndex {
        RowGroupIndex(self.address.row_group)
    }

    /// Its segment.
    pub fn segment_id(&self) -> u64 {
        self.address.segment_id
    }

    /// The bytes of the file that [`KvLogView::new`](crate::KvLogView::new) wants.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.n_bytes)
    }

    /// The model that made the log.
    pub fn fingerprint(&self) -> &ModelFingerprint {
        &self.fingerprint
    }

    /// Type of the stored numbers.
    pub fn element(&self) -> ElementType {
        self.address.element
    }

    /// Kept tokens.
    pub fn n_tokens(&self) -> usize {
        self.grid.n_tokens as usize
    }

    /// Pages of all layers.
    pub fn n_pages(&self) -> usize {
        self.grid.n_pages()
    }

    /// Bytes in the file, with directory and padding.
    pub fn encoded_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Bytes of the keys and values of all layers, decoded.
    pub fn decoded_bytes(&self) -> u64 {
        self.grid.chunk_bytes() as u64 * 2 * u64::from(self.grid.n_layers)
    }
}

/// The archive of version 1. Frozen.
#[derive(Archive, Serialize)]
pub(crate) struct FooterV1 {
    pub(crate) segment_id: u64,
    pub(crate) fingerprints: Vec<FingerprintV1>,
    pub(crate) row_groups: Vec<RowGroupV1>,
}

/// One model of the segment. Frozen.
#[derive(Archive, Serialize)]
pub(crate) struct FingerprintV1 {
    weights: [u8; 32],
    config: [u8; 32],
    tokenizer: [u8; 32],
    rope: [u8; 32],
    n_layers: u32,
    n_kv_heads: u32,
    head_dim: u32,
    capture: u8,
}

/// One row group of the segment. Frozen.
#[derive(Archive, Serialize)]
pub(crate) struct RowGroupV1 {
    pub(crate) n_bytes: u64,
    pub(crate) n_tokens: u32,
    pub(crate) tokens_per_page: u32,
    pub(crate) fingerprint: u32,
    pub(crate) element: u8,
}

impl FooterV1 {
    /// The archive's bytes.
    pub(crate) fn write(&self) -> Result<Vec<u8>> {
        rkyv::to_bytes::<rkyv::rancor::Failure>(self)
            .map(|bytes| bytes.into_vec())
            .map_err(|_| FormatError::invalid("segment", "too many row groups for one footer"))
    }
}

impl From<&ModelFingerprint> for FingerprintV1 {
    fn from(fingerprint: &ModelFingerprint) -> Self {
        let ModelFingerprint { weights, config, tokenizer, rope, geometry, capture } = *fingerprint;
        let KvGeometry { n_layers, n_kv_heads, head_dim } = geometry;
        Self {
            weights: weights.0,
            config: config.0,
            tokenizer: tokenizer.0,
            rope: rope.0,
            n_layers,
            n_kv_heads,
            head_dim,
            capture: capture as u8,
        }
    }
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
            geometry,
            capture,
        })
    }
}
