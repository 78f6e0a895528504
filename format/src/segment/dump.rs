//! Every field of a segment, with its place and the name that FORMAT.md gives it: for people with a damaged file.
//!
//! Nothing is believed: fields are named by where they lie, as far as the bytes go, whether or not a checksum matches.
//! What is wrong is named beside them. Lists are cut, so that a dump of a large file stays readable.

use super::footer::RowGroupIndex;
use super::layout::{FIRST_VERSION, HEADER_BYTES, TAIL_BYTES, aligned};
use super::reader::Segment;
use super::sections::SECTION_ENTRY_BYTES;
use super::{DIRECTORY_SECTIONS, FOOTER_SECTIONS, header, tail::FooterRange};
use crate::FormatError;
use std::ops::Range;

/// The most entries of a list that a dump shows.
const MAX_ENTRIES: usize = 64;
/// The most bytes of a field that a dump shows.
const MAX_SHOWN_BYTES: usize = 16;

/// What a segment's bytes are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// In file order.
    pub fields: Vec<DumpedField>,
    /// What is wrong with the bytes that were looked at.
    pub faults: Vec<FormatError>,
}

/// Some bytes of a segment and their name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedField {
    /// Where they begin in the segment.
    pub offset: u64,
    /// How many they are.
    pub n_bytes: u64,
    /// The structure they belong to.
    pub place: String,
    /// The field of FORMAT.md.
    pub field: String,
    /// What they say; long fields are cut.
    pub value: String,
}

/// Fields of a fixed layout: bytes and name.
type Layout = &'static [(usize, &'static str)];

const HEADER: Layout = &[
    (8, "magic"),
    (8, "segment id"),
    (2, "version"),
    (2, "zero"),
    (4, "incompatible features"),
    (4, "compatible features"),
    (32, "zero"),
    (4, "header checksum"),
];
const TAIL: Layout = &[
    (8, "footer offset"),
    (8, "segment id"),
    (2, "version"),
    (2, "zero"),
    (4, "incompatible features"),
    (4, "compatible features"),
    (4, "footer bytes"),
    (4, "footer checksum"),
    (16, "zero"),
    (4, "tail checksum"),
    (8, "end magic"),
];
const SECTION_TABLE: Layout = &[(4, "sections"), (4, "section table checksum")];
const SECTION: Layout = &[(2, "kind"), (2, "flags"), (4, "checksum"), (8, "bytes")];
const FINGERPRINT: Layout = &[
    (32, "weights"),
    (32, "config"),
    (32, "tokenizer"),
    (32, "rope"),
    (32, "adapters"),
    (4, "n_layers"),
    (4, "n_kv_heads"),
    (4, "head_dim"),
    (1, "capture stage"),
    (3, "zero"),
];
const ROW_GROUP: Layout = &[
    (8, "bytes of the row group"),
    (8, "bytes of the directory"),
    (8, "rows"),
    (4, "n_tokens"),
    (4, "tokens_per_page"),
    (4, "fingerprint"),
    (1, "element type"),
    (1, "levels"),
    (1, "flags"),
    (1, "zero"),
];
const PAGE_ENTRY: Layout = &[
    (4, "stored bytes"),
    (4, "checksum"),
    (4, "relative L2 error"),
    (4, "maximum error"),
    (1, "encoding"),
    (3, "zero"),
];
const PAGE_ENTRY_V1: Layout = &[(4, "stored bytes"), (4, "checksum"), (1, "encoding"), (3, "zero")];
const ROOT_V1: Layout = &[
    (8, "segment id"),
    (4, "fingerprints: pointer"),
    (4, "fingerprints: length"),
    (4, "row groups: pointer"),
    (4, "row groups: length"),
];

/// Names the bytes of a segment: header, footer and tail, and of one row group the directory and the pages.
pub fn dump(segment: &[u8], row_group: Option<RowGroupIndex>) -> Dump {
    let mut dump = Dump::default();
    dump.layout(segment, 0, "header", "", HEADER);
    dump.faults.extend(header::read(segment).err());
    let tail = segment.len().saturating_sub(TAIL_BYTES).max(HEADER_BYTES.min(segment.len()));
    let opened = Segment::open(segment);
    match (&opened, row_group) {
        (Ok(opened), Some(index)) => dump.row_group(segment, opened, index),
        (Err(error), _) => dump.faults.push(error.clone()),
        (Ok(_), None) => {}
    }
    let located = segment.get(tail..).and_then(|bytes| FooterRange::read(bytes, segment.len() as u64).ok());
    // A damaged tail may still say where the footer is.
    let said = segment.get(tail..).and_then(<[u8]>::first_chunk).map(|offset| u64::from_le_bytes(*offset));
    let version = segment.get(tail + 16).copied().map_or(FIRST_VERSION, u16::from);
    let start = located.map(|range| range.range().start).or(said).and_then(|start| usize::try_from(start).ok());
    match start.filter(|start| (HEADER_BYTES..=tail).contains(start)) {
        Some(start) if version == 1 => dump.footer_v1(segment, start..tail),
        Some(start) => dump.footer(segment, start..tail),
        None => dump.faults.push(FormatError::corrupt(tail as u64, "footer offset", "names no place in the file")),
    }
    dump.layout(segment, tail, "tail", "", TAIL);
    dump
}

impl Dump {
    /// The fields of one layout, one behind the other, as far as there are bytes; where they end.
    fn layout(&mut self, bytes: &[u8], start: usize, place: &str, name: &str, layout: Layout) -> usize {
        layout.iter().fold(start, |at, (n_bytes, field)| {
            let field = if name.is_empty() { (*field).to_owned() } else { format!("{name}: {field}") };
            self.field(bytes, at..at.saturating_add(*n_bytes), place, field)
        })
    }

    /// One field; where it ends.
    fn field(&mut self, bytes: &[u8], range: Range<usize>, place: &str, field: impl Into<String>) -> usize {
        let end = range.end;
        let field = field.into();
        if let Some(found) = bytes.get(range.clone()).filter(|found| !found.is_empty()) {
            let value = value(&field, found);
            let (offset, n_bytes) = (range.start as u64, found.len() as u64);
            self.fields.push(DumpedField { offset, n_bytes, place: place.to_owned(), field, value });
        } else if !range.is_empty() {
            let detail = format!("bytes {range:?} of {field} are not in the file");
            self.faults.push(FormatError::corrupt(range.start as u64, "length", detail));
        }
        end
    }

    /// A section table; each section with its kind and where it lies.
    fn sections(&mut self, bytes: &[u8], start: usize, place: &str) -> Vec<(u16, Range<usize>)> {
        let n_sections = u32_at(bytes, start).unwrap_or_default() as usize;
        let table = self.layout(bytes, start, place, "", SECTION_TABLE);
        let shown = n_sections.min(MAX_ENTRIES);
        let mut at = table.saturating_add(n_sections.saturating_mul(SECTION_ENTRY_BYTES));
        let mut found = Vec::new();
        for number in 0..shown {
            let entry = table + number * SECTION_ENTRY_BYTES;
            self.layout(bytes, entry, place, &format!("section {number}"), SECTION);
            let kind = bytes.get(entry..).and_then(<[u8]>::first_chunk).map(|kind| u16::from_le_bytes(*kind));
            let n_bytes = u64_at(bytes, entry + 8).and_then(|n_bytes| usize::try_from(n_bytes).ok());
            let (Some(kind), Some(end)) = (kind, n_bytes.and_then(|n_bytes| at.checked_add(n_bytes))) else { break };
            found.push((kind, at..end));
            at = end;
        }
        self.cut(table + shown * SECTION_ENTRY_BYTES, place, n_sections - shown, "sections");
        found
    }

    /// Entries of a section, all of one layout.
    fn entries(&mut self, bytes: &[u8], range: Range<usize>, place: &str, name: &str, layout: Layout) {
        let entry_bytes: usize = layout.iter().map(|(n_bytes, _)| n_bytes).sum();
        let n_entries = range.len() / entry_bytes;
        let shown = n_entries.min(MAX_ENTRIES);
        for number in 0..shown {
            self.layout(bytes, range.start + number * entry_bytes, place, &format!("{name} {number}"), layout);
        }
        self.cut(range.start + shown * entry_bytes, place, n_entries - shown, name);
    }

    fn cut(&mut self, offset: usize, place: &str, n_left: usize, what: &str) {
        if n_left > 0 {
            let (field, value) = ("…".to_owned(), format!("{n_left} more: {what}"));
            self.fields.push(DumpedField { offset: offset as u64, n_bytes: 0, place: place.to_owned(), field, value });
        }
    }

    fn footer(&mut self, bytes: &[u8], range: Range<usize>) {
        for (kind, section) in self.sections(bytes, range.start, "footer") {
            match name_of(&FOOTER_SECTIONS, kind) {
                Some("fingerprints") => self.entries(bytes, section, "footer", "fingerprint", FINGERPRINT),
                Some("row groups") => self.entries(bytes, section, "footer", "row group", ROW_GROUP),
                _ => {
                    self.field(bytes, section, "footer", format!("unknown section {kind}"));
                }
            }
        }
    }

    fn footer_v1(&mut self, bytes: &[u8], range: Range<usize>) {
        let root = range.end.saturating_sub(24).max(range.start);
        self.field(bytes, range.start..root, "footer", "lists of fingerprints and row groups");
        self.layout(bytes, root, "footer", "", ROOT_V1);
    }

    fn row_group(&mut self, bytes: &[u8], segment: &Segment<'_>, index: RowGroupIndex) {
        let row_group = match segment.footer().row_group(index) {
            Ok(row_group) => row_group,
            Err(error) => return self.faults.push(error),
        };
        let place = format!("row group {}", index.0);
        match segment.kv_log(index) {
            Ok(view) => {
                self.faults.extend(view.faults());
                for page in view.all_pages().take(MAX_ENTRIES) {
                    self.page(bytes, &place, page.offset as usize, page.place, page.stored);
                }
                let left = view.n_pages().saturating_sub(MAX_ENTRIES);
                self.cut(row_group.range().start as usize, &place, left, "pages");
            }
            Err(error) => self.faults.push(error),
        }
        let Some(directory) = row_group.directory() else { return };
        let start = row_group.range().start as usize + directory.start;
        let place = format!("{place}, directory");
        if row_group.address.version == 1 {
            return self.directory_v1(bytes, start..start + directory.len(), &place, row_group.n_tokens());
        }
        for (kind, section) in self.sections(bytes, start, &place) {
            match name_of(&DIRECTORY_SECTIONS, kind) {
                Some("page entries") => self.entries(bytes, section, &place, "page", PAGE_ENTRY),
                Some("tokens") => self.tokens(bytes, section.start, &place, row_group.n_tokens()),
                Some(name) => {
                    self.field(bytes, section, &place, name);
                }
                None => {
                    self.field(bytes, section, &place, format!("unknown section {kind}"));
                }
            }
        }
        self.padding(bytes, start + directory.len(), &place);
    }

    fn directory_v1(&mut self, bytes: &[u8], range: Range<usize>, place: &str, n_tokens: usize) {
        self.tokens(bytes, range.start, place, n_tokens);
        self.entries(bytes, range.start + 8 * n_tokens..range.end - 4, place, "page", PAGE_ENTRY_V1);
        self.field(bytes, range.end - 4..range.end, place, "directory checksum");
        self.padding(bytes, range.end, place);
    }

    fn tokens(&mut self, bytes: &[u8], start: usize, place: &str, n_tokens: usize) {
        let middle = self.field(bytes, start..start.saturating_add(4 * n_tokens), place, "token ids");
        self.field(bytes, middle..middle.saturating_add(4 * n_tokens), place, "positions");
    }

    fn page(
        &mut self,
        bytes: &[u8],
        place: &str,
        start: usize,
        page: super::grid::GridPage,
        stored: &super::directory::StoredPage,
    ) {
        let part = match page.part {
            super::Part::Keys => "keys",
            super::Part::Values => "values",
        };
        let tokens = format!("tokens {}+{}", page.first_token, page.n_tokens);
        let place =
            format!("{place}, level {}, layer {}, {part}, head {}, {tokens}", page.level, page.layer, page.head);
        let end = start + stored.n_bytes as usize;
        let table = end - stored.row_table_bytes;
        self.field(bytes, start..table, &place, "stored form");
        let shown = (stored.row_table_bytes / 4).min(MAX_ENTRIES);
        for row in 0..shown {
            self.field(bytes, table + 4 * row..table + 4 * row + 4, &place, format!("row {row}"));
        }
        self.cut(table + 4 * shown, &place, stored.row_table_bytes / 4 - shown, "rows");
        self.padding(bytes, end, &place);
    }

    fn padding(&mut self, bytes: &[u8], start: usize, place: &str) {
        let end = aligned(start as u64).and_then(|end| usize::try_from(end).ok());
        self.field(bytes, start..end.unwrap_or(start), place, "padding");
    }
}

fn name_of(sections: &[(u16, &'static str)], kind: u16) -> Option<&'static str> {
    sections.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map(|b| u64::from_le_bytes(*b))
}

/// What some bytes say: a number, or the bytes themselves.
fn value(field: &str, bytes: &[u8]) -> String {
    let number = || bytes.iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    if field.ends_with("checksum") || (field.starts_with("row ") && bytes.len() == 4 && !field.contains(':')) {
        return format!("{:#010x}", number());
    }
    if field.ends_with("error")
        && let Ok(bits) = bytes.try_into()
    {
        return f32::from_le_bytes(bits).to_string();
    }
    if bytes.len() <= 8 && bytes.len() != 3 && !field.ends_with("magic") && field != "stored form" {
        return number().to_string();
    }
    let shown: Vec<String> = bytes.iter().take(MAX_SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > MAX_SHOWN_BYTES { " …" } else { "" };
    format!("{}{more}", shown.join(" "))
}
