//! The same seed gives the same tokens, and generation stops when it is told to.

use crate::generate_support::*;
use lagdb::Error;
use lagdb::generate::{FinishReason, Generator, Response, Sampling};
use std::ops::ControlFlow;

fn generate(generator: &Generator, sampling: &Sampling) -> Response {
    session(generator).generate(&tokens(12, 0), sampling, go_on).unwrap()
}

#[test]
fn one_seed_gives_one_text() {
    let generator = model("qwen2");
    let strategies = [(None, None), (Some(20), None), (None, Some(0.9)), (Some(20), Some(0.9))];
    for (top_k, top_p) in strategies {
        let sampling = |seed| Sampling { top_k, top_p, ..Sampling::random(1.5, seed, 24) };
        let first = generate(&generator, &sampling(1)).token_ids;
        assert_eq!(first, generate(&generator, &sampling(1)).token_ids);
        assert_ne!(first, generate(&generator, &sampling(2)).token_ids);
    }
}

#[test]
fn no_temperature_takes_the_likeliest() {
    let generator = model("qwen2");
    let first = generate(&generator, &Sampling::greedy(1)).token_ids[0] as usize;
    assert_eq!(first, argmax(&session(&generator).feed(&tokens(12, 0)).unwrap()));
    let top_1 = Sampling { top_k: Some(1), ..Sampling::random(1.0, 3, 8) };
    assert_eq!(generate(&generator, &top_1).token_ids, generate(&generator, &Sampling::greedy(8)).token_ids);
}

#[test]
fn a_repeat_penalty_avoids_repetition() {
    let sampling = Sampling { repeat_penalty: 1e6, ..Sampling::greedy(40) };
    let mut ids = generate(&model("qwen2"), &sampling).token_ids;
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 40);
}

#[test]
fn numbers_that_say_nothing_are_refused() {
    let generator = model("qwen2");
    for (name, sampling) in [
        ("temperature", Sampling::random(f64::NAN, 0, 4)),
        ("temperature", Sampling::random(-1.0, 0, 4)),
        ("top_k", Sampling { top_k: Some(0), ..Sampling::random(1.0, 0, 4) }),
        ("top_p", Sampling { top_p: Some(0.0), ..Sampling::random(1.0, 0, 4) }),
        ("top_p", Sampling { top_p: Some(f64::NAN), ..Sampling::random(1.0, 0, 4) }),
        ("min_p", Sampling { min_p: Some(1.5), ..Sampling::random(1.0, 0, 4) }),
        ("repeat_penalty", Sampling { repeat_penalty: 0.0, ..Sampling::greedy(4) }),
        ("repeat_penalty", Sampling { repeat_penalty: f32::NAN, ..Sampling::greedy(4) }),
    ] {
        let mut session = session(&generator);
        let refused = session.generate(&tokens(12, 0), &sampling, go_on).unwrap_err();
        assert!(matches!(refused, Error::Invalid { what: "sampling", .. }), "{refused}");
        assert!(refused.to_string().contains(name), "{refused}");
        assert_eq!(session.n_tokens(), 0, "nothing was read");
    }
}

#[test]
fn generation_stops_when_told() {
    let generator = model("qwen2");
    let free = generate(&generator, &Sampling::greedy(6));
    assert_eq!((free.finish, free.token_ids.len()), (FinishReason::MaxTokens, 6));
    let third = free.token_ids[2];
    let n = free.token_ids.iter().position(|&id| id == third).unwrap() + 1;
    let stopped = generate(&generator, &Sampling { stop_ids: vec![third], ..Sampling::greedy(6) });
    assert_eq!((stopped.finish, stopped.token_ids.len()), (FinishReason::StopToken, n));
    let broken =
        session(&generator).generate(&tokens(12, 0), &Sampling::greedy(6), |_| ControlFlow::Break(())).unwrap();
    assert_eq!((broken.finish, broken.token_ids.len()), (FinishReason::Cancelled, 1));
    let mut ends = Files::of("qwen2");
    ends.config = ends.config.replace("\"eos_token_id\": null", &format!("\"eos_token_id\": [{third}]"));
    let ended = generate(&ends.load().unwrap(), &Sampling::greedy(6));
    assert_eq!((ended.finish, ended.token_ids.len()), (FinishReason::EndOfText, n));
}

#[test]
fn min_p_leaves_the_likely_ones() {
    let generator = model("qwen2");
    let logits = session(&generator).feed(&tokens(12, 0)).unwrap();
    let temperature = 1.5;
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let share = |id: u32| f64::from((logits[id as usize] - largest) / temperature as f32).exp();
    let likely = (0..N_VOCAB as u32).filter(|&id| share(id) >= 0.3).count();
    assert!((2..N_VOCAB / 2).contains(&likely), "{likely} of the fixture's tokens");
    let chosen = |min_p, seed| {
        let sampling = Sampling { min_p, top_k: None, ..Sampling::random(temperature, seed, 1) };
        generate(&generator, &sampling).token_ids[0]
    };
    assert!((0..60).all(|seed| share(chosen(Some(0.3), seed)) >= 0.299));
    assert!((0..60).any(|seed| share(chosen(None, seed)) < 0.299));
    let alone = Sampling { min_p: Some(1.0), ..Sampling::random(1.0, 3, 8) };
    assert_eq!(generate(&generator, &alone).token_ids, generate(&generator, &Sampling::greedy(8)).token_ids);
}
