//! Damaged bytes are refused or change nothing; they never become other numbers, and never a panic.

use crate::support::{Shape, everything, is_found, log_of, noise, numbers, read_all, segment};
use lagdb_format::segment::{dump, reseal};
use lagdb_format::{
    ElementType, Encoding, Footer, FormatError, KvLog, KvRead, Precision, RowGroupIndex, Segment, SegmentWriter,
};

/// Refused as wrong bytes; `Invalid` would blame the caller.
fn is_refused<T>(result: &lagdb_format::Result<T>) -> bool {
    matches!(result, Err(FormatError::Corrupt { .. } | FormatError::Unsupported { .. }))
}

fn assert_same_or_refused(bytes: &[u8], logs: &[KvLog], what: &str) {
    let read = read_all(bytes);
    assert!(is_refused(&read) || read.as_deref() == Ok(logs), "{what}: {read:?}");
}

#[test]
fn the_segment_under_test_has_every_encoding_and_many_pages() {
    let (bytes, logs) = everything(11);
    assert_eq!(read_all(&bytes).unwrap(), logs);
    let segment = Segment::open(&bytes).unwrap();
    let pages: Vec<_> =
        (0..8).flat_map(|i| segment.kv_log(RowGroupIndex(i)).unwrap().pages().collect::<Vec<_>>()).collect();
    for encoding in [Encoding::ByteSplitZstd, Encoding::ExponentHuffman] {
        assert!(pages.iter().any(|page| page.encoding == encoding && page.stored_bytes < page.raw_bytes));
    }
    assert!(pages.iter().any(|page| page.first_token > 0));
    assert!(pages.iter().any(|page| page.head == Some(1)));
    assert!(bytes.len() < 12_288, "{} bytes are too many to flip each bit", bytes.len());
}

#[test]
fn every_flipped_bit_is_found_and_none_changes_a_number() {
    let (mut bytes, logs) = everything(11);
    assert!(!is_found(&bytes));
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_same_or_refused(&bytes, &logs, &format!("bit {bit}"));
        assert!(is_found(&bytes), "bit {bit} is not found");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_shorter_file_is_refused() {
    let (bytes, _) = everything(11);
    for n_bytes in 0..bytes.len() {
        assert!(is_refused(&Segment::open(&bytes[..n_bytes])), "{n_bytes} bytes");
    }
}

#[test]
fn garbage_behind_the_tail_is_refused() {
    let (bytes, _) = everything(11);
    for n_bytes in [1, 8, 63, 64, 65, 4096] {
        for byte in [0, 0xff] {
            let mut longer = bytes.clone();
            longer.resize(bytes.len() + n_bytes, byte);
            assert!(is_refused(&Segment::open(&longer)), "{n_bytes} of {byte}");
        }
    }
    assert!(is_refused(&Segment::open(&bytes.repeat(2))), "the same segment twice");
}

#[test]
fn another_segment_under_this_name_is_refused() {
    let (bytes, _) = everything(11);
    assert!(Segment::open_as(&bytes, 11).is_ok());
    assert!(is_refused(&Segment::open_as(&bytes, 12)));
}

#[test]
fn swapped_and_doubled_pages_are_found() {
    let (bytes, _) = everything(11);
    let view = Segment::open(&bytes).unwrap();
    let pages: Vec<_> = view.kv_log(RowGroupIndex(0)).unwrap().pages().collect();
    for (i, a) in pages.iter().enumerate() {
        for b in pages[i + 1..].iter().filter(|b| b.stored_bytes == a.stored_bytes) {
            let (at_a, at_b, n) = (a.offset as usize, b.offset as usize, a.stored_bytes as usize);
            let mut swapped = bytes.clone();
            swapped[at_a..at_a + n].copy_from_slice(&bytes[at_b..at_b + n]);
            assert!(is_refused(&read_all(&swapped)) && is_found(&swapped), "{a:?} written twice");
            swapped[at_b..at_b + n].copy_from_slice(&bytes[at_a..at_a + n]);
            assert!(is_refused(&read_all(&swapped)) && is_found(&swapped), "{a:?} and {b:?} swapped");
        }
    }
}

/// The checksum of a section (or with kind and flags 0 of the table), computed as FORMAT.md says.
fn section_crc(segment_id: u64, kind: u16, flags: u16, bytes: &[u8]) -> [u8; 4] {
    let address = [&segment_id.to_le_bytes()[..], &[0; 4], &kind.to_le_bytes(), &flags.to_le_bytes()].concat();
    crc32c::crc32c_append(crc32c::crc32c(&address), bytes).to_le_bytes()
}

/// Seals the first section of a directory of two, and the table.
fn seal_directory(directory: &mut [u8], segment_id: u64) {
    let n_bytes = u64::from_le_bytes(directory[16..24].try_into().unwrap()) as usize;
    let (kind, flags) = (u16::from_le_bytes([directory[8], directory[9]]), u16::from(directory[10]));
    let crc = section_crc(segment_id, kind, flags, &directory[40..40 + n_bytes]);
    directory[12..16].copy_from_slice(&crc);
    let covered = [&directory[..4], &directory[8..40]].concat();
    let crc = section_crc(segment_id, 0, 0, &covered);
    directory[4..8].copy_from_slice(&crc);
}

#[test]
fn a_page_does_not_fit_elsewhere_even_with_its_own_checksum() {
    let log = noise(Shape { n_layers: 1, ..Shape::TINY }, ElementType::F16, 1);
    let mut bytes = segment(11, &[(&log, Encoding::Plain)]);
    // Keys at 64, values at 128, 48 bytes and three row checksums each; the page entries stand first in the directory.
    seal_directory(&mut bytes[192..], 11);
    assert_eq!(read_all(&bytes).unwrap(), [log], "sealing by hand changes nothing");
    let (keys, values) = bytes[64..192].split_at_mut(64);
    keys.swap_with_slice(values);
    let (first, second) = bytes[192 + 40..192 + 80].split_at_mut(20);
    first.swap_with_slice(second);
    seal_directory(&mut bytes[192..], 11);
    let read = read_all(&bytes);
    assert!(matches!(&read, Err(FormatError::Corrupt { field: "page checksum", .. })), "{read:?}");
}

#[test]
fn a_row_does_not_fit_elsewhere_even_with_its_own_checksum() {
    let log = noise(Shape { n_layers: 1, ..Shape::TINY }, ElementType::F16, 1);
    let mut bytes = segment(11, &[(&log, Encoding::Plain)]);
    let (first, second) = bytes[64..96].split_at_mut(16);
    first.swap_with_slice(second);
    let read = read_all(&bytes);
    assert!(matches!(&read, Err(FormatError::Corrupt { field: "row checksum", .. })), "{read:?}");
    let (first, second) = bytes[112..120].split_at_mut(4);
    first.swap_with_slice(second);
    let read = read_all(&bytes);
    assert!(matches!(&read, Err(FormatError::Corrupt { field: "page checksum", .. })), "{read:?}");
}

/// A section of a kind that nobody knows, behind the others of the directory at 192.
fn with_unknown_section(bytes: &[u8], flags: u16) -> Vec<u8> {
    let mut segment = bytes[..192].to_vec();
    let (kind, content) = (0x4000_u16, *b"from the future!");
    let old = &bytes[192..192 + 104];
    let mut directory = [&3_u32.to_le_bytes()[..], &[0; 4], &old[8..40]].concat();
    directory.extend([kind.to_le_bytes(), flags.to_le_bytes()].concat());
    directory.extend(section_crc(11, kind, flags, &content));
    directory.extend((content.len() as u64).to_le_bytes());
    let crc = section_crc(11, 0, 0, &[&directory[..4], &directory[8..]].concat());
    directory[4..8].copy_from_slice(&crc);
    directory.extend_from_slice(&old[40..]);
    directory.extend_from_slice(&content);
    assert_eq!(directory.len(), 136);
    segment.extend(directory);
    segment.resize(192 + 192, 0);
    // The footer says how long the row group and its directory are; it moves with them.
    let mut end = bytes[320..].to_vec();
    let row_group = 536 - 320;
    end[row_group..row_group + 8].copy_from_slice(&320_u64.to_le_bytes());
    end[row_group + 8..row_group + 16].copy_from_slice(&136_u64.to_le_bytes());
    let tail = end.len() - 64;
    end[tail..tail + 8].copy_from_slice(&384_u64.to_le_bytes());
    segment.extend(end);
    reseal(&mut segment);
    segment
}

#[test]
fn an_unknown_section_is_skipped_and_copied_unless_it_must_be_known() {
    let log = noise(Shape { n_layers: 1, ..Shape::TINY }, ElementType::F16, 1);
    let bytes = segment(11, &[(&log, Encoding::Plain)]);
    let skipped = with_unknown_section(&bytes, 0);
    assert_eq!(read_all(&skipped).unwrap(), [log]);
    assert!(!is_found(&skipped));
    let mut writer = SegmentWriter::new(11);
    writer.push_view(&Segment::open(&skipped).unwrap().kv_log(RowGroupIndex(0)).unwrap()).unwrap();
    assert!(writer.finish().unwrap() == skipped, "copied as it is");
    let read = read_all(&with_unknown_section(&bytes, 1));
    assert!(matches!(&read, Err(FormatError::Unsupported { field: "section kind", .. })), "{read:?}");
}

#[test]
fn swapped_and_doubled_sections_are_found() {
    let log = noise(Shape { n_layers: 1, n_tokens: 5, ..Shape::TINY }, ElementType::F16, 1);
    let bytes = segment(11, &[(&log, Encoding::Plain)]);
    // Page entries and tokens are both 40 bytes long: behind a page of 80 and 20 bytes each, at 64 and 192.
    let directory = 320;
    let (pages, tokens) = (directory + 40..directory + 80, directory + 80..directory + 120);
    let mut doubled = bytes.clone();
    doubled.copy_within(pages.clone(), tokens.start);
    assert!(is_refused(&read_all(&doubled)), "a section written twice");
    let mut swapped = doubled;
    swapped[pages].copy_from_slice(&bytes[tokens]);
    assert!(is_refused(&read_all(&swapped)), "two sections swapped");
    let mut kinds = bytes.clone();
    kinds.copy_within(directory + 8..directory + 24, directory + 24);
    reseal(&mut kinds);
    assert!(is_refused(&read_all(&kinds)), "one kind twice");
}

const V1: &[u8] = include_bytes!("golden/v1.kv");

/// Every bit of what says where and what the numbers are, and one bit of every byte of the numbers.
#[test]
fn damage_to_version_1_is_found_too() {
    let logs = read_all(V1).unwrap();
    let segment = Segment::open(V1).unwrap();
    let row_groups = segment.footer().row_groups().iter();
    let pages: Vec<_> =
        row_groups.flat_map(|r| segment.kv_log(r.index()).unwrap().pages().collect::<Vec<_>>()).collect();
    let mut bytes = V1.to_vec();
    for byte in 0..bytes.len() {
        let at = byte as u64;
        let is_payload =
            pages.iter().any(|page| (page.offset..page.offset + u64::from(page.stored_bytes)).contains(&at));
        for bit in if is_payload { byte % 8..byte % 8 + 1 } else { 0..8 } {
            bytes[byte] ^= 1 << bit;
            assert_same_or_refused(&bytes, &logs, &format!("bit {bit} of byte {byte}"));
            assert!(is_found(&bytes), "bit {bit} of byte {byte} is not found");
            bytes[byte] ^= 1 << bit;
        }
    }
}

/// Two lossy logs and one in levels, of finite numbers, with key summaries; small pages, several a chunk.
fn lossy(segment_id: u64) -> Vec<u8> {
    let shape = Shape { n_layers: 1, n_tokens: 5, ..Shape::TINY };
    let mut byte = 0_u8;
    // The high byte of an f16 of about one; the low byte is anything.
    let log = log_of(shape, ElementType::F16, || {
        byte = byte.wrapping_add(37);
        if byte % 2 == 1 { byte } else { 0x38 | (byte & 0x83) }
    });
    let mut writer = SegmentWriter::new(segment_id).with_page_bytes(48).with_key_summaries();
    for levels in [&[Encoding::Int8][..], &[Encoding::Int4], &Encoding::LAYERED] {
        writer.push_levels(&log, levels).unwrap();
    }
    writer.finish().unwrap()
}

/// All that a reader is told of a lossy segment, at each precision.
fn read_lossy(bytes: &[u8]) -> lagdb_format::Result<Vec<String>> {
    let segment = Segment::open(bytes)?;
    let mut found = Vec::new();
    for row_group in segment.footer().row_groups() {
        for precision in [Precision::Base, Precision::Int8, Precision::Exact] {
            let view = segment.kv_log(row_group.index())?.with_precision(precision);
            found.push(format!("{:?} {:?}", numbers(&view)?, view.to_log()?));
            found.push(format!("{:?} {}", view.key_summaries(0)?, view.is_approximate()));
            found.push(format!("{:?}", view.pages().map(|page| (page.encoding, page.error)).collect::<Vec<_>>()));
        }
    }
    Ok(found)
}

#[test]
fn damage_to_lossy_pages_and_levels_is_found_too() {
    let mut bytes = lossy(11);
    let sound = read_lossy(&bytes).unwrap();
    assert!(!is_found(&bytes) && bytes.len() < 8192, "{} bytes", bytes.len());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let read = read_lossy(&bytes);
        assert!(is_refused(&read) || read.as_ref() == Ok(&sound), "bit {bit}: {read:?}");
        assert!(is_found(&bytes), "bit {bit} is not found");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Bytes and checksums are right and yet it is not so: only computing it again tells.
#[test]
fn what_a_directory_says_of_its_pages_is_not_believed() {
    let bytes = lossy(11);
    let segment = Segment::open(&bytes).unwrap();
    let view = segment.kv_log(RowGroupIndex(0)).unwrap();
    let (row_group, error) = (segment.footer().row_groups()[0].range(), view.pages().next().unwrap().error);
    let at = |wanted: &[u8]| {
        let range = row_group.start as usize..row_group.end as usize;
        range.start + bytes[range].windows(wanted.len()).position(|found| found == wanted).unwrap()
    };
    let entry = at(&[error.relative_l2.to_le_bytes(), error.max.to_le_bytes()].concat());
    for wrong in [f32::NAN, -1.0, f32::INFINITY] {
        let mut changed = bytes.clone();
        changed[entry..entry + 4].copy_from_slice(&wrong.to_le_bytes());
        reseal(&mut changed);
        let read = read_lossy(&changed);
        assert!(matches!(&read, Err(FormatError::Corrupt { field: "page error", .. })), "{wrong}: {read:?}");
    }
    let lossless = noise(Shape { n_layers: 1, ..Shape::TINY }, ElementType::F16, 1);
    let mut changed = segment_of_one(&lossless);
    changed[192 + 48..192 + 52].copy_from_slice(&0.5_f32.to_le_bytes());
    reseal(&mut changed);
    let read = read_all(&changed);
    assert!(matches!(&read, Err(FormatError::Corrupt { field: "page error", .. })), "lossless and not: {read:?}");

    // A bound that is too low would let attention skip what it should see.
    let norms: Vec<u8> = summary_bytes(&view.key_summaries(0).unwrap().unwrap()[0].heads[0].pair_norm);
    let mut changed = bytes.clone();
    let norm = at(&norms);
    changed[norm..norm + 2].copy_from_slice(&[0, 0]);
    reseal(&mut changed);
    let faults = Segment::open(&changed).unwrap().verify().faults;
    assert!(matches!(faults[..], [FormatError::Corrupt { field: "key summaries", .. }]), "{faults:?}");
}

fn segment_of_one(log: &KvLog) -> Vec<u8> {
    segment(11, &[(log, Encoding::Plain)])
}

fn summary_bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect()
}

#[test]
fn every_shorter_file_of_version_1_is_refused() {
    for n_bytes in 0..V1.len() {
        assert!(is_refused(&Segment::open(&V1[..n_bytes])), "{n_bytes} bytes");
    }
}

#[test]
fn row_groups_do_not_fit_elsewhere() {
    let logs = [1, 2].map(|seed| noise(Shape::TINY, ElementType::F16, seed));
    let both = |id| segment(id, &[(&logs[0], Encoding::Plain), (&logs[1], Encoding::Plain)]);
    let (bytes, other) = (both(11), both(12));
    let footer = Segment::open(&bytes).unwrap().footer().clone();
    let range = |i: usize| footer.row_groups()[i].range().start as usize..footer.row_groups()[i].range().end as usize;
    let mut stale = bytes.clone();
    stale[range(1)].copy_from_slice(&other[range(1)]);
    assert!(is_refused(&read_all(&stale)), "a row group of another segment");
    let mut doubled = bytes.clone();
    doubled.copy_within(range(0), range(1).start);
    assert!(is_refused(&read_all(&doubled)), "a row group written twice");
}

#[test]
fn a_newer_segment_is_unsupported_and_compatible_features_are_ignored() {
    let (bytes, logs) = everything(11);
    let tail = bytes.len() - 64;
    let with = |offset: usize, value: u8| {
        let mut changed = bytes.clone();
        (changed[8 + offset], changed[tail + 8 + offset]) = (value, value);
        reseal(&mut changed);
        changed
    };
    for (offset, value, field) in
        [(8, 3, "version"), (12, 1, "incompatible features"), (15, 0x80, "incompatible features")]
    {
        let opened = read_all(&with(offset, value));
        assert!(matches!(&opened, Err(FormatError::Unsupported { field: found, .. }) if *found == field), "{opened:?}");
    }
    let compatible = with(16, 0xff);
    assert_eq!(read_all(&compatible).unwrap(), logs);
    assert!(!is_found(&compatible));
}

#[test]
fn wrong_fields_under_right_checksums_do_no_harm() {
    let (bytes, _) = everything(11);
    for offset in 0..bytes.len() - 3 {
        for value in [0, 1, 0x7fff_ffff, u32::MAX - 7, u32::MAX] {
            let mut changed = bytes.clone();
            changed[offset..offset + 4].copy_from_slice(&u32::to_le_bytes(value));
            reseal(&mut changed);
            // Other numbers may well come out: somebody sealed them. They must be numbers of this file.
            if let Ok(logs) = read_all(&changed) {
                let n_bytes: usize = logs.iter().map(|log| log.n_tokens()).sum();
                assert!(n_bytes < bytes.len());
            }
        }
    }
}

/// A log without tokens has no page that would pay for a layer: four billion of them in 400 bytes took a reader to its last
/// byte of memory, and `verify` half a minute.
#[test]
fn layers_that_nothing_pays_for_are_refused() {
    let log = noise(Shape { n_tokens: 0, ..Shape::TINY }, ElementType::F16, 1);
    let mut bytes = segment(11, &[(&log, Encoding::Plain)]);
    // The footer at 128, its fingerprints at 168.
    assert_eq!(bytes[168 + 160..][..4], 2_u32.to_le_bytes());
    bytes[168 + 160..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    reseal(&mut bytes);
    assert!(is_refused(&Segment::open(&bytes)));
}

/// The directory of the first row group, behind its pages of less than 64 bytes.
fn directory_of(bytes: &[u8]) -> usize {
    let view = Segment::open(bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    let last = view.pages().last().unwrap();
    (last.offset as usize + last.stored_bytes as usize).next_multiple_of(64)
}

/// Whoever gathers rows of level 0 does not see what lies above it, so that it is judged when a log is opened.
#[test]
fn levels_that_are_not_one_above_the_other_are_refused() {
    let log = log_of(Shape { n_layers: 1, ..Shape::TINY }, ElementType::F16, || 0);
    let mut writer = SegmentWriter::new(11);
    writer.push_levels(&log, &Encoding::LAYERED[..2]).unwrap();
    let mut bytes = writer.finish().unwrap();
    let encoding = directory_of(&bytes) + 40 + 2 * 20 + 16;
    assert_eq!(bytes[encoding], Encoding::Int8Residual as u8);
    bytes[encoding] = Encoding::Int8 as u8;
    reseal(&mut bytes);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).map(drop);
    assert!(matches!(&view, Err(FormatError::Corrupt { field: "page bytes", .. })), "{view:?}");
}

/// Pages of version 1 have no error, so that a lossy one would be taken for exact.
#[test]
fn version_1_has_no_lossy_pages() {
    let mut bytes = V1.to_vec();
    let encoding = directory_of(V1) + 12 * 8 + 8;
    assert_eq!(bytes[encoding], Encoding::Plain as u8);
    bytes[encoding] = Encoding::Int8 as u8;
    reseal(&mut bytes);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).map(drop);
    assert!(matches!(&view, Err(FormatError::Unsupported { field: "encoding", .. })), "{view:?}");
}

#[test]
fn resealing_a_sound_segment_changes_nothing() {
    let (bytes, _) = everything(11);
    let mut sealed = bytes.clone();
    reseal(&mut sealed);
    assert_eq!(sealed, bytes);
}

#[test]
fn a_failed_push_leaves_the_segment_as_it_was() {
    let (bytes, _) = everything(11);
    let good = noise(Shape::TINY, ElementType::F32, 1);
    let mut damaged = segment(1, &[(&good, Encoding::Plain)]);
    damaged[200] ^= 1;
    let damaged = Segment::open(&damaged).unwrap();
    let mut writer = SegmentWriter::new(2);
    writer.push(&good, Encoding::Plain).unwrap();
    assert!(is_refused(&writer.push_view(&damaged.kv_log(RowGroupIndex(0)).unwrap())));
    let huge = noise(Shape { n_layers: 1, n_kv_heads: 1, head_dim: 300_000, n_tokens: 1 }, ElementType::F32, 1);
    assert!(matches!(writer.push(&huge, Encoding::Plain), Err(FormatError::Invalid { .. })));
    assert_eq!(writer.finish().unwrap(), segment(2, &[(&good, Encoding::Plain)]));
    assert!(matches!(Footer::locate(&bytes[..10], bytes.len() as u64), Err(FormatError::Invalid { .. })));
}

/// A dump is for damaged files: it never panics, and it names what is wrong with what it shows.
#[test]
fn a_damaged_file_is_dumped_as_far_as_it_goes() {
    let (bytes, _) = everything(11);
    for bytes in [&bytes[..], V1] {
        let n_row_groups = Segment::open(bytes).unwrap().footer().row_groups().len() as u32;
        for row_group in 0..n_row_groups {
            assert_eq!(dump(bytes, Some(RowGroupIndex(row_group))).faults, []);
        }
        let mut damaged = bytes.to_vec();
        for byte in 0..bytes.len() {
            damaged[byte] ^= 1 << (byte % 8);
            let found = (0..n_row_groups).any(|index| !dump(&damaged, Some(RowGroupIndex(index))).faults.is_empty());
            assert!(found, "byte {byte}");
            damaged[byte] = bytes[byte];
        }
        for n_bytes in 0..bytes.len() {
            assert_ne!(dump(&bytes[..n_bytes], Some(RowGroupIndex(0))).faults, []);
        }
    }
}
