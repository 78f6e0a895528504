//! Prefill and decode, with few and with many tokens before.

use crate::llama::Llama;
use crate::model::N_VOCAB;
use crate::report::{Row, cpu, median};
use lagdb::generate::{Generator, Session, SessionOptions};
use lagdb_peers::BenchResult;

const ROUNDS: usize = 5;
/// Tokens of one prefill.
const PREFILL: usize = 128;
/// Tokens of one decode.
const DECODE: usize = 16;

/// Token ids of a made-up text.
pub(crate) fn tokens(n: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * 7919 + 13) % N_VOCAB) as u32).collect()
}

/// The rows of one file; higher is better.
pub(crate) fn rows(name: &str, generator: &Generator, llama: &mut Llama) -> BenchResult<Vec<Row>> {
    let mut rows = Vec::new();
    let (mut agree, mut asked) = (0.0, 0.0);
    for (what, n_past, n_new, one_by_one) in [
        ("prefill", 0, PREFILL, false),
        ("prefill", 1920, PREFILL, false),
        ("decode", 128, DECODE, true),
        ("decode", 2048, DECODE, true),
    ] {
        let all = tokens(n_past + n_new);
        let (past, ids) = all.split_at(n_past);
        let before = session(generator, past)?;
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let mut session = before.fork()?;
            let (seconds, logits) = cpu(|| compute(&mut session, ids, one_by_one));
            let likeliest = likeliest(&logits?);
            let (their_seconds, their_likeliest) = llama.compute(past, ids, one_by_one)?;
            if let Some(their_likeliest) = their_likeliest {
                (agree, asked) = (agree + f64::from(u8::from(likeliest == their_likeliest)), asked + 1.0);
            }
            // Kernels repack weights when they are first used.
            if round > 0 {
                own.push(n_new as f64 / seconds);
                theirs.push(n_new as f64 / their_seconds);
            }
        }
        let theirs = median(theirs);
        rows.push(Row {
            name: format!("{name}: {what} of {n_new} tokens after {n_past}"),
            unit: "tokens/CPU s",
            higher_is_better: true,
            lagdb: median(own),
            peers: vec![("llama.cpp", theirs)],
            goal: Some(theirs).filter(|goal| !goal.is_nan()),
        });
    }
    rows.push(Row {
        name: format!("{name}: likeliest token is llama.cpp's"),
        unit: "share",
        higher_is_better: true,
        lagdb: agree / asked,
        peers: Vec::new(),
        goal: None,
    });
    Ok(rows)
}

/// A session that has computed `past`.
fn session(generator: &Generator, past: &[u32]) -> BenchResult<Session> {
    let mut session = generator.session(SessionOptions { capture: false, ..SessionOptions::default() })?;
    if !past.is_empty() {
        session.feed(past)?;
    }
    Ok(session)
}

/// The logits after the last of `ids`.
fn compute(session: &mut Session, ids: &[u32], one_by_one: bool) -> lagdb::Result<Vec<f32>> {
    if !one_by_one {
        return session.feed(ids);
    }
    ids.iter().try_fold(Vec::new(), |_, &id| session.feed(&[id]))
}

fn likeliest(logits: &[f32]) -> u32 {
    let best = (0..).zip(logits).max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(id, _)| id)
}
