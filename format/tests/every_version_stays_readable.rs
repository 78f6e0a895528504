//! A segment written by any released version is read to the same numbers for ever.
//!
//! `golden/vN.kv` is what version N wrote when it was released. Each is made once and never again.

use lagdb_format::{
    CaptureStage, Digest, ElementType, Encoding, FormatError, HeadTokens, KvGeometry, KvLayer, KvLog, KvRead,
    ModelFingerprint, Precision, ProbeQueries, RowGroupIndex, Segment, SegmentWriter,
};

const SEGMENT_ID: u64 = 0x0123_4567_89ab_cdef;
const V1: &[u8] = include_bytes!("golden/v1.kv");
const V2: &[u8] = include_bytes!("golden/v2.kv");
/// Lossy encodings and levels, whose numbers are what their decoders say.
const V2_LOSSY: &[u8] = include_bytes!("golden/v2_lossy.kv");

/// Exponents in Huffman codes, which came to version 2 later.
const V2_ENTROPY: &[u8] = include_bytes!("golden/v2_entropy.kv");

/// The logs of version 1: each element type in each encoding, one log without tokens, one of odd bits.
fn logs_of_version_1() -> Vec<(KvLog, Encoding)> {
    let mut logs = Vec::new();
    for encoding in [Encoding::Plain, Encoding::ByteSplitZstd] {
        for element in [ElementType::F32, ElementType::F16, ElementType::Bf16] {
            logs.push((counting_log(element, 12), encoding));
        }
        logs.push((odd_log(), encoding));
    }
    logs.push((counting_log(ElementType::F16, 0), Encoding::Plain));
    logs
}

/// Those, and what version 2 added: adapters, importance, tokens of each head, probe queries.
fn logs_of_version_2() -> Vec<(KvLog, Encoding)> {
    let mut logs = logs_of_version_1();
    let importance: Vec<f32> = (0..12).map(|token| ((token * 5) % 12) as f32 / 8.0).collect();
    let ordered = counting_log(ElementType::Bf16, 12).with_importance(&importance).unwrap();
    logs.push((ordered, Encoding::ByteSplitZstd));
    logs.push((ragged_log().with_importance(&importance).unwrap(), Encoding::Plain));
    let queries = (0..2 * 4 * 3 * 4).map(|i| i as f32 / 4.0).collect();
    let probes = ProbeQueries::new(4, 4, vec![40, 41, 47], queries).unwrap();
    logs.push((counting_log(ElementType::F16, 12).with_probes(probes).unwrap(), Encoding::Plain));
    let mut adapted = fingerprint("counting", GEOMETRY);
    adapted.adapters = Some(Digest::of("golden file", &[b"adapters"]));
    let log = counting_log(ElementType::F32, 12);
    let layers = log.layers().to_vec();
    let log = KvLog::new(adapted, log.element(), log.token_ids().into(), log.positions().into(), layers).unwrap();
    logs.push((log, Encoding::Plain));
    logs
}

const GEOMETRY: KvGeometry = KvGeometry { n_layers: 2, n_kv_heads: 2, head_dim: 4 };

/// Two layers, two heads of four. Every number is exact in every element type and says where it stands: keys of layer
/// `l`, token `t` begin at `12 l + t` and go up in eighths; values are the same below zero.
fn number(layer: u32, token: u32, i: u32) -> f32 {
    (12 * layer + token) as f32 + i as f32 / 8.0
}

fn counting_layer(element: ElementType, keys: &[f32]) -> KvLayer {
    let values: Vec<f32> = keys.iter().map(|key| -key).collect();
    KvLayer { keys: element.encode_f32(keys).unwrap(), values: element.encode_f32(&values).unwrap() }
}

fn tokens(n_tokens: u32) -> (Vec<u32>, Vec<u32>) {
    (0..n_tokens).map(|token| (1000 + 7 * token, 3 * token + token % 2)).unzip()
}

fn counting_log(element: ElementType, n_tokens: u32) -> KvLog {
    let layer = |layer| {
        let keys: Vec<f32> = (0..n_tokens).flat_map(|token| (0..8).map(move |i| number(layer, token, i))).collect();
        counting_layer(element, &keys)
    };
    let (token_ids, positions) = tokens(n_tokens);
    KvLog::new(fingerprint("counting", GEOMETRY), element, token_ids, positions, vec![layer(0), layer(1)]).unwrap()
}

/// As the counting log; head 0 of layer 0 keeps every token, the others fewer and fewer, the last one none.
fn ragged_log() -> KvLog {
    let element = ElementType::F16;
    let heads = HeadTokens::new(GEOMETRY, 12, |layer, head, token| match (layer, head) {
        (0, 0) => true,
        (0, _) => token % 2 == 0,
        (_, 0) => token % 3 == 1,
        _ => false,
    });
    let layer = |layer| {
        let rows = (0..2).flat_map(|head| heads.tokens_of(layer, head).map(move |token| (head, token)));
        let keys: Vec<f32> =
            rows.flat_map(|(head, token)| (0..4).map(move |i| number(layer, token, 4 * head + i))).collect();
        counting_layer(element, &keys)
    };
    let layers = vec![layer(0), layer(1)];
    let (token_ids, positions) = tokens(12);
    KvLog::ragged(fingerprint("counting", GEOMETRY), element, token_ids, positions, heads, layers).unwrap()
}

/// Every kind of f16 there is: zeros, subnormals, infinities, quiet and signalling NaNs with their payloads.
fn odd_log() -> KvLog {
    let bits = [0x0000, 0x8000, 0x0001, 0x83ff, 0x7c00, 0xfc00, 0x7e01, 0xfd55_u16];
    let keys: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let values = keys.iter().rev().copied().collect();
    let geometry = KvGeometry { n_layers: 1, n_kv_heads: 1, head_dim: 8 };
    let layers = vec![KvLayer { keys, values }];
    KvLog::new(fingerprint("odd", geometry), ElementType::F16, vec![u32::MAX], vec![u32::MAX], layers).unwrap()
}

fn fingerprint(model: &str, geometry: KvGeometry) -> ModelFingerprint {
    let digest = |field| Digest::of("golden file", &[model.as_bytes(), field]);
    ModelFingerprint {
        weights: digest(b"weights"),
        config: digest(b"config"),
        tokenizer: digest(b"tokenizer"),
        rope: digest(b"rope"),
        adapters: None,
        geometry,
        capture: CaptureStage::BeforeRope,
    }
}

fn write() -> Vec<u8> {
    // Pages of five f32 tokens, so that chunks have several.
    let mut writer = SegmentWriter::new(SEGMENT_ID).with_page_bytes(160);
    for (log, encoding) in logs_of_version_2() {
        if log.fingerprint().adapters.is_some() {
            writer = writer.with_key_summaries();
        }
        writer.push(&log, encoding).unwrap();
    }
    writer.finish().unwrap()
}

fn assert_reads_to(golden: &[u8], logs: &[(KvLog, Encoding)]) {
    let mut n_smaller = 0;
    let segment = Segment::open_as(golden, SEGMENT_ID).unwrap();
    assert_eq!(segment.verify().faults, []);
    assert_eq!(segment.footer().row_groups().len(), logs.len());
    for (row_group, (log, encoding)) in segment.footer().row_groups().iter().zip(logs) {
        let view = segment.kv_log(row_group.index()).unwrap();
        assert_eq!(view.to_log().unwrap(), *log);
        assert!(view.pages().all(|page| page.encoding == *encoding));
        n_smaller += view.pages().filter(|page| page.stored_bytes < page.raw_bytes).count();
    }
    assert!(n_smaller > 0, "something in it is compressed");
}

#[test]
fn version_1_reads_to_the_same_numbers() {
    assert_reads_to(V1, &logs_of_version_1());
}

#[test]
fn version_2_reads_to_the_same_numbers() {
    assert_reads_to(V2, &logs_of_version_2());
}

/// Compaction copies row groups of every version into new segments.
#[test]
fn every_version_is_copied_into_a_new_segment() {
    for (golden, logs) in [(V1, logs_of_version_1()), (V2, logs_of_version_2())] {
        let old = Segment::open(golden).unwrap();
        let mut writer = SegmentWriter::new(SEGMENT_ID);
        for row_group in old.footer().row_groups() {
            writer.push_view(&old.kv_log(row_group.index()).unwrap()).unwrap();
        }
        assert_reads_to(&writer.finish().unwrap(), &logs);
    }
}

/// Some numbers as they are, so that no change of the code that makes the expected logs goes unseen.
#[test]
fn version_1_has_these_numbers_in_it() {
    let segment = Segment::open_as(V1, SEGMENT_ID).unwrap();
    let view = segment.kv_log(RowGroupIndex(6)).unwrap();
    let mut out = [0.0; 12 * 8];
    view.read_values(1, &mut out).unwrap();
    assert_eq!((view.element(), view.token_ids()[11], view.positions()[11]), (ElementType::Bf16, 1077, 34));
    assert_eq!(out[88..], [-23.0, -23.125, -23.25, -23.375, -23.5, -23.625, -23.75, -23.875]);
    let odd = segment.kv_log(RowGroupIndex(7)).unwrap();
    assert_eq!(odd.keys_raw(0).unwrap()[12..], [0x01, 0x7e, 0x55, 0xfd]);
    let id = view.fingerprint().id().to_string();
    assert_eq!(id, "5657327879987e182a8cd9a627fa1d537dd15bccbe4b1e707c15b509b715ab30");
}

#[test]
fn version_2_has_these_numbers_in_it() {
    let segment = Segment::open_as(V2, SEGMENT_ID).unwrap();
    let ragged = segment.kv_log(RowGroupIndex(10)).unwrap();
    // Scores 5 t mod 12 / 8: the highest is token 7's, then 2's, 9's, 4's.
    assert_eq!(ragged.token_ids()[..4], [1049, 1014, 1063, 1028]);
    assert_eq!(ragged.importance().unwrap()[..4], [1.375, 1.25, 1.125, 1.0]);
    let heads = ragged.heads().unwrap();
    assert_eq!([(0, 0), (0, 1), (1, 0), (1, 1)].map(|(layer, head)| heads.n_tokens_of(layer, head)), [12, 6, 4, 0]);
    let mut keys = [0.0; 4 * 4];
    ragged.read_keys(1, &mut keys).unwrap();
    assert_eq!(keys[..8], [19.0, 19.125, 19.25, 19.375, 16.0, 16.125, 16.25, 16.375]);
    let probes = segment.kv_log(RowGroupIndex(11)).unwrap().probes().unwrap().unwrap();
    assert_eq!((probes.n_heads(), probes.positions(), probes.numbers()[95]), (4, &[40, 41, 47][..], 23.75));
    let adapted = segment.kv_log(RowGroupIndex(12)).unwrap();
    // Token 4 of layer 1 is the last of the first page: pairs (16, 16.25) and (16.125, 16.375), and its norms are above.
    let summary = &adapted.key_summaries(1).unwrap().unwrap()[0].heads[0];
    assert_eq!((&summary.max[..], &summary.min[..1]), (&[16.0, 16.125, 16.25, 16.375][..], &[12.0][..]));
    assert_eq!(summary.pair_norm, [22.8125, 22.984375]);
    assert_eq!(adapted.fingerprint().mismatch(&fingerprint("counting", GEOMETRY)), Some("adapters"));
}

/// Fails when zstd makes other frames. That is allowed, and worth knowing: then compare what is read instead.
#[test]
fn the_writer_still_writes_the_same_bytes() {
    assert!(write() == V2);
}

/// Each element type: numbers of a size and a sign by channel, of which some keys repeat others; all alike; of every kind;
/// and noise, which is kept as it is.
fn logs_in_huffman_codes() -> Vec<KvLog> {
    let mut logs = vec![odd_log(), counting_log(ElementType::F32, 0)];
    for element in [ElementType::F32, ElementType::F16, ElementType::Bf16] {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        let mut chunk = |repeats: bool| -> Vec<u8> {
            let sizes: Vec<f32> = (0..8).map(|i| [0.5, -2.0, 1.0, 30.0][i % 4] * (1.0 + next())).collect();
            let rows: Vec<Vec<f32>> =
                (0..40).map(|_| sizes.iter().map(|size| size * (next() + next() - 0.4)).collect()).collect();
            let row = |token: usize| if repeats && token % 3 == 2 { token / 2 } else { token };
            element.encode_f32(&(0..40).flat_map(|token| rows[row(token)].clone()).collect::<Vec<_>>()).unwrap()
        };
        let layers: Vec<_> = (0..2).map(|_| KvLayer { keys: chunk(true), values: chunk(false) }).collect();
        let (token_ids, positions) = tokens(40);
        logs.push(KvLog::new(fingerprint("codes", GEOMETRY), element, token_ids, positions, layers).unwrap());
        let mut bytes = (0..).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
        let mut layer = || {
            let n_bytes = 40 * 8 * element.n_bytes();
            KvLayer { keys: vec![0x3c; n_bytes], values: bytes.by_ref().take(n_bytes).collect() }
        };
        let layers = vec![layer(), layer()];
        let (token_ids, positions) = tokens(40);
        logs.push(KvLog::new(fingerprint("bytes", GEOMETRY), element, token_ids, positions, layers).unwrap());
    }
    logs
}

fn write_entropy() -> Vec<u8> {
    let mut writer = SegmentWriter::new(SEGMENT_ID);
    for log in logs_in_huffman_codes() {
        writer.push(&log, Encoding::ExponentHuffman).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn huffman_codes_of_version_2_read_to_the_same_numbers() {
    // Encoders may come to choose better; what they once chose stays readable.
    assert!(Segment::open(&write_entropy()).unwrap().verify().is_sound());
    let logs: Vec<_> = logs_in_huffman_codes().into_iter().map(|log| (log, Encoding::ExponentHuffman)).collect();
    assert_reads_to(V2_ENTROPY, &logs);
    // Bytes 0 and 4 of a page: coded or as it is, and whether rows repeat.
    let segment = Segment::open(V2_ENTROPY).unwrap();
    let views = segment.footer().row_groups().iter().map(|row_group| segment.kv_log(row_group.index()).unwrap());
    let pages: Vec<_> = views.flat_map(|view| view.pages().collect::<Vec<_>>()).collect();
    let begins = |bytes: [u8; 2]| {
        pages.iter().any(|page| {
            let at = page.offset as usize;
            [V2_ENTROPY[at], V2_ENTROPY[at + 4].min(1)] == bytes
        })
    };
    assert!(begins([0, 0]) || begins([0, 1]), "noise");
    assert!(begins([1, 0]) && begins([1, 1]), "codes, rows that repeat");
}

/// The levels of each log of the lossy golden file.
const LOSSY: [&[Encoding]; 3] = [&[Encoding::Int8], &[Encoding::Int4], &Encoding::LAYERED];

fn write_lossy() -> Vec<u8> {
    let mut writer = SegmentWriter::new(SEGMENT_ID).with_page_bytes(160).with_key_summaries();
    for levels in LOSSY {
        for element in [ElementType::F32, ElementType::F16, ElementType::Bf16] {
            writer.push_levels(&counting_log(element, 12), levels).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// A digest of all numbers of a log, as f32, to the last bit.
fn digest_of(log: &dyn KvRead) -> Digest {
    let mut bytes = Vec::new();
    for layer in 0..log.geometry().n_layers {
        let mut out = vec![0.0; log.layer_numbers(layer).unwrap()];
        log.read_keys(layer, &mut out).unwrap();
        bytes.extend(out.iter().flat_map(|x| x.to_le_bytes()));
        log.read_values(layer, &mut out).unwrap();
        bytes.extend(out.iter().flat_map(|x| x.to_le_bytes()));
    }
    Digest::of("numbers", &[&bytes])
}

#[test]
fn lossy_pages_of_version_2_read_to_the_same_numbers() {
    // Encoders may come to choose better; what they once chose stays readable.
    assert!(Segment::open(&write_lossy()).unwrap().verify().is_sound());
    let segment = Segment::open_as(V2_LOSSY, SEGMENT_ID).unwrap();
    // The writer of that day did not think of keys rounded to the element type when it summarized them, and `verify` says
    // so: of its nine logs, keys of two bytes go beyond what the summaries say in five pages. Nothing else is wrong.
    let faults = segment.verify().faults;
    assert_eq!(faults.len(), 5);
    assert!(faults.iter().all(|fault| matches!(fault, FormatError::Corrupt { field: "key summaries", .. })));
    let mut digests = Vec::new();
    for row_group in segment.footer().row_groups() {
        let view = segment.kv_log(row_group.index()).unwrap();
        for precision in [Precision::Base, Precision::Int8, Precision::Exact] {
            digests.push(digest_of(&view.clone().with_precision(precision)));
        }
        let levels = LOSSY[row_group.index().0 as usize / 3];
        if levels.len() == 3 {
            assert_eq!(view.to_log().unwrap(), counting_log(view.element(), 12));
        }
        assert!(view.pages().all(|page| page.encoding == levels[usize::from(page.level)]));
    }
    let bytes: Vec<&[u8]> = digests.iter().map(|digest| &digest.0[..]).collect();
    assert_eq!(
        Digest::of("all", &bytes).to_string(),
        "e678af4e2874067afabb924639ca206ada25013950a1fdbe376d7ff4b3d01844"
    );
}
