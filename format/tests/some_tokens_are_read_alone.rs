//! A reader of some tokens gets what a reader of all gets, reads little else, and is told of damage to what it takes.

use crate::support::{ELEMENTS, Shape, importance, noise, ragged};
use lagdb_format::{ElementType, Encoding, FormatError, KvLog, KvRead, Part, RowGroupIndex, Segment, SegmentWriter};
use proptest::prelude::*;

fn segment(log: &KvLog, encoding: Encoding, page_bytes: usize) -> Vec<u8> {
    let mut writer = SegmentWriter::new(1).with_page_bytes(page_bytes);
    writer.push(log, encoding).unwrap();
    writer.finish().unwrap()
}

fn rows_of(column: &[u8], row_bytes: usize, rows: &[u32]) -> Vec<u8> {
    rows.iter().flat_map(|row| &column[*row as usize * row_bytes..][..row_bytes]).copied().collect()
}

proptest! {
    #[test]
    fn gathered_tokens_are_those_of_the_log(
        rows in prop::collection::vec(0..40_u32, 0..60),
        element in prop::sample::select(&ELEMENTS[..]),
        encoding in prop::sample::select(&Encoding::LOSSLESS[..]),
        page_bytes in prop::sample::select(vec![64_usize, 100, 500, 100_000]),
        seed in any::<u64>(),
    ) {
        let log = noise(Shape { n_tokens: 40, ..Shape::TINY }, element, seed);
        let bytes = segment(&log, encoding, page_bytes);
        let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
        let row_bytes = 8 * element.n_bytes();
        let expected = rows_of(&log.layers()[1].values, row_bytes, &rows);
        let mut raw = vec![0; expected.len()];
        view.gather(1, Part::Values, &rows, &mut raw[..]).unwrap();
        prop_assert_eq!(&raw, &expected);
        let (mut numbers, mut wanted) = (vec![0.0; rows.len() * 8], vec![0.0; rows.len() * 8]);
        view.gather(1, Part::Values, &rows, &mut numbers[..]).unwrap();
        element.decode_f32(&expected, &mut wanted).unwrap();
        prop_assert!(numbers.iter().zip(&wanted).all(|(a, b)| a.to_bits() == b.to_bits()));
    }

    #[test]
    fn a_prefix_is_the_beginning_of_the_log(
        n_tokens in 0..45_usize,
        is_ragged in any::<bool>(),
        encoding in prop::sample::select(&Encoding::LOSSLESS[..]),
        n_threads in 1..4_usize,
        seed in any::<u64>(),
    ) {
        let shape = Shape { n_tokens: 40, ..Shape::TINY };
        let log = if is_ragged { ragged(shape, ElementType::F16, seed) } else { noise(shape, ElementType::F16, seed) };
        let importance = importance(&log);
        let log = log.with_importance(&importance).unwrap();
        let bytes = segment(&log, encoding, 200);
        let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
        let prefix = view.prefix(n_tokens).with_threads(n_threads).to_log().unwrap();
        let n_tokens = n_tokens.min(40);
        prop_assert_eq!(prefix.token_ids(), &log.token_ids()[..n_tokens]);
        prop_assert_eq!(prefix.positions(), &log.positions()[..n_tokens]);
        prop_assert_eq!(prefix.importance(), log.importance().map(|scores| &scores[..n_tokens]));
        let row_bytes = 8 * if is_ragged { 1 } else { 2 };
        for (number, (found, whole)) in log.layers().iter().zip(prefix.layers()).enumerate().map(|(i, (w, f))| (i as u32, (f, w))) {
            let mut expected = vec![];
            match (log.heads(), prefix.heads()) {
                (None, None) => expected.extend_from_slice(&whole.keys[..n_tokens * row_bytes]),
                // Of the first tokens the heads may keep all: then they stand token by token.
                (Some(all), None) => {
                    let second = all.n_tokens_of(number, 0) as usize;
                    for row in (0..n_tokens).flat_map(|token| [token, second + token]) {
                        expected.extend_from_slice(&whole.keys[row * row_bytes..(row + 1) * row_bytes]);
                    }
                }
                (Some(all), Some(some)) => {
                    let mut start = 0;
                    for head in 0..2 {
                        let kept = all.tokens_of(number, head).filter(|token| (*token as usize) < n_tokens).count();
                        prop_assert_eq!(some.n_tokens_of(number, head), kept as u32);
                        expected.extend_from_slice(&whole.keys[start..start + kept * row_bytes]);
                        start += all.n_tokens_of(number, head) as usize * row_bytes;
                    }
                }
                (None, Some(_)) => prop_assert!(false, "a prefix has sets that the log has not"),
            }
            prop_assert_eq!(&found.keys, &expected);
        }
    }
}

#[test]
fn tokens_of_one_head_are_gathered() {
    let log = ragged(Shape { n_tokens: 40, ..Shape::TINY }, ElementType::F16, 0x0f1e_2d3c_4b5a_6978);
    let heads = log.heads().unwrap();
    let (before, n) = (heads.n_tokens_of(1, 0) as usize, heads.n_tokens_of(1, 1));
    let rows: Vec<u32> = (0..n).rev().step_by(2).collect();
    let expected = rows_of(&log.layers()[1].keys[before * 8..], 8, &rows);
    for encoding in Encoding::LOSSLESS {
        let bytes = segment(&log, encoding, 64);
        let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
        let mut out = vec![0; expected.len()];
        view.gather_head(1, Part::Keys, 1, &rows, &mut out[..]).unwrap();
        assert_eq!(out, expected);
        assert!(matches!(view.gather(1, Part::Keys, &rows, &mut out[..]), Err(FormatError::Invalid { .. })));
        assert!(matches!(view.gather_head(1, Part::Keys, 1, &[n], &mut out[..8]), Err(FormatError::Invalid { .. })));
        assert!(matches!(view.gather_head(1, Part::Keys, 2, &[0], &mut out[..8]), Err(FormatError::Invalid { .. })));
        assert!(matches!(view.gather_head(1, Part::Keys, 1, &[0], &mut out[..9]), Err(FormatError::Invalid { .. })));
    }
}

/// Llama-3.2-1B's rows: 8 heads of 64 f16.
#[test]
fn a_gather_reads_little_else() {
    let shape = Shape { n_layers: 1, n_kv_heads: 8, head_dim: 64, n_tokens: 2048 };
    let log = noise(shape, ElementType::F16, 5);
    let bytes = segment(&log, Encoding::Plain, usize::MAX);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    let tokens: Vec<u32> = (0..256).map(|i| i * 8 % 2048 + i % 7).collect();
    let mut out = vec![0; 256 * 1024];
    let n_read = view.gather(0, Part::Keys, &tokens, &mut out[..]).unwrap();
    assert!(n_read as f64 <= 1.05 * out.len() as f64, "{n_read} bytes for {}", out.len());
}

#[test]
fn damage_is_found_where_it_is_read_and_nowhere_else() {
    let log = noise(Shape { n_layers: 1, n_tokens: 8, ..Shape::TINY }, ElementType::F16, 5);
    let bytes = segment(&log, Encoding::Plain, usize::MAX);
    // The keys at 64: eight rows of 16 bytes and a checksum each.
    for byte in 64..64 + 8 * 16 + 8 * 4 {
        let mut damaged = bytes.clone();
        damaged[byte] ^= 1 << (byte % 8);
        let view = Segment::open(&damaged).unwrap().kv_log(RowGroupIndex(0)).unwrap();
        for token in 0..8 {
            let mut out = [0; 16];
            let read = view.gather(0, Part::Keys, &[token], &mut out[..]);
            let is_hit = byte >= 192 || (byte - 64) / 16 == token as usize;
            assert_eq!(is_hit, matches!(read, Err(FormatError::Corrupt { .. })), "byte {byte}, token {token}");
            assert!(is_hit || out == log.layers()[0].keys[token as usize * 16..][..16]);
        }
        assert!(view.to_log().is_err());
        let first_four = view.prefix(4).to_log();
        assert_eq!(first_four.is_err(), !(128..192).contains(&byte), "byte {byte}");
    }
}

#[test]
fn threads_read_the_same_and_find_the_same_damage() {
    let log = noise(Shape { n_tokens: 100, ..Shape::TINY }, ElementType::F32, 5);
    let mut bytes = segment(&log, Encoding::ExponentHuffman, 256);
    for n_threads in [1, 2, 7, 1000] {
        let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap().with_threads(n_threads);
        assert_eq!(view.to_log().unwrap(), log);
    }
    let page = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap().pages().nth(20).unwrap();
    bytes[page.offset as usize + 5] ^= 1;
    let damaged = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    let alone = damaged.to_log().unwrap_err();
    assert_eq!(damaged.with_threads(3).to_log().unwrap_err(), alone);
}

#[test]
fn a_part_of_a_log_is_not_copied_as_a_row_group() {
    let log = noise(Shape::TINY, ElementType::F32, 5);
    let bytes = segment(&log, Encoding::Plain, 64);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    assert!(matches!(SegmentWriter::new(2).push_view(&view.prefix(1)), Err(FormatError::Invalid { .. })));
}
