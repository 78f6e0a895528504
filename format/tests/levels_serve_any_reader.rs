//! One log in levels is read fast, as near as int8, or exactly, and each way says what it is.

use crate::support::{ELEMENTS, Shape, fingerprint, importance, is_found};
use lagdb_format::{
    ElementType, Encoding, Fidelity, FormatError, HeadTokens, KvLayer, KvLog, KvLogView, KvRead, Part, Precision,
    RowGroupIndex, Segment, SegmentWriter,
};
use proptest::prelude::*;

const SHAPE: Shape = Shape { n_layers: 2, n_kv_heads: 2, head_dim: 8, n_tokens: 30 };

/// Finite numbers: lossy encodings have no range for others.
fn log(element: ElementType, is_ragged: bool, seed: u64) -> KvLog {
    let mut state = seed;
    let mut column = |n_rows: usize| {
        let numbers: Vec<f32> = (0..n_rows * 8)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / 65_536.0 - 128.0
            })
            .collect();
        element.encode_f32(&numbers).unwrap()
    };
    let model = fingerprint(SHAPE, 1);
    let heads = HeadTokens::new(model.geometry, 30, |layer, head, token| (layer + head + token) % 3 > 0);
    let n_rows = |layer: u32| if is_ragged { heads.n_rows_of(layer) as usize } else { 60 };
    let layers = (0..2).map(|layer| KvLayer { keys: column(n_rows(layer)), values: column(n_rows(layer)) }).collect();
    let (ids, positions) = ((0..30).collect(), (0..30).collect());
    match is_ragged {
        true => KvLog::ragged(model, element, ids, positions, heads, layers).unwrap(),
        false => KvLog::new(model, element, ids, positions, layers).unwrap(),
    }
}

fn segment(log: &KvLog, levels: &[Encoding]) -> Vec<u8> {
    let mut writer = SegmentWriter::new(1).with_page_bytes(200).with_key_summaries();
    writer.push_levels(log, levels).unwrap();
    writer.finish().unwrap()
}

/// The largest difference from `log` in the keys of layer 1.
fn distance(log: &dyn KvRead, found: &dyn KvRead) -> f32 {
    let read = |log: &dyn KvRead| {
        let mut keys = vec![0.0; log.layer_numbers(1).unwrap()];
        log.read_keys(1, &mut keys).unwrap();
        keys
    };
    read(log).iter().zip(read(found)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

proptest! {
    #[test]
    fn more_levels_come_nearer_and_the_last_is_exact(
        element in prop::sample::select(&ELEMENTS[..]),
        is_ragged in any::<bool>(),
        seed in any::<u64>(),
        n_threads in 1..4_usize,
    ) {
        let log = log(element, is_ragged, seed);
        let bytes = segment(&log, &Encoding::LAYERED);
        let opened = Segment::open(&bytes).unwrap();
        prop_assert_eq!(opened.verify().faults, []);
        let view = opened.kv_log(RowGroupIndex(0)).unwrap().with_threads(n_threads);
        let at = |precision| view.clone().with_precision(precision);
        prop_assert_eq!(view.to_log().unwrap(), log.clone());
        prop_assert_eq!(at(Precision::Exact).to_log().unwrap(), log.clone());
        let (base, int8) = (distance(&log, &at(Precision::Base)), distance(&log, &at(Precision::Int8)));
        prop_assert!(base > 0.0 && base < 24.0 && int8 > 0.0 && int8 < 2.0, "{base}, {int8} of 256");
        let approximate = [Precision::Base, Precision::Int8, Precision::Exact].map(|p| at(p).is_approximate());
        prop_assert_eq!(approximate, [true, true, false]);
    }

    #[test]
    fn a_prefix_and_a_gather_of_levels_are_those_of_the_whole(
        seed in any::<u64>(),
        rows in prop::collection::vec(0..30_u32, 1..20),
        n_tokens in 1..30_usize,
        precision in prop::sample::select(vec![Precision::Base, Precision::Int8, Precision::Exact]),
    ) {
        let log = log(ElementType::F16, false, seed);
        let importance = importance(&log);
        let bytes = segment(&log.with_importance(&importance).unwrap(), &Encoding::LAYERED);
        let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap().with_precision(precision);
        let mut whole = vec![0.0; 30 * 16];
        view.read_values(1, &mut whole).unwrap();
        let mut gathered = vec![0.0; rows.len() * 16];
        view.gather(1, Part::Values, &rows, &mut gathered[..]).unwrap();
        for (row, found) in rows.iter().zip(gathered.chunks(16)) {
            prop_assert_eq!(&whole[*row as usize * 16..][..16], found);
        }
        let mut first = vec![0.0; n_tokens * 16];
        view.prefix(n_tokens).read_values(1, &mut first).unwrap();
        prop_assert_eq!(&whole[..n_tokens * 16], &first[..]);
    }
}

#[test]
fn levels_lie_one_behind_the_other() {
    let bytes = segment(&log(ElementType::F16, false, 1), &Encoding::LAYERED);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    let pages: Vec<_> = view.pages().collect();
    assert!(pages.is_sorted_by_key(|page| (page.level, page.offset)));
    let count = |level| pages.iter().filter(|page| page.level == level).count();
    assert_eq!([count(0), count(1), count(2)], [pages.len() / 3; 3]);
    assert!(pages.iter().all(|page| page.encoding == Encoding::LAYERED[usize::from(page.level)]));
}

#[test]
fn fidelity_is_that_of_the_levels_that_are_read() {
    let bytes = segment(&log(ElementType::F32, false, 1), &Encoding::LAYERED);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    assert_eq!(Fidelity::of(&view, 0), Fidelity::Exact);
    assert_eq!(Fidelity::of(&view.clone().with_precision(Precision::Int8), 0), Fidelity::Approximate);
    // Written again, rounded numbers do not become exact.
    let rounded = view.with_precision(Precision::Base).to_log().unwrap();
    let again = segment(&rounded, &[Encoding::Plain]);
    let again = Segment::open(&again).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    assert_eq!(Fidelity::of(&again, 0), Fidelity::Approximate);
}

#[test]
fn a_copied_log_keeps_its_levels() {
    let log = log(ElementType::Bf16, true, 3);
    let bytes = segment(&log, &Encoding::LAYERED);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    let mut writer = SegmentWriter::new(1);
    writer.push_view(&view).unwrap();
    assert!(writer.finish().unwrap() == bytes);
    // A part cannot be copied as it is.
    assert!(SegmentWriter::new(1).push_view(&view.prefix(3)).is_err());
}

#[test]
fn other_levels_are_refused_and_leave_nothing() {
    let log = log(ElementType::F16, false, 1);
    let mut writer = SegmentWriter::new(1);
    for levels in [&[][..], &[Encoding::Int8, Encoding::Int8Residual], &[Encoding::Int8Residual], &[Encoding::Int4; 4]]
    {
        assert!(matches!(writer.push_levels(&log, levels), Err(FormatError::Invalid { .. })), "{levels:?}");
    }
    assert_eq!(writer.n_row_groups(), 0);
    assert_eq!(writer.finish().unwrap(), SegmentWriter::new(1).finish().unwrap());
}

/// A reader of the base reads the directory and the base from the file, and answers as one that read everything.
#[test]
fn less_precision_is_less_of_the_file() {
    for is_ragged in [false, true] {
        let log = log(ElementType::F16, is_ragged, 5);
        let bytes = segment(&log, &Encoding::LAYERED);
        let segment = Segment::open(&bytes).unwrap();
        let row_group = &segment.footer().row_groups()[0];
        let read = |range: std::ops::Range<u64>| &bytes[range.start as usize..range.end as usize];
        let directory = KvLogView::of_directory(row_group, read(row_group.directory_range())).unwrap();
        let whole = segment.kv_log(RowGroupIndex(0)).unwrap();
        assert_eq!(directory.token_ids(), whole.token_ids());
        assert_eq!(directory.key_summaries(1).unwrap(), whole.key_summaries(1).unwrap());
        assert!(matches!(directory.to_log(), Err(FormatError::Invalid { what: "precision", .. })), "no page was read");
        assert_eq!(directory.pages().count(), 0);
        let mut n_read = vec![];
        for precision in [Precision::Base, Precision::Int8, Precision::Exact] {
            let range = directory.front_range(precision);
            n_read.push(range.end - range.start);
            let front = directory.clone().with_front(precision, read(range.clone())).unwrap();
            assert_eq!(front.to_log().unwrap(), whole.clone().with_precision(precision).to_log().unwrap());
            assert!(front.check_pages().is_ok() && front.pages().all(|page| page.is_sound));
            assert!(SegmentWriter::new(1).push_view(&front).is_err(), "not all of a row group");
            let wrong = read(range.start..range.end - 1);
            assert!(matches!(directory.clone().with_front(precision, wrong), Err(FormatError::Invalid { .. })));
        }
        assert!(n_read[0] < n_read[1] && n_read[1] < n_read[2] && n_read[2] < row_group.encoded_bytes(), "{n_read:?}");
        let base = directory.clone().with_front(Precision::Base, read(directory.front_range(Precision::Base))).unwrap();
        let more = base.with_precision(Precision::Int8);
        assert!(matches!(more.keys_raw(0), Err(FormatError::Invalid { what: "precision", .. })), "it was not read");
        let mut damaged = read(row_group.directory_range()).to_vec();
        damaged[9] ^= 1;
        assert!(matches!(KvLogView::of_directory(row_group, damaged), Err(FormatError::Corrupt { .. })));
    }
}

#[test]
fn every_flipped_byte_of_a_level_is_found_by_those_who_read_it() {
    let log = log(ElementType::F16, false, 1);
    let bytes = segment(&log, &Encoding::LAYERED);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    let base = view.clone().with_precision(Precision::Base).to_log().unwrap();
    let mut damaged = bytes.clone();
    for page in view.pages() {
        for byte in page.offset as usize..page.offset as usize + page.stored_bytes as usize {
            damaged[byte] ^= 1 << (byte % 8);
            assert!(is_found(&damaged), "byte {byte}");
            let found = Segment::open(&damaged).unwrap().kv_log(RowGroupIndex(0)).unwrap();
            assert!(matches!(found.to_log(), Err(FormatError::Corrupt { .. })));
            let found = found.with_precision(Precision::Base).to_log();
            assert!(if page.level == 0 { found.is_err() } else { found.as_ref() == Ok(&base) }, "byte {byte}");
            damaged[byte] = bytes[byte];
        }
    }
}
