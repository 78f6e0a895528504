//! Every byte of a KV log comes back, whatever the numbers, the shape, the encoding and the way of reading.

use crate::support::{ELEMENTS, Shape, log_of, noise, numbers, pattern, ragged, segment};
use lagdb_format::{
    ElementType, Encoding, Footer, FormatError, HeadTokens, KvLayer, KvLog, KvLogView, KvRead, PageNumbers, Part,
    RowGroupIndex, Segment, SegmentWriter,
};
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = Shape> {
    let sizes = (1..4_u32, 1..4_u32, 1..9_u32, 0..40_usize);
    sizes.prop_map(|(n_layers, n_kv_heads, head_dim, n_tokens)| Shape { n_layers, n_kv_heads, head_dim, n_tokens })
}

fn logs() -> impl Strategy<Value = KvLog> {
    (shapes(), 0..3_usize, any::<u64>(), prop::sample::select(vec![1_u64, 3, 17, 256])).prop_map(
        |(shape, element, seed, n_values)| {
            let mut state = seed;
            log_of(shape, ELEMENTS[element], || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 40) % n_values) as u8
            })
        },
    )
}

fn assert_same(view: &KvLogView<'_>, log: &KvLog) {
    assert_eq!(&view.to_log().unwrap(), log);
    assert_eq!(view.fingerprint(), log.fingerprint());
    assert_eq!(view.token_ids(), log.token_ids());
    assert_eq!(view.positions(), log.positions());
    assert_eq!(numbers(view).unwrap(), numbers(log).unwrap());
}

proptest! {
    #[test]
    fn logs_come_back(logs in prop::collection::vec((logs(), 0..3_usize), 0..5), id in any::<u64>()) {
        let pushed: Vec<_> = logs.iter().map(|(log, encoding)| (log, Encoding::LOSSLESS[*encoding])).collect();
        let bytes = segment(id, &pushed);
        let segment = Segment::open_as(&bytes, id).unwrap();
        prop_assert_eq!(segment.verify().faults, []);
        prop_assert_eq!(segment.footer().row_groups().len(), logs.len());
        for (row_group, (log, _)) in segment.footer().row_groups().iter().zip(&logs) {
            assert_same(&segment.kv_log(row_group.index()).unwrap(), log);
        }
    }

    #[test]
    fn copied_row_groups_come_back(log in logs(), other in logs(), encoding in 0..3_usize) {
        let old = segment(1, &[(&other, Encoding::Plain), (&log, Encoding::LOSSLESS[encoding])]);
        let old = Segment::open(&old).unwrap();
        let mut writer = SegmentWriter::new(2);
        let index = writer.push_view(&old.kv_log(RowGroupIndex(1)).unwrap()).unwrap();
        let new = writer.finish().unwrap();
        let new = Segment::open_as(&new, 2).unwrap();
        prop_assert!(new.verify().is_sound());
        assert_same(&new.kv_log(index).unwrap(), &log);
    }
}

#[test]
fn chunks_of_many_pages_come_back() {
    let shape = Shape { n_layers: 2, n_kv_heads: 3, head_dim: 50, n_tokens: 1200 };
    for element in ELEMENTS {
        for encoding in Encoding::LOSSLESS {
            let log = noise(shape, element, 9);
            let bytes = segment(3, &[(&log, encoding)]);
            let segment = Segment::open(&bytes).unwrap();
            let view = segment.kv_log(RowGroupIndex(0)).unwrap();
            assert_same(&view, &log);
            let pages: Vec<_> = view.pages().collect();
            assert!(pages.len() > 4 && pages.iter().all(|page| page.is_sound && page.offset % 64 == 0));
            let n_tokens: u32 =
                pages.iter().filter(|p| (p.layer, p.part) == (1, Part::Values)).map(|p| p.n_tokens).sum();
            assert_eq!(n_tokens, 1200);
        }
    }
}

#[test]
fn numbers_are_bits_and_nothing_else() {
    let shape = Shape { n_layers: 1, n_kv_heads: 1, head_dim: 64, n_tokens: 1024 };
    for element in [ElementType::F16, ElementType::Bf16] {
        let mut i = 0_u32;
        // Keys and values together run through all 65,536 bit patterns: every NaN, infinity and subnormal.
        let log = log_of(shape, element, || {
            i += 1;
            ((i - 1) / 2).to_le_bytes()[(i as usize - 1) % 2]
        });
        for encoding in Encoding::LOSSLESS {
            let bytes = segment(3, &[(&log, encoding)]);
            assert_same(&Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap(), &log);
        }
    }
}

#[test]
fn one_plain_page_is_not_copied() {
    let log = pattern(Shape::TINY, ElementType::F16);
    let bytes = segment(3, &[(&log, Encoding::Plain)]);
    let segment = Segment::open(&bytes).unwrap();
    let view = segment.kv_log(RowGroupIndex(0)).unwrap();
    let keys = view.keys_raw(1).unwrap();
    assert!(matches!(keys, std::borrow::Cow::Borrowed(_)) && bytes.as_ptr_range().contains(&keys.as_ptr()));
    assert_eq!(*keys, log.layers()[1].keys);
}

/// Only a chunk of one page was borrowed; a chunk of many was copied, page by page, into one.
#[test]
fn pages_of_a_chunk_are_borrowed_one_by_one() {
    let shape = Shape { n_tokens: 20, ..Shape::TINY };
    for (log, encoding) in [
        (noise(shape, ElementType::F16, 8), Encoding::Plain),
        (noise(shape, ElementType::F16, 8), Encoding::ByteSplitZstd),
        (ragged(shape, ElementType::F16, 0x3c5a_96f1), Encoding::Plain),
    ] {
        let mut writer = SegmentWriter::new(3).with_page_bytes(64);
        writer.push(&log, encoding).unwrap();
        let bytes = writer.finish().unwrap();
        let segment = Segment::open(&bytes).unwrap();
        for n_tokens in [20, 13, 0] {
            let view = segment.kv_log(RowGroupIndex(0)).unwrap().prefix(n_tokens);
            let pages: Vec<_> = view.layer_pages(1, Part::Values).unwrap().map(Result::unwrap).collect();
            assert!(pages.len() > 1 || n_tokens == 0);
            let is_borrowed = |page: &PageNumbers<'_>| matches!(page.bytes, std::borrow::Cow::Borrowed(_));
            assert!(pages.iter().all(|page| is_borrowed(page) == (encoding == Encoding::Plain)));
            let together: Vec<u8> = pages.iter().flat_map(|page| page.bytes.iter().copied()).collect();
            assert_eq!(together, *view.values_raw(1).unwrap());
            assert!(pages.iter().all(|page| page.head.is_some() == log.heads().is_some()));
            assert!(view.layer_pages(2, Part::Values).is_err(), "no such layer");
        }
    }
}

/// A page of zeros takes some dozens of bytes in the file and 256 KiB in memory; who made the file does not decide how much
/// memory a reader takes.
#[test]
fn no_call_allocates_more_than_its_limit() {
    let shape = Shape { n_layers: 1, n_kv_heads: 8, head_dim: 128, n_tokens: 9000 };
    let log = log_of(shape, ElementType::F32, || 0);
    let bytes = segment(3, &[(&log, Encoding::ByteSplitZstd)]);
    assert!(bytes.len() < 200_000, "{} bytes", bytes.len());
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    let is_above = |result: &dyn std::fmt::Debug| format!("{result:?}").contains("what: \"limit\"");
    assert!(is_above(&view.to_log().map(drop)), "73 MB of 100 KB");
    assert_eq!(view.clone().with_limit(80_000_000).to_log().as_ref(), Ok(&log));
    let layer_bytes = 9000 * 1024 * 4;
    assert_eq!(view.clone().with_limit(layer_bytes).keys_raw(0).unwrap().len() as u64, layer_bytes);
    assert!(is_above(&view.with_limit(layer_bytes - 1).keys_raw(0).map(drop)));
}

#[test]
fn a_store_needs_two_reads_to_open_and_one_per_log() {
    let log = noise(Shape::TINY, ElementType::Bf16, 4);
    let file = segment(77, &[(&log, Encoding::Plain), (&log, Encoding::ByteSplitZstd)]);
    let read = |range: std::ops::Range<u64>| file[range.start as usize..range.end as usize].to_vec();
    let n_bytes = file.len() as u64;

    let located = Footer::locate(&read(n_bytes - Footer::tail_bytes() as u64..n_bytes), n_bytes).unwrap();
    let footer = Footer::parse(&read(located.range()), &located, 77).unwrap();
    for row_group in footer.row_groups() {
        let view: KvLogView<'static> = KvLogView::new(row_group, read(row_group.range())).unwrap();
        assert_same(&view, &log);
    }
    assert!(matches!(Footer::parse(&read(located.range()), &located, 78), Err(FormatError::Corrupt { .. })));
}

#[test]
fn taking_bytes_while_writing_changes_nothing() {
    let log = noise(Shape::TINY, ElementType::F32, 4);
    let whole = segment(5, &Encoding::LOSSLESS.map(|encoding| (&log, encoding)));
    let mut writer = SegmentWriter::new(5);
    let mut taken = writer.take();
    for encoding in Encoding::LOSSLESS {
        writer.push(&log, encoding).unwrap();
        taken.extend(writer.take());
        assert_eq!(writer.n_bytes(), taken.len() as u64);
    }
    taken.extend(writer.finish().unwrap());
    assert_eq!(taken, whole);
}

#[test]
fn views_go_to_other_threads() {
    fn goes<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}
    goes::<KvLogView<'static>>();
}

/// Heads that keep tokens of their own out of none: the sets took no bytes, and were taken for missing.
#[test]
fn heads_may_keep_tokens_of_none() {
    let log = noise(Shape { n_tokens: 0, ..Shape::TINY }, ElementType::F16, 1);
    let heads = HeadTokens::new(log.geometry(), 0, |_, _, _| true);
    let ragged =
        KvLog::ragged(*log.fingerprint(), log.element(), vec![], vec![], heads, log.layers().to_vec()).unwrap();
    assert_eq!(ragged, log, "every head keeps every token");
}

/// A page of numbers without mantissas was read with those of the page before it: the decoder keeps its buffers, and a plane
/// that is not stored was not cleared. Its checksums were right, and so were the numbers of a decoder that began with it.
#[test]
fn a_page_without_mantissas_does_not_get_those_of_another() {
    let shape = Shape { n_layers: 1, n_kv_heads: 8, head_dim: 64, n_tokens: 512 };
    for element in ELEMENTS {
        let log = noise(Shape { n_tokens: 512, ..shape }, element, 1);
        // Two pages a column of what has two bytes, four of what has four: full ones and bare ones in turn.
        let number = |i: usize| match i / (128 * 512) % 2 {
            0 => 1.0 + (i % 1000) as f32 / 1000.0,
            _ => [0.0, 1.0, -2.0][i % 3],
        };
        let chunk = element.encode_f32(&(0..512 * 512).map(number).collect::<Vec<_>>()).unwrap();
        let layers = vec![KvLayer { keys: chunk.clone(), values: chunk }];
        let (ids, positions) = (log.token_ids().to_vec(), log.positions().to_vec());
        let log = KvLog::new(*log.fingerprint(), element, ids, positions, layers).unwrap();
        let mut writer = SegmentWriter::new(1).with_page_bytes(128 * 512 * element.n_bytes()).with_key_summaries();
        writer.push(&log, Encoding::ExponentHuffman).unwrap();
        let bytes = writer.finish().unwrap();
        let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
        assert_eq!(view.n_pages(), 8);
        assert!(view.to_log().unwrap() == log);
        assert!(numbers(&view).unwrap() == numbers(&log).unwrap());
        let pages = view.layer_pages(0, Part::Keys).unwrap().map(|page| page.unwrap().bytes.to_vec());
        assert!(pages.collect::<Vec<_>>().concat() == log.layers()[0].keys);
        let summaries = view.key_summaries(0).unwrap().unwrap();
        let of_bare = |head: &lagdb_format::KeySummary| (head.min.iter().copied().fold(0.0, f32::min), head.max[0]);
        assert!(summaries[1].heads.iter().all(|head| of_bare(head) == (-2.0, 1.0)));
    }
}
