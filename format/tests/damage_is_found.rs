//! Damaged bytes are refused or change nothing; they never become other numbers, and never a panic.

use crate::support::{Shape, everything, is_found, noise, read_all, segment};
use lagdb_format::segment::reseal;
use lagdb_format::{ElementType, Encoding, Footer, FormatError, KvLog, KvRead, RowGroupIndex, Segment, SegmentWriter};

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
        (0..5).flat_map(|i| segment.kv_log(RowGroupIndex(i)).unwrap().pages().collect::<Vec<_>>()).collect();
    assert!(pages.iter().any(|page| page.encoding == Encoding::ByteSplitZstd && page.stored_bytes < page.raw_bytes));
    assert!(pages.iter().any(|page| page.first_token > 0));
    assert!(bytes.len() < 8192, "{} bytes are too many to flip each bit", bytes.len());
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

/// The directory's checksum, computed as FORMAT.md says.
fn seal_directory(directory: &mut [u8], segment_id: u64, element: ElementType, fields: [u32; 3]) {
    let mut address = segment_id.to_le_bytes().to_vec();
    address.extend([0, 0, 0, 0, 0, 0, element as u8, 0]);
    address.extend(fields.map(u32::to_le_bytes).concat());
    let end = directory.len() - 4;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&address), &directory[..end]);
    directory[end..].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn a_page_does_not_fit_elsewhere_even_with_its_own_checksum() {
    let log = noise(Shape { n_layers: 1, ..Shape::TINY }, ElementType::F16, 1);
    let mut bytes = segment(11, &[(&log, Encoding::Plain)]);
    // Keys at 64, values at 128, 48 bytes each; the directory at 192 has two entries behind three tokens.
    let tokens_per_page = 256 * 1024 / 16;
    let directory = 192..192 + 3 * 8 + 2 * 12 + 4;
    seal_directory(&mut bytes[directory.clone()], 11, ElementType::F16, [1, 3, tokens_per_page]);
    assert_eq!(read_all(&bytes).unwrap(), [log], "sealing by hand changes nothing");
    let (keys, values) = bytes[64..192].split_at_mut(64);
    keys.swap_with_slice(values);
    let (first, second) = bytes[192 + 24..192 + 48].split_at_mut(12);
    first.swap_with_slice(second);
    seal_directory(&mut bytes[directory], 11, ElementType::F16, [1, 3, tokens_per_page]);
    let read = read_all(&bytes);
    assert!(matches!(&read, Err(FormatError::Corrupt { field: "page checksum", .. })), "{read:?}");
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
        [(8, 2, "version"), (12, 1, "incompatible features"), (15, 0x80, "incompatible features")]
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
