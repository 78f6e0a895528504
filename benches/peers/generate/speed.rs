//! Prefill and decode, with few and with many tokens before.

use crate::llama::Llama;
use crate::model::N_VOCAB;
use crate::report::{Row, cpu, median, wall};
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
        let (mut own, mut theirs) = (Rates::default(), Rates::default());
        for round in 0..=ROUNDS {
            let mut session = before.fork()?;
            let (wall_s, (cpu_s, logits)) = wall(|| cpu(|| compute(&mut session, ids, one_by_one)));
            let likeliest = likeliest(&logits?);
            let their = llama.compute(past, ids, one_by_one)?;
            if let Some(their_likeliest) = their.likeliest {
                (agree, asked) = (agree + f64::from(u8::from(likeliest == their_likeliest)), asked + 1.0);
            }
            // Whatever is done only once.
            if round > 0 {
                own.add(n_new, cpu_s, wall_s);
                theirs.add(n_new, their.cpu_s, their.wall_s);
            }
        }
        let ((cpu, wall), (their_cpu, their_wall)) = (own.medians(), theirs.medians());
        for (unit, own, theirs) in [("tokens/CPU s", cpu, their_cpu), ("tokens/s", wall, their_wall)] {
            rows.push(Row {
                name: format!("{name}: {what} of {n_new} tokens after {n_past}"),
                unit,
                higher_is_better: true,
                lagdb: own,
                peers: vec![("llama.cpp", theirs)],
                goal: Some(theirs).filter(|goal| !goal.is_nan()),
            });
        }
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

/// Tokens a second, of the processor and of the clock.
#[derive(Default)]
struct Rates {
    cpu: Vec<f64>,
    wall: Vec<f64>,
}

impl Rates {
    fn add(&mut self, n_tokens: usize, cpu_s: f64, wall_s: f64) {
        self.cpu.push(n_tokens as f64 / cpu_s);
        self.wall.push(n_tokens as f64 / wall_s);
    }

    fn medians(self) -> (f64, f64) {
        (median(self.cpu), median(self.wall))
    }
}

/// What serving a session takes: prefill and decode once. Beside it nothing is held.
pub(crate) fn serve(generator: &Generator) -> BenchResult<()> {
    let all = tokens(2048 + DECODE);
    let (past, ids) = all.split_at(2048);
    compute(&mut session(generator, past)?, ids, true)?;
    Ok(())
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
