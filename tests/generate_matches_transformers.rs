//! Logits and keys of every family are those of Hugging Face transformers.

use crate::generate_support::*;
use lagdb::format::{ElementType, KvRead};
use lagdb::generate::rope::Rope;

#[test]
fn logits_are_those_of_transformers() {
    for family in FAMILIES {
        let reference = reference(family);
        let distance = distance(&logits(&model(family), &reference.ids), &reference.logits);
        assert!(distance < 1e-4, "{family}: {distance}");
    }
}

#[test]
fn captured_keys_turned_by_rope_are_those_of_transformers() {
    for family in FAMILIES {
        let (generator, reference) = (model(family), reference(family));
        let log = log_of(&generator, &reference.ids, ElementType::F32);
        let (n_tokens, n_heads, d) = (log.n_tokens(), generator.config().n_kv_heads, generator.config().head_dim);
        let mut keys = vec![0.0; n_tokens * n_heads * d];
        log.read_keys(0, &mut keys).unwrap();
        let angles = Rope::new(&generator.config().rope, d).angles(log.positions());
        let mut turned = vec![0.0; d];
        for (row, expected) in reference.keys.chunks_exact(d).enumerate() {
            let (head, token) = (row / reference.n_kept, n_tokens - reference.n_kept + row % reference.n_kept);
            let start = (token * n_heads + head) * d;
            angles.turn(token, &keys[start..start + d], &mut turned);
            let distance = distance(&turned, expected);
            assert!(distance < 1e-4, "{family}, head {head}, token {token}: {distance}");
        }
    }
}
