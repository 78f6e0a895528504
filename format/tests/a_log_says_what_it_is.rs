//! A log is taken for what it is: another model, other tokens, moved or rounded numbers are named.

use crate::support::{Shape, fingerprint, noise, ragged, segment};
use lagdb_format::{
    Digest, ElementType, Encoding, Fidelity, FormatError, KvLayer, KvLog, KvRead, ModelFingerprint, Precision,
    RowGroupIndex, Segment, SegmentWriter,
};

/// Four tokens at these positions.
fn log_at(positions: &[u32], element: ElementType) -> KvLog {
    let log = noise(Shape { n_tokens: positions.len(), ..Shape::TINY }, element, 3);
    KvLog::new(*log.fingerprint(), element, log.token_ids().into(), positions.into(), log.layers().into()).unwrap()
}

#[test]
fn a_whole_log_of_f32_is_exact_where_it_was_and_repositioned_elsewhere() {
    let log = log_at(&[0, 1, 2, 3], ElementType::F32);
    assert_eq!(
        [0, 1, 900].map(|at| Fidelity::of(&log, at)),
        [Fidelity::Exact, Fidelity::Repositioned, Fidelity::Repositioned]
    );
    for encoding in Encoding::LOSSLESS {
        let bytes = segment(1, &[(&log, encoding)]);
        let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
        assert_eq!(Fidelity::of(&view, 0), Fidelity::Exact);
        assert_eq!(Fidelity::of(&view.prefix(2), 0), Fidelity::Exact, "a beginning is whole");
    }
    let ordered = log.with_importance(&[1.0, 4.0, 2.0, 3.0]).unwrap();
    assert_eq!(Fidelity::of(&ordered, 0), Fidelity::Exact, "the order of the tokens is another thing");
    let bytes = segment(1, &[(&ordered, Encoding::Plain)]);
    let view = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    assert_eq!(Fidelity::of(&view.prefix(2), 0), Fidelity::Approximate, "the most important ones are not whole");
}

/// A log in levels was copied by somebody who read its base alone, and its exact numbers were called approximate since.
#[test]
fn a_copied_log_is_as_near_as_it_was() {
    let zeros = vec![0; 4 * 2 * 4 * 4];
    let layer = KvLayer { keys: [1.0_f32, 0.3].map(f32::to_le_bytes).concat().repeat(16), values: zeros };
    let log = log_at(&[0, 1, 2, 3], ElementType::F32);
    let layers = vec![layer.clone(), layer];
    let log =
        KvLog::new(*log.fingerprint(), log.element(), log.token_ids().into(), log.positions().into(), layers).unwrap();
    let mut writer = SegmentWriter::new(1);
    writer.push_levels(&log, &Encoding::LAYERED).unwrap();
    let bytes = writer.finish().unwrap();
    let base = Segment::open(&bytes).unwrap().kv_log(RowGroupIndex(0)).unwrap().with_precision(Precision::Base);
    assert_eq!(Fidelity::of(&base, 0), Fidelity::Approximate);
    let mut writer = SegmentWriter::new(1);
    writer.push_view(&base).unwrap();
    let copied = writer.finish().unwrap();
    assert!(copied == bytes, "copied as it is");
    let view = Segment::open(&copied).unwrap().kv_log(RowGroupIndex(0)).unwrap();
    assert_eq!((Fidelity::of(&view, 0), view.to_log().unwrap()), (Fidelity::Exact, log));
}

#[test]
fn what_lacks_numbers_or_tokens_is_approximate() {
    for element in [ElementType::F16, ElementType::Bf16] {
        assert_eq!(Fidelity::of(&log_at(&[0, 1, 2, 3], element), 0), Fidelity::Approximate, "{element:?}");
    }
    for positions in [[1, 2, 3, 4], [0, 1, 2, 4]] {
        assert_eq!(Fidelity::of(&log_at(&positions, ElementType::F32), 0), Fidelity::Approximate, "{positions:?}");
    }
    let ragged = ragged(Shape { n_tokens: 4, ..Shape::TINY }, ElementType::F32, 0x5a5a_5a5a);
    assert_eq!(Fidelity::of(&ragged, 0), Fidelity::Approximate);
}

#[test]
fn the_field_in_which_models_differ_is_named() {
    let model = fingerprint(Shape::TINY, 1);
    let other = Digest([9; 32]);
    let mut changed = [model; 7];
    changed[0].weights = other;
    changed[1].config = other;
    changed[2].tokenizer = other;
    changed[3].rope = other;
    changed[4].adapters = Some(other);
    changed[5].geometry.n_kv_heads += 1;
    let fields = ["weights", "config", "tokenizer", "rope", "adapters", "geometry"];
    for (changed, field) in changed.iter().zip(fields) {
        assert_eq!(model.mismatch(changed), Some(field));
        assert_ne!(model.id(), changed.id(), "{field}");
    }
    assert_eq!((model.mismatch(&changed[6]), model.id()), (None, changed[6].id()));
    let mut two = changed[4];
    two.adapters = Some(Digest([8; 32]));
    assert_ne!(two.id(), changed[4].id());
}

/// In the file, zeros mean that there are no adapters: a model whose adapters had that digest would come back without.
#[test]
fn adapters_of_zeros_are_refused() {
    let log = log_at(&[0, 1], ElementType::F32);
    let model = ModelFingerprint { adapters: Some(Digest([0; 32])), ..*log.fingerprint() };
    let (ids, positions) = (log.token_ids().into(), log.positions().into());
    let log = KvLog::new(model, ElementType::F32, ids, positions, log.layers().into()).unwrap();
    let pushed = SegmentWriter::new(1).push(&log, Encoding::Plain);
    assert!(matches!(pushed, Err(FormatError::Invalid { what: "adapters", .. })), "{pushed:?}");
}

#[test]
fn tokens_that_were_not_expected_are_named() {
    let log = log_at(&[0, 1, 2, 3], ElementType::F32);
    let ids = log.token_ids().to_vec();
    log.expect_tokens(&ids).unwrap();
    let mut others = ids.clone();
    others[2] += 1;
    let (index, found, expected) = (2, Some(ids[2]), Some(others[2]));
    assert_eq!(log.expect_tokens(&others), Err(FormatError::TokenMismatch { index, found, expected }));
    let longer = [ids.as_slice(), &[5]].concat();
    let (index, found, expected) = (4, None, Some(5));
    assert_eq!(log.expect_tokens(&longer), Err(FormatError::TokenMismatch { index, found, expected }));
    let (index, found, expected) = (3, Some(ids[3]), None);
    assert_eq!(log.expect_tokens(&ids[..3]), Err(FormatError::TokenMismatch { index, found, expected }));
}
