//! The directory of version 2: sections. Tokens, page entries and, where there are any, ragged token sets, importance
//! scores, key summaries and probe queries.

use super::{Directory, PageEntry, StoredPage, are_distinct, stored_pages};
use crate::encoding::PageError;
use crate::segment::footer::RowGroup;
use crate::segment::key_summary::KeySummary;
use crate::segment::layout::{Fields, pad};
use crate::segment::sections::{self, INCOMPATIBLE, NewSection, Section, Sections, SectionsAddress};
use crate::{ElementType, FormatError, HeadTokens, KvGeometry, KvLog, KvLogView, KvRead, ProbeQueries, Result};
use half::f16;
use std::ops::Range;
use std::sync::OnceLock;

/// Kinds of sections of a directory.
pub(crate) mod kind {
    pub(crate) const TOKENS: u16 = 1;
    pub(crate) const PAGES: u16 = 2;
    pub(crate) const HEAD_TOKENS: u16 = 3;
    pub(crate) const IMPORTANCE: u16 = 4;
    pub(crate) const KEY_SUMMARIES: u16 = 5;
    pub(crate) const PROBES: u16 = 6;
    pub(crate) const FREQUENCIES: u16 = 7;
}

/// The sections of a directory by kind, with the names that FORMAT.md gives them.
pub const DIRECTORY_SECTIONS: [(u16, &str); 7] = [
    (kind::TOKENS, "tokens"),
    (kind::PAGES, "page entries"),
    (kind::HEAD_TOKENS, "head tokens"),
    (kind::IMPORTANCE, "importance"),
    (kind::KEY_SUMMARIES, "key summaries"),
    (kind::PROBES, "probe queries"),
    (kind::FREQUENCIES, "probe frequencies"),
];

/// Bytes of one page's entry.
pub const PAGE_ENTRY_BYTES: usize = 20;

pub(super) fn read(row_group: &RowGroup, bytes: &[u8], range: Range<usize>) -> Result<Directory> {
    let offset = row_group.offset + range.start as u64;
    let is_known = |kind| DIRECTORY_SECTIONS.iter().any(|(known, _)| *known == kind);
    let sections = Sections::read(row_group.address.sections(), bytes, offset, is_known)?;

    let mut fields = sections.fields(bytes, kind::TOKENS, "tokens")?;
    let token_ids = fields.u32s(row_group.n_tokens(), "token ids")?;
    let positions = fields.u32s(row_group.n_tokens(), "positions")?;
    fields.finish("tokens")?;
    if !are_distinct(&positions) {
        return Err(FormatError::corrupt(offset, "positions", "one is there twice"));
    }
    let heads = read_heads(row_group, &sections, bytes)?;
    let importance = read_importance(row_group, &sections, bytes)?;
    let grid = row_group.grid(heads.as_ref());
    let entries = read_entries(&sections, bytes, grid.n_pages())?;
    let pages = stored_pages(row_group, &grid, &entries, range.start)?;
    let (sections, summaries) = (Some(sections), OnceLock::new());
    Ok(Directory { token_ids, positions, heads, importance, grid, pages, sections, summaries, range })
}

fn read_heads(row_group: &RowGroup, sections: &Sections, bytes: &[u8]) -> Result<Option<HeadTokens>> {
    let section = sections.get(bytes, kind::HEAD_TOKENS)?;
    let (bits, offset) = match (section, row_group.shape.is_ragged()) {
        (None, false) => return Ok(None),
        (Some(section), true) => section,
        (section, _) => {
            let (offset, is) = section.map_or((row_group.offset, "missing"), |(_, offset)| (offset, "not needed"));
            return Err(FormatError::corrupt(offset, "head tokens", format!("the rows say they are {is}")));
        }
    };
    let heads = HeadTokens::from_bits(row_group.shape.geometry, row_group.shape.n_tokens, bits)
        .map_err(|detail| FormatError::corrupt(offset, "head tokens", detail))?;
    if heads.n_rows() != row_group.shape.n_rows {
        let detail = format!("{} rows, the footer says {}", heads.n_rows(), row_group.shape.n_rows);
        return Err(FormatError::corrupt(offset, "head tokens", detail));
    }
    Ok(Some(heads))
}

fn read_importance(row_group: &RowGroup, sections: &Sections, bytes: &[u8]) -> Result<Option<Vec<f32>>> {
    let Some((numbers, offset)) = sections.get(bytes, kind::IMPORTANCE)? else { return Ok(None) };
    let scores: Vec<f32> = numbers.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect();
    let goes_down = scores.iter().all(|score| score.is_finite()) && scores.is_sorted_by(|a, b| a >= b);
    if numbers.len() != 2 * row_group.n_tokens() || !goes_down {
        return Err(FormatError::corrupt(offset, "importance", "is not one score per token, going down"));
    }
    Ok(Some(scores))
}

fn read_entries(sections: &Sections, bytes: &[u8], n_pages: usize) -> Result<Vec<PageEntry>> {
    let mut fields = sections.fields(bytes, kind::PAGES, "page entries")?;
    let mut entries = Vec::with_capacity(fields.n_left() / PAGE_ENTRY_BYTES);
    for _ in 0..n_pages {
        let entry = fields.take(PAGE_ENTRY_BYTES, "page entry")?;
        entries.push(read_entry(&mut Fields::new(entry, 0))?);
    }
    fields.finish("page entries")?;
    Ok(entries)
}

fn read_entry(fields: &mut Fields<'_>) -> Result<PageEntry> {
    let (n_bytes, crc) = (fields.u32("stored bytes")?, fields.u32("page checksum")?);
    let error = PageError { relative_l2: fields.f32("relative L2 error")?, max: fields.f32("maximum error")? };
    Ok(PageEntry { n_bytes, crc, encoding: fields.u8("encoding")?, error })
}

fn write_entries(pages: &[StoredPage]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pages.len() * PAGE_ENTRY_BYTES);
    for page in pages {
        out.extend_from_slice(&page.n_bytes.to_le_bytes());
        out.extend_from_slice(&page.crc.to_le_bytes());
        out.extend_from_slice(&page.error.relative_l2.to_le_bytes());
        out.extend_from_slice(&page.error.max.to_le_bytes());
        out.extend_from_slice(&[page.encoding as u8, 0, 0, 0]);
    }
    out
}

/// What a directory says of a log in memory, besides its pages.
pub(crate) fn sections_of(log: &KvLog) -> Vec<NewSection> {
    let mut sections = tokens_and_more(log);
    if let Some(probes) = log.probes() {
        sections.push(NewSection { kind: kind::PROBES, flags: 0, bytes: write_probes(probes, log.element()) });
        if let Some(frequencies) = probes.frequencies() {
            let bytes = frequencies.iter().flat_map(|frequency| frequency.to_le_bytes()).collect();
            sections.push(NewSection { kind: kind::FREQUENCIES, flags: 0, bytes });
        }
    }
    sections
}

/// The section of these key summaries.
pub(crate) fn key_summaries(summaries: &[KeySummary]) -> NewSection {
    let mut bytes = Vec::new();
    summaries.iter().for_each(|summary| summary.write(&mut bytes));
    NewSection { kind: kind::KEY_SUMMARIES, flags: 0, bytes }
}

/// What the directory of `view` says besides its pages, as it is: a section says nothing of its own place.
///
/// # Errors
/// [`FormatError::Corrupt`] when a section is wrong.
pub(crate) fn sections_of_view(view: &KvLogView<'_>) -> Result<Vec<NewSection>> {
    let Some(sections) = &view.directory().sections else { return Ok(tokens_and_more(view)) };
    let bytes = view.directory_bytes();
    let others = sections.list().iter().filter(|section| section.kind != kind::PAGES);
    let copy = |section: &Section| {
        let (bytes, _) = sections.bytes(bytes, section)?;
        Ok(NewSection { kind: section.kind, flags: section.flags, bytes: bytes.to_vec() })
    };
    others.map(copy).collect()
}

fn tokens_and_more(log: &dyn KvRead) -> Vec<NewSection> {
    let tokens = log.token_ids().iter().chain(log.positions()).flat_map(|n| n.to_le_bytes()).collect();
    let mut sections = vec![NewSection { kind: kind::TOKENS, flags: INCOMPATIBLE, bytes: tokens }];
    if let Some(heads) = log.heads() {
        let bytes = heads.bits().to_vec();
        sections.push(NewSection { kind: kind::HEAD_TOKENS, flags: INCOMPATIBLE, bytes });
    }
    if let Some(importance) = log.importance() {
        let bytes = importance.iter().flat_map(|score| f16::from_f32(*score).to_le_bytes()).collect();
        sections.push(NewSection { kind: kind::IMPORTANCE, flags: 0, bytes });
    }
    sections
}

fn write_probes(probes: &ProbeQueries, element: ElementType) -> Vec<u8> {
    let sizes = [probes.n_heads(), probes.positions().len() as u32];
    let mut out: Vec<u8> = sizes.iter().chain(probes.positions()).flat_map(|n| n.to_le_bytes()).collect();
    // They were rounded to this type when the log took them, so they fit.
    out.extend(element.encode_f32(probes.numbers()).unwrap_or_default());
    out
}

/// The probe queries of a row group, if it has any.
///
/// # Errors
/// [`FormatError::Corrupt`] when their section is wrong.
pub(crate) fn read_probes(row_group: &RowGroup, sections: &Sections, bytes: &[u8]) -> Result<Option<ProbeQueries>> {
    let Some((found, offset)) = sections.get(bytes, kind::PROBES)? else { return Ok(None) };
    let mut fields = Fields::new(found, offset);
    let (n_heads, n_queries) = (fields.u32("probe heads")?, fields.u32("probe queries")?);
    let positions = fields.u32s(n_queries as usize, "probe positions")?;
    let KvGeometry { n_layers, head_dim, .. } = row_group.shape.geometry;
    let element = row_group.element();
    let mut numbers = vec![0.0; fields.n_left() / element.n_bytes()];
    let wrong = |_| FormatError::corrupt(offset, "probe queries", "do not have their numbers");
    element.decode_f32(fields.take(fields.n_left(), "probe queries")?, &mut numbers).map_err(wrong)?;
    let mut probes = ProbeQueries::new(n_heads, head_dim, positions, numbers).map_err(wrong)?;
    if let Some((found, offset)) = sections.get(bytes, kind::FREQUENCIES)? {
        let (frequencies, rest) = found.as_chunks();
        let frequencies = frequencies.iter().map(|b| f64::from_le_bytes(*b)).collect();
        let wrong = || FormatError::corrupt(offset, "probe frequencies", "are not one finite number per pair");
        probes = probes.with_frequencies(frequencies).ok().filter(|_| rest.is_empty()).ok_or_else(wrong)?;
    }
    if !probes.fits(n_layers, head_dim) {
        return Err(FormatError::corrupt(offset, "probe queries", "are not of as many layers"));
    }
    Ok(Some(probes))
}

/// Appends the directory, its page entries first, and its padding; how long it is without.
pub(crate) fn write(
    address: SectionsAddress,
    pages: &[StoredPage],
    mut others: Vec<NewSection>,
    out: &mut Vec<u8>,
) -> usize {
    let start = out.len();
    others.insert(0, NewSection { kind: kind::PAGES, flags: INCOMPATIBLE, bytes: write_entries(pages) });
    sections::write(address, &others, out);
    let n_bytes = out.len() - start;
    pad(out);
    n_bytes
}
