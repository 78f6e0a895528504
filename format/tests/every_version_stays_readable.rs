//! A segment written by any released version is read to the same numbers for ever.
//!
//! `golden/vN.kv` is what version N wrote: the bytes of [`write`] when it was released. It is made once and never again.

use lagdb_format::{
    CaptureStage, Digest, ElementType, Encoding, KvGeometry, KvLayer, KvLog, ModelFingerprint, Segment, SegmentWriter,
};

const SEGMENT_ID: u64 = 0x0123_4567_89ab_cdef;
const GOLDEN: &[u8] = include_bytes!("golden/v1.kv");

/// The logs of the golden file: each element type in each encoding, one log without tokens, one of odd bits.
fn logs() -> Vec<(KvLog, Encoding)> {
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

/// Two layers, two heads of four. Every number is exact in every element type and says where it stands: keys of layer
/// `l`, token `t` begin at `12 l + t` and go up in eighths; values are the same below zero.
fn counting_log(element: ElementType, n_tokens: u32) -> KvLog {
    let number = |layer: u32, token: u32, i: u32| (12 * layer + token) as f32 + i as f32 / 8.0;
    let layer = |layer| {
        let keys: Vec<f32> = (0..n_tokens).flat_map(|token| (0..8).map(move |i| number(layer, token, i))).collect();
        let values: Vec<f32> = keys.iter().map(|key| -key).collect();
        KvLayer { keys: element.encode_f32(&keys).unwrap(), values: element.encode_f32(&values).unwrap() }
    };
    let geometry = KvGeometry { n_layers: 2, n_kv_heads: 2, head_dim: 4 };
    let token_ids = (0..n_tokens).map(|token| 1000 + 7 * token).collect();
    let positions = (0..n_tokens).map(|token| 3 * token + token % 2).collect();
    KvLog::new(fingerprint("counting", geometry), element, token_ids, positions, vec![layer(0), layer(1)]).unwrap()
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
        geometry,
        capture: CaptureStage::BeforeRope,
    }
}

fn write() -> Vec<u8> {
    // Pages of five f32 tokens, so that chunks have several.
    let mut writer = SegmentWriter::new(SEGMENT_ID).with_page_bytes(160);
    for (log, encoding) in logs() {
        writer.push(&log, encoding).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn version_1_reads_to_the_same_numbers() {
    let mut n_smaller = 0;
    let segment = Segment::open_as(GOLDEN, SEGMENT_ID).unwrap();
    assert_eq!(segment.verify().faults, []);
    assert_eq!(segment.footer().row_groups().len(), logs().len());
    for (row_group, (log, encoding)) in segment.footer().row_groups().iter().zip(logs()) {
        let view = segment.kv_log(row_group.index()).unwrap();
        assert_eq!(view.to_log().unwrap(), log);
        assert!(view.pages().all(|page| page.encoding == encoding));
        n_smaller += view.pages().filter(|page| page.stored_bytes < page.raw_bytes).count();
    }
    assert!(n_smaller > 0, "there are zstd frames in it");
}

/// Some numbers as they are, so that no change of the code that makes the expected logs goes unseen.
#[test]
fn version_1_has_these_numbers_in_it() {
    use lagdb_format::{KvRead, RowGroupIndex};
    let segment = Segment::open_as(GOLDEN, SEGMENT_ID).unwrap();
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

/// Fails when zstd makes other frames. That is allowed, and worth knowing: then compare what is read instead.
#[test]
fn the_writer_still_writes_the_same_bytes() {
    assert!(write() == GOLDEN);
}
