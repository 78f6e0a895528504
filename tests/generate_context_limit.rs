//! What does not fit is refused before anything is computed.

use crate::generate_support::*;
use lagdb::Error;
use lagdb::format::ElementType;
use lagdb::generate::{FinishReason, Generator, Sampling, Session, SessionOptions};

fn limited(generator: &Generator, limit: usize) -> Session {
    generator.session(SessionOptions { context_limit: Some(limit), ..Default::default() }).unwrap()
}

fn is_limit(error: Error, n: usize) {
    assert!(matches!(error, Error::ContextLimit { n_tokens, limit: 10 } if n_tokens == n), "{error}");
}

#[test]
fn prompts_and_logs_are_refused() {
    let generator = model("llama");
    let mut session = limited(&generator, 10);
    is_limit(session.feed(&tokens(11, 0)).unwrap_err(), 11);
    is_limit(session.generate(&tokens(10, 0), &Sampling::greedy(1), go_on).unwrap_err(), 11);
    is_limit(session.attach(&log_of(&generator, &tokens(11, 0), ElementType::F16)).unwrap_err(), 11);
    assert_eq!(session.n_tokens(), 0);
    session.attach(&log_of(&generator, &tokens(6, 0), ElementType::F16)).unwrap();
    is_limit(session.feed(&tokens(5, 0)).unwrap_err(), 11);
    session.feed(&tokens(4, 0)).unwrap();
}

#[test]
fn generation_ends_at_the_limit() {
    let mut session = limited(&model("qwen2"), 10);
    let response = session.generate(&tokens(4, 0), &Sampling::greedy(100), go_on).unwrap();
    assert_eq!((response.finish, response.tokens), (FinishReason::ContextLimit, 4..10));
}

#[test]
fn positions_of_the_model_are_the_limit() {
    let generator = model("llama");
    assert_eq!(session(&generator).context_limit(), 2048);
    assert_eq!(session_at(&generator, 2000).context_limit(), 48);
    assert_eq!(session_at(&generator, u32::MAX).context_limit(), 0);
    assert!(session_at(&generator, u32::MAX).feed(&[1]).is_err());
}
