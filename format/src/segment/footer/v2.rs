//! The footer of version 2: two sections, the models and the row groups, in entries of fixed length.

use super::{Entries, Entry, EntryRest};
use crate::segment::layout::Fields;
use crate::segment::sections::{self, INCOMPATIBLE, NewSection, Sections, SectionsAddress};
use crate::{CaptureStage, Digest, FormatError, KvGeometry, ModelFingerprint, Result};

const FINGERPRINTS: u16 = 1;
const ROW_GROUPS: u16 = 2;
/// The sections of a footer by kind, with the names that FORMAT.md gives them.
pub const FOOTER_SECTIONS: [(u16, &str); 2] = [(FINGERPRINTS, "fingerprints"), (ROW_GROUPS, "row groups")];
const FINGERPRINT_BYTES: usize = 176;
const ROW_GROUP_BYTES: usize = 40;
/// Flag of a row group whose numbers were approximate before they were encoded.
const APPROXIMATE: u8 = 1;

pub(super) fn address(segment_id: u64) -> SectionsAddress {
    SectionsAddress { segment_id, row_group: SectionsAddress::FOOTER }
}

/// What the footer `bytes` says, found at `offset` of segment `segment_id`.
///
/// # Errors
/// [`FormatError::Corrupt`] for wrong bytes, [`FormatError::Unsupported`] for what is not known and must be.
pub(super) fn read(bytes: &[u8], offset: u64, segment_id: u64) -> Result<Entries> {
    let is_known = |kind| FOOTER_SECTIONS.iter().any(|(known, _)| *known == kind);
    let sections = Sections::read(address(segment_id), bytes, offset, is_known)?;
    // Whoever skips a section has not seen that it is damaged.
    for section in sections.list() {
        sections.bytes(bytes, section)?;
    }
    let fingerprints = entries(&sections, bytes, FINGERPRINTS, "fingerprints", FINGERPRINT_BYTES, read_fingerprint)?;
    let row_groups = entries(&sections, bytes, ROW_GROUPS, "row groups", ROW_GROUP_BYTES, Entry::read)?;
    Ok(Entries { fingerprints, row_groups })
}

fn entries<T>(
    sections: &Sections,
    bytes: &[u8],
    kind: u16,
    name: &'static str,
    entry_bytes: usize,
    read: impl Fn(&mut Fields<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut fields = sections.fields(bytes, kind, name)?;
    let mut list = Vec::with_capacity(fields.n_left() / entry_bytes);
    while fields.n_left() >= entry_bytes {
        list.push(read(&mut fields)?);
    }
    fields.finish(name)?;
    Ok(list)
}

/// Appends the footer.
pub(crate) fn write(segment_id: u64, entries: &Entries, out: &mut Vec<u8>) {
    let (mut fingerprints, mut row_groups) = (Vec::new(), Vec::new());
    entries.fingerprints.iter().for_each(|fingerprint| write_fingerprint(fingerprint, &mut fingerprints));
    entries.row_groups.iter().for_each(|entry| entry.write(&mut row_groups));
    let section = |kind, bytes| NewSection { kind, flags: INCOMPATIBLE, bytes };
    sections::write(address(segment_id), &[section(FINGERPRINTS, fingerprints), section(ROW_GROUPS, row_groups)], out);
}

fn read_fingerprint(fields: &mut Fields<'_>) -> Result<ModelFingerprint> {
    let mut digest = |field| fields.bytes::<32>(field).map(Digest);
    let (weights, config) = (digest("weights")?, digest("config")?);
    let (tokenizer, rope, adapters) = (digest("tokenizer")?, digest("rope")?, digest("adapters")?);
    let geometry = KvGeometry {
        n_layers: fields.u32("n_layers")?,
        n_kv_heads: fields.u32("n_kv_heads")?,
        head_dim: fields.u32("head_dim")?,
    };
    let code = fields.u8("capture stage")?;
    fields.take(3, "zero")?;
    let capture = CaptureStage::from_code(code)
        .ok_or_else(|| FormatError::Unsupported { field: "capture stage", detail: code.to_string() })?;
    let adapters = (adapters != Digest([0; 32])).then_some(adapters);
    Ok(ModelFingerprint { weights, config, tokenizer, rope, adapters, geometry, capture })
}

fn write_fingerprint(fingerprint: &ModelFingerprint, out: &mut Vec<u8>) {
    let ModelFingerprint { weights, config, tokenizer, rope, adapters, geometry, capture } = *fingerprint;
    for digest in [weights, config, tokenizer, rope, adapters.unwrap_or(Digest([0; 32]))] {
        out.extend_from_slice(&digest.0);
    }
    let KvGeometry { n_layers, n_kv_heads, head_dim } = geometry;
    [n_layers, n_kv_heads, head_dim].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
    out.extend_from_slice(&[capture as u8, 0, 0, 0]);
}

impl Entry {
    fn read(fields: &mut Fields<'_>) -> Result<Self> {
        let (n_bytes, directory_bytes) = (fields.u64("row group bytes")?, fields.u64("directory bytes")?);
        let n_rows = fields.u64("rows")?;
        let (n_tokens, tokens_per_page) = (fields.u32("n_tokens")?, fields.u32("tokens per page")?);
        let fingerprint = fields.u32("fingerprint number")?;
        let [element, n_levels, flags, _] = fields.bytes::<4>("element type")?;
        let is_approximate = flags & APPROXIMATE != 0;
        let rest = Some(EntryRest { directory_bytes, n_rows, n_levels, is_approximate });
        Ok(Self { n_bytes, n_tokens, tokens_per_page, fingerprint, element, rest })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let rest = self.rest.unwrap_or_default();
        [self.n_bytes, rest.directory_bytes, rest.n_rows].iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        let numbers = [self.n_tokens, self.tokens_per_page, self.fingerprint];
        numbers.iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
        let flags = if rest.is_approximate { APPROXIMATE } else { 0 };
        out.extend_from_slice(&[self.element, rest.n_levels, flags, 0]);
    }
}
