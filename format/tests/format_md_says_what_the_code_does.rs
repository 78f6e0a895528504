//! FORMAT.md is the only description of the format, and it is true: every table and the dump are compared with the code.
//!
//! The tables are read as a stranger would read them, to take the example apart without the reader of this crate.

use crate::support::segment;
use lagdb_format::segment as code;
use lagdb_format::{
    CaptureStage, Digest, ElementType, Encoding, KvGeometry, KvLayer, KvLog, ModelFingerprint, Part, RowGroupIndex,
    Segment,
};

const FORMAT: &str = include_str!("../FORMAT.md");

/// The segment of the example.
fn example() -> Vec<u8> {
    segment(7, &[(&example_log(), Encoding::Plain)])
}

/// The log that the example describes.
fn example_log() -> KvLog {
    let bf16 = |numbers: &[f32]| ElementType::Bf16.encode_f32(numbers).unwrap();
    let layer = KvLayer { keys: bf16(&[1.0, 2.0, 3.0, 4.0]), values: bf16(&[-1.0, -2.0, -3.0, -4.0]) };
    let fingerprint = ModelFingerprint {
        weights: Digest([0x11; 32]),
        config: Digest([0x22; 32]),
        tokenizer: Digest([0x33; 32]),
        rope: Digest([0x44; 32]),
        adapters: None,
        geometry: KvGeometry { n_layers: 1, n_kv_heads: 1, head_dim: 2 },
        capture: CaptureStage::BeforeRope,
    };
    KvLog::new(fingerprint, ElementType::Bf16, vec![10, 11], vec![4, 6], vec![layer]).unwrap()
}

/// The cells of every table whose heading has this cell in this column.
fn table(column: usize, heading: &str) -> Vec<Vec<String>> {
    let found: Vec<_> = tables().into_iter().filter(|t| t[0].get(column).is_some_and(|h| h == heading)).collect();
    assert_eq!(found.len(), 1, "one table has the heading {heading}");
    found[0][1..].to_vec()
}

/// Every table of FORMAT.md: rows of cells, the heading first.
fn tables() -> Vec<Vec<Vec<String>>> {
    let mut tables: Vec<Vec<Vec<String>>> = vec![vec![]];
    for line in FORMAT.lines() {
        let cells = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
        match cells {
            Some(cells) if cells.starts_with("---") => {}
            Some(cells) => {
                let cells = cells.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
                tables.last_mut().unwrap().push(cells);
            }
            None if tables.last().is_some_and(|table| !table.is_empty()) => tables.push(vec![]),
            None => {}
        }
    }
    tables.retain(|table| !table.is_empty());
    tables
}

/// A cell's value as `n_bytes` little-endian bytes: hex bytes apart, a hex number, or a decimal one.
fn bytes_of(cell: &str, n_bytes: usize) -> Vec<u8> {
    if cell.contains(' ') {
        return cell.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    }
    let number = match cell.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16),
        None => cell.parse(),
    };
    let mut bytes = number.unwrap_or_else(|_| panic!("{cell} is a number")).to_le_bytes().to_vec();
    bytes.resize(n_bytes, 0);
    bytes
}

/// The bytes that a table of `offset | bytes | field | example` describes; its offsets must be the sums of its lengths.
fn layout(rows: &[Vec<String>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        let n_bytes = row[1].parse().unwrap();
        assert_eq!(row[0], bytes.len().to_string(), "offset of {}", row[2]);
        bytes.extend(bytes_of(&row[3], n_bytes));
        assert_eq!(bytes.len(), row[0].parse::<usize>().unwrap() + n_bytes, "length of {}", row[2]);
    }
    bytes
}

/// Offset and sixteen bytes a line; equal lines are shown once.
fn dump(bytes: &[u8]) -> String {
    let mut lines = vec![];
    let mut last = None;
    for (i, chunk) in bytes.chunks(16).enumerate() {
        let hex: Vec<_> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        match last.replace(chunk) {
            Some(before) if before == chunk && lines.last().is_some_and(|line| line == "*") => {}
            Some(before) if before == chunk => lines.push("*".into()),
            _ => lines.push(format!("{:04x}  {}", i * 16, hex.join(" "))),
        }
    }
    lines.join("\n")
}

/// The bytes of a dump that stands behind `heading`.
fn dumped(heading: &str) -> Vec<u8> {
    let (_, after) = FORMAT.split_once(heading).unwrap();
    let mut bytes: Vec<u8> = vec![];
    for line in after.split("```").nth(1).unwrap().trim_start_matches("text").trim().lines() {
        let Some((offset, hex)) = line.split_once("  ") else { continue };
        let offset = usize::from_str_radix(offset, 16).unwrap();
        while bytes.len() < offset {
            bytes.extend_from_within(bytes.len() - 16..);
        }
        bytes.extend(hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

fn example_of_version_1() -> Vec<u8> {
    dumped("The example as version 1 wrote it")
}

#[test]
fn the_dump_is_what_the_writer_writes() {
    let written = dump(&example());
    assert!(dump(&dumped("## The example")) == written, "FORMAT.md should have\n{written}");
}

#[test]
fn both_dumps_are_read_to_the_numbers_told() {
    for bytes in [example(), example_of_version_1()] {
        let segment = Segment::open_as(&bytes, 7).unwrap();
        assert!(segment.verify().is_sound());
        assert_eq!(segment.kv_log(RowGroupIndex(0)).unwrap().to_log().unwrap(), example_log());
    }
}

/// Compares every table that `marker` places in `example`; which bytes are described.
fn take_apart(example: &[u8], marker: &str) -> Vec<bool> {
    let mut described = vec![false; example.len()];
    let mut blocks = FORMAT.split(marker);
    blocks.next();
    for block in blocks {
        let base: usize = block.split('.').next().unwrap().parse().unwrap();
        let rows: Vec<Vec<String>> = block
            .lines()
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'))
            .skip(2)
            .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').into()).collect())
            .collect();
        for row in &rows {
            let (offset, n_bytes): (usize, usize) = (row[0].parse().unwrap(), row[1].parse().unwrap());
            let found = &example[base + offset..][..n_bytes];
            assert!(found == bytes_of(&row[3], n_bytes), "{} at {base} + {offset} is {found:02x?}", row[2]);
        }
        let n_bytes = layout(&rows).len();
        described[base..base + n_bytes].fill(true);
    }
    described
}

#[test]
fn the_tables_take_the_example_apart() {
    let mut described = take_apart(&example(), "In the example at byte ");
    // The values of layer 0 are the second page, described by the same table as the first.
    described[128..192].fill(true);
    assert_eq!(described.iter().position(|described| !described), None, "every byte of the example is described");
}

#[test]
fn the_tables_take_the_example_of_version_1_apart() {
    let described = take_apart(&example_of_version_1(), "In the example of version 1 at byte ");
    // Header, pages and tail are where and what they are in version 2.
    assert_eq!(described.iter().position(|described| *described), Some(192));
    assert_eq!(described[192..].iter().position(|described| !described), Some(442 - 192));
}

fn crc_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn crc_of(address: &[u8], bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(address), bytes)
}

#[test]
fn the_checksums_are_over_the_addresses_given() {
    let example = example();
    let crc = |at| crc_at(&example, at);
    assert_eq!([crc(72), crc(76)], [64, 68].map(|at| crc32c::crc32c(&example[at..at + 4])), "rows of page 0");
    assert_eq!(crc_of(&layout(&table(2, "address of a page")), &example[72..80]), crc(192 + 44));
    let section = layout(&table(2, "address of a section"));
    assert_eq!(crc_of(&section, &example[192 + 40..192 + 80]), crc(192 + 12));
    let mut table_address = section.clone();
    table_address[12..].fill(0);
    let covered = [&example[192..196], &example[200..232]].concat();
    assert_eq!(crc_of(&table_address, &covered), crc(192 + 4));
    let mut footer = section;
    footer[8..12].fill(0xff);
    assert_eq!(crc_of(&footer, &example[536..576]), crc(320 + 28));
    assert_eq!(crc32c::crc32c(&example[..60]), crc(60));
    assert_eq!(crc32c::crc32c(&example[320..576]), crc(576 + 32));
    assert_eq!(crc32c::crc32c(&example[576..628]), crc(576 + 52));
}

#[test]
fn the_checksums_of_version_1_are_over_the_addresses_given() {
    let example = example_of_version_1();
    let page = &layout(&table(2, "address of a page"))[..28];
    assert_eq!(crc_of(page, &example[64..72]), crc_at(&example, 192 + 20));
    let directory = layout(&table(2, "address of a directory"));
    assert_eq!(crc_of(&directory, &example[192..232]), crc_at(&example, 192 + 40));
}

#[test]
fn the_constants_are_those_of_the_code() {
    let constants = [
        ("version", usize::from(code::VERSION)),
        ("first version", usize::from(code::FIRST_VERSION)),
        ("alignment", code::ALIGNMENT),
        ("header bytes", code::HEADER_BYTES),
        ("tail bytes", code::TAIL_BYTES),
        ("section entry bytes", code::SECTION_ENTRY_BYTES),
        ("page entry bytes", code::PAGE_ENTRY_BYTES),
        ("target page bytes", code::TARGET_PAGE_BYTES),
        ("largest page bytes", code::MAX_PAGE_BYTES),
        ("most layers", code::MAX_LAYERS as usize),
    ];
    let told: Vec<_> = table(0, "constant").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    assert_eq!(told, constants.map(|(name, value)| (name.to_owned(), value.to_string())));
    assert_eq!(bytes_of(&table(2, "address of a page")[0][3], 8), 7_u64.to_le_bytes());
}

#[test]
fn the_codes_are_those_of_the_code() {
    let told = |heading| table(1, heading).into_iter().map(|row| row.join(" ")).collect::<Vec<_>>();
    let element = |code| ElementType::from_code(code).map(|e| format!("{code} {e:?} {}", e.n_bytes()));
    assert_eq!(told("element type"), (0..=255).filter_map(element).collect::<Vec<_>>());
    let encoding = |code| Encoding::from_code(code).map(|e| format!("{code} {}", e.name()));
    assert_eq!(told("encoding"), (0..=255).filter_map(encoding).collect::<Vec<_>>());
    let capture = |code| CaptureStage::from_code(code).map(|stage| format!("{code} {stage:?}"));
    assert_eq!(told("capture stage"), (0..=255).filter_map(capture).collect::<Vec<_>>());
    let part = |part: Part| format!("{} {part:?}", part as u8);
    assert_eq!(told("part"), [Part::Keys, Part::Values].map(part));
}

#[test]
fn the_sections_are_those_of_the_code() {
    let told = |heading| table(1, heading).into_iter().map(|row| row[..2].join(" ")).collect::<Vec<_>>();
    let known =
        |sections: &[(u16, &str)]| sections.iter().map(|(kind, name)| format!("{kind} {name}")).collect::<Vec<_>>();
    assert_eq!(told("section of a directory"), known(&code::DIRECTORY_SECTIONS));
    assert_eq!(told("section of the footer"), known(&code::FOOTER_SECTIONS));
}

/// What `lagdb dump` prints beside each byte of the example is the name that the tables give it.
#[test]
fn a_dump_uses_the_names_of_the_tables() {
    let example = example();
    let dumped = code::dump(&example, Some(RowGroupIndex(0)));
    assert_eq!(dumped.faults, []);
    let mut n_named = 0;
    let mut blocks = FORMAT.split("In the example at byte ");
    blocks.next();
    for block in blocks {
        let base: u64 = block.split('.').next().unwrap().parse().unwrap();
        let rows =
            block.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
        for row in rows {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let (offset, n_bytes): (u64, u64) = (cells[0].parse().unwrap(), cells[1].parse().unwrap());
            let found = dumped.fields.iter().find(|field| (field.offset, field.n_bytes) == (base + offset, n_bytes));
            let found = found.unwrap_or_else(|| panic!("{} at {} is not dumped", cells[2], base + offset));
            let name = found.field.rsplit(": ").next().unwrap();
            assert!(cells[2].contains(name), "{} is called {}", cells[2], found.field);
            n_named += 1;
        }
    }
    assert!(n_named > 60, "{n_named}");
    let n_bytes: u64 = dumped.fields.iter().map(|field| field.n_bytes).sum();
    assert_eq!(n_bytes, example.len() as u64, "every byte once");
}
