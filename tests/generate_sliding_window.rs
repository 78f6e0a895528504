//! A sliding window ends at attached logs as it ends at own tokens: by position.

use crate::generate_support::*;
use lagdb::format::ElementType;

/// Logits of 80 tokens after a log of 20, in the model with window 16 and 4 layers.
fn after_log(seed: usize) -> Vec<f32> {
    let generator = model("mistral_window");
    let mut session = session(&generator);
    session.attach(&log_of(&generator, &tokens(20, seed), ElementType::F32)).unwrap();
    session.feed_for_logits(&tokens(80, 9)).unwrap()
}

#[test]
fn a_log_beyond_the_window_has_no_influence() {
    let (one, other) = (after_log(1), after_log(2));
    let reach = 4 * (16 - 1); // each layer looks back 15 positions
    for (token, (one, other)) in one.chunks(N_VOCAB).zip(other.chunks(N_VOCAB)).enumerate() {
        let distance = distance(one, other);
        if token >= reach {
            assert!(distance == 0.0, "token {token}: {distance}");
        } else if token < 16 {
            assert!(distance > 1e-4, "token {token}: {distance}");
        }
    }
}

#[test]
fn token_by_token_is_one_shot_across_the_window() {
    let (generator, ids) = (model("mistral_window"), tokens(60, 0));
    let whole = logits(&generator, &ids);
    let mut session = session(&generator);
    for (id, expected) in ids.iter().zip(whole.chunks(N_VOCAB)) {
        assert!(distance(&session.feed(&[*id]).unwrap(), expected) < 1e-5);
    }
}
