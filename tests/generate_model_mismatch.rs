//! A KV log of another model is refused, and the error names what differs.

use crate::generate_support::*;
use lagdb::Error;
use lagdb::format::ElementType;

/// The field named when a log of `theirs` is attached to a session of `ours`.
fn mismatch(theirs: &Files, ours: &Files) -> Option<&'static str> {
    let log = log_of(&theirs.load().unwrap(), &tokens(8, 0), ElementType::F16);
    let mut session = session(&ours.load().unwrap());
    match session.attach(&log) {
        Ok(_) => None,
        Err(Error::ModelMismatch { field, found, expected }) => {
            assert_eq!(session.n_tokens(), 0);
            assert_ne!(found, expected);
            Some(field)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn each_field_is_named() {
    let base = Files::of("llama").with_words();
    let config = |from: &str, to: &str| {
        assert!(base.config.contains(from));
        Files { config: base.config.replace(from, to), ..base.clone() }
    };
    let tokenizer = base.tokenizer.as_ref().map(|json| json.replace("w95", "other"));
    let mut weights = base.weights.clone();
    *weights.last_mut().unwrap() ^= 1;
    assert_eq!(mismatch(&base, &base), None);
    assert_eq!(mismatch(&Files::of("mistral"), &base), Some("geometry"));
    assert_eq!(mismatch(&Files { tokenizer, ..base.clone() }, &base), Some("tokenizer"));
    assert_eq!(mismatch(&config("10000.0", "20000.0"), &base), Some("rope"));
    assert_eq!(mismatch(&config("1e-06", "1e-05"), &base), Some("config"));
    assert_eq!(mismatch(&Files { weights, ..base.clone() }, &base), Some("weights"));
}

#[test]
fn what_does_not_change_the_computation_is_no_mismatch() {
    let base = Files::of("llama").with_words();
    let config = base.config.replace("2048", "4096").replace("\"eos_token_id\": 2", "\"eos_token_id\": [3, 4]");
    let tokenizer = base.tokenizer.as_ref().map(|json| json.replace("\"padding\": null,", "\"padding\" :null , "));
    assert_ne!(config, base.config);
    assert_eq!(mismatch(&Files { config, tokenizer, ..base.clone() }, &base), None);
}
