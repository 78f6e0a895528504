//! A KV log goes to a safetensors file and back whole; other files are refused in words.

use crate::support::{ELEMENTS, Shape, fingerprint, importance, noise, ragged};
use lagdb_format::interchange::{from_safetensors, to_safetensors};
use lagdb_format::{Digest, ElementType, Encoding, FormatError, KvLog, KvRead, ProbeQueries, RowGroupIndex, Segment};
use std::collections::HashMap;

fn with_everything() -> KvLog {
    let log = ragged(Shape { n_tokens: 9, ..Shape::TINY }, ElementType::F16, 0x1234_5678_9abc);
    let importance = importance(&log);
    let probes = ProbeQueries::new(4, 4, vec![3, 9], (0..64).map(|i| i as f32).collect()).unwrap();
    let probes = probes.with_frequencies(vec![1.0, 0.1]).unwrap();
    log.with_importance(&importance).unwrap().with_probes(probes).unwrap()
}

#[test]
fn logs_come_back_whole() {
    for element in ELEMENTS {
        for n_tokens in [0, 1, 9] {
            let log = noise(Shape { n_tokens, ..Shape::TINY }, element, 7);
            assert_eq!(from_safetensors(&to_safetensors(&log).unwrap()).unwrap(), log);
        }
    }
    let log = with_everything();
    assert_eq!(from_safetensors(&to_safetensors(&log).unwrap()).unwrap(), log);
    let plain = noise(Shape::TINY, ElementType::F32, 7);
    let adapted = lagdb_format::ModelFingerprint { adapters: Some(Digest([0xab; 32])), ..fingerprint(Shape::TINY, 1) };
    let (ids, positions) = (plain.token_ids().to_vec(), plain.positions().to_vec());
    let log = KvLog::new(adapted, ElementType::F32, ids, positions, plain.layers().to_vec()).unwrap();
    assert_eq!(from_safetensors(&to_safetensors(&log).unwrap()).unwrap(), log);
}

#[test]
fn an_approximate_log_stays_one() {
    let numbers: Vec<f32> = (0..24).map(|i| i as f32 * 0.37).collect();
    let bytes = ElementType::F32.encode_f32(&numbers).unwrap();
    let layer = lagdb_format::KvLayer { keys: bytes.clone(), values: bytes };
    let (ids, positions) = (vec![1, 2, 3], vec![0, 1, 2]);
    let model = fingerprint(Shape::TINY, 1);
    let log = KvLog::new(model, ElementType::F32, ids, positions, vec![layer.clone(), layer]).unwrap();
    let segment = crate::support::segment(1, &[(&log, Encoding::Int4)]);
    let read = Segment::open(&segment).unwrap().kv_log(RowGroupIndex(0)).unwrap().to_log().unwrap();
    assert!(read.is_approximate() && !log.is_approximate());
    assert_eq!(from_safetensors(&to_safetensors(&read).unwrap()).unwrap(), read);
    let again = crate::support::segment(1, &[(&read, Encoding::Plain)]);
    assert!(
        Segment::open(&again).unwrap().kv_log(RowGroupIndex(0)).unwrap().is_approximate(),
        "plain makes it no better"
    );
}

#[test]
fn other_files_are_refused() {
    let refused = |bytes: &[u8], word: &str| {
        let error = from_safetensors(bytes).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        error
    };
    assert!(matches!(refused(b"no such file", "safetensors"), FormatError::Corrupt { .. }));
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
    let of = |format: Option<&str>| {
        let metadata = format.map(|format| HashMap::from([("format".to_owned(), format.to_owned())]));
        safetensors::serialize([("weight", tensor.clone())], metadata).unwrap()
    };
    for format in [None, Some("pt")] {
        assert!(matches!(refused(&of(format), "is not a KV log"), FormatError::Invalid { .. }));
    }
    assert!(matches!(refused(&of(Some("lagdb.kv_log/2")), "lagdb.kv_log/2"), FormatError::Unsupported { .. }));
    refused(&of(Some("lagdb.kv_log/1")), "is not in the metadata");
}

/// There are no checksums in it: some flips give other numbers. None gives a panic or a log that cannot be.
#[test]
fn flipped_bytes_are_refused_or_a_log() {
    let bytes = to_safetensors(&with_everything()).unwrap();
    for byte in 0..bytes.len() {
        for value in [0, b'0', b'9', 0xff, bytes[byte] ^ 1] {
            let mut damaged = bytes.clone();
            damaged[byte] = value;
            if let Ok(log) = from_safetensors(&damaged) {
                to_safetensors(&log).unwrap();
            }
        }
        let _ = from_safetensors(&bytes[..byte]).unwrap_err();
    }
}
