//! What a KV log saves: attaching it against computing its source context again.
//!
//! The log comes from a database on disk, closed and opened again, in the default encoding; others stand beside it, and so does
//! the floor: reading the bytes of f16 and copying them once. The first token of a prompt after it is had in two ways: attaching
//! first, or while layers are computed with. CPU time of the whole process, so that a busy machine does not decide, and time of
//! the clock, which a second processor shortens. `-- demo` or `-- qwen3` runs one part.

mod qwen3;
mod report;

use lagdb::format::{ElementType, Encoding, KvLog, KvLogView};
use lagdb::generate::{
    AttachPolicy, Generator, ModelConfig, NewToken, Sampling, Selection, Session, SessionOptions, WeightPrecision,
};
use lagdb::{Database, Id, KvStorage, Scope, Trajectory};
use report::{Row, cpu, median, wall};
use std::ops::ControlFlow;

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> BenchResult<()> {
    let mut rows = Vec::new();
    if report::is_wanted("demo") {
        let demo = Generator::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/demo-model/kv"))?;
        rows.extend(compare(
            "demo model",
            &demo,
            &Sizes { context: 60, log: 7, prompts: &[36], rounds: 51, prefills: 51 },
        )?);
    }
    if report::is_wanted("qwen3") {
        let config = ModelConfig::from_json(qwen3::CONFIG.as_bytes(), "config.json".as_ref())?;
        let qwen = Generator::random(config, 1, WeightPrecision::Q8_0)?;
        let sizes = Sizes { context: 2048, log: 2048, prompts: &[16, 1], rounds: 5, prefills: 1 };
        rows.extend(compare("Qwen3-0.6B geometry, Q8_0", &qwen, &sizes)?);
    }
    rows.push(report::memory());
    report::print(&rows);
    Ok(())
}

/// Token ids of a made-up text.
fn tokens(n: usize, vocab: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * 7919 + 13) % vocab) as u32).collect()
}

/// The KV log of the last `n_log` tokens of a context.
fn captured(generator: &Generator, context: &[u32], n_log: usize) -> BenchResult<KvLog> {
    let mut session = generator.session(SessionOptions::default())?;
    session.feed(context)?;
    Ok(session.capture(Selection::Tokens(context.len() - n_log..context.len()), ElementType::F16)?)
}

/// A database with one KV log, closed and opened again.
fn stored(
    log: &KvLog,
    encoding: Option<Encoding>,
    directory: &std::path::Path,
) -> BenchResult<(Database, Scope, Id<Trajectory>)> {
    let path = directory.join(encoding.map_or("default.lagdb", Encoding::name));
    let options = encoding.into_iter().map(KvStorage::Encoding).fold(Database::options(), lagdb::Options::kv_storage);
    let id = {
        let scope = options.open(&path)?.scope("bench")?;
        let mut tx = scope.begin()?;
        let id = tx.put(&Trajectory::new("context"))?;
        tx.put_kv_log(id, log)?;
        tx.commit()?;
        id
    };
    let database = Database::open(&path)?;
    let scope = database.scope("bench")?;
    Ok((database, scope, id))
}

/// Tokens of a comparison, and how often it is repeated.
struct Sizes {
    context: usize,
    /// The last tokens of the context, which become the log.
    log: usize,
    /// Tokens of each prompt that is said after them.
    prompts: &'static [usize],
    rounds: usize,
    /// How often the context is computed.
    prefills: usize,
}

/// How logs are stored, each in a database of its own; the first is the default.
const STORED: [(&str, Option<Encoding>); 4] = [
    ("default", None),
    ("plain", Some(Encoding::Plain)),
    ("int8", Some(Encoding::Int8)),
    ("exponent_huffman", Some(Encoding::ExponentHuffman)),
];

/// CPU and wall milliseconds of each round.
#[derive(Default)]
struct Times {
    cpu: Vec<f64>,
    wall: Vec<f64>,
}

impl Times {
    fn add<T>(&mut self, work: impl FnOnce() -> lagdb::Result<T>) -> lagdb::Result<T> {
        let (wall, (cpu, done)) = wall(|| cpu(work));
        self.cpu.push(cpu * 1e3);
        self.wall.push(wall * 1e3);
        done
    }

    fn medians(self) -> (f64, f64) {
        (median(self.cpu), median(self.wall))
    }
}

/// What the first token after a prompt took.
struct FirstToken {
    prompt: Vec<u32>,
    in_line: [Times; STORED.len()],
    streamed: [Times; STORED.len()],
    prefill: Times,
}

fn compare(name: &str, generator: &Generator, sizes: &Sizes) -> BenchResult<Vec<Row>> {
    let vocab = generator.config().vocab_size;
    let context = tokens(sizes.context, vocab);
    let directory = tempfile::tempdir()?;
    let log = captured(generator, &context, sizes.log)?;
    let n_bytes = log.layers().iter().map(|layer| layer.keys.len() + layer.values.len()).sum();
    let databases = STORED.map(|(_, encoding)| stored(&log, encoding, directory.path()));
    let databases = databases.into_iter().collect::<BenchResult<Vec<_>>>()?;
    drop(log);
    let file = directory.path().join("bytes");
    std::fs::write(&file, vec![1u8; n_bytes])?;
    let mut attaches: [Times; STORED.len()] = Default::default();
    let mut beside = Times::default();
    let first_token = |n: &usize| FirstToken {
        prompt: tokens(*n, vocab),
        in_line: Default::default(),
        streamed: Default::default(),
        prefill: Times::default(),
    };
    let mut first_tokens: Vec<FirstToken> = sizes.prompts.iter().map(first_token).collect();
    let (mut floor, mut prefills) = (Times::default(), Times::default());
    for round in 0..sizes.rounds {
        for (times, (_, scope, id)) in attaches.iter_mut().zip(&databases) {
            times.add(|| attach(generator, scope, *id, &[]))?;
        }
        let held = attached(generator, &databases[1].1, databases[1].2)?;
        beside.add(|| attach(generator, &databases[1].1, databases[1].2, &[]))?;
        drop(held);
        floor.add(|| read_and_copy(&file).map_err(|error| lagdb::Error::io("read", &file, error)))?;
        for FirstToken { prompt, in_line, streamed, prefill: prefills } in &mut first_tokens {
            let mut answer = None;
            for ((in_line, streamed), (_, scope, id)) in in_line.iter_mut().zip(streamed).zip(&databases) {
                answer = in_line.add(|| attach(generator, scope, *id, prompt))?;
                let same = streamed.add(|| attach_streamed(generator, scope, *id, prompt))?;
                assert_eq!(answer, same, "both say the same");
            }
            if round < sizes.prefills {
                let same = prefills.add(|| prefill(generator, &context, prompt))?;
                assert_eq!(answer.is_some(), same.is_some(), "both answer");
            }
        }
        if round < sizes.prefills {
            prefills.add(|| prefill(generator, &context, &[]))?;
        }
    }
    let attaches = attaches.map(Times::medians);
    let [floor, beside, prefill] = [floor, beside, prefills].map(Times::medians);
    let row = |what: String, unit, higher_is_better, lagdb, peers, goal| Row {
        name: format!("{name}: {what}"),
        unit,
        higher_is_better,
        lagdb,
        peers,
        goal,
    };
    let others = |of: fn(&(f64, f64)) -> f64| {
        let stored = STORED.iter().zip(&attaches).skip(1).map(|((name, _), times)| (*name, of(times)));
        let others = [
            ("prefill", of(&prefill)),
            ("plain, room never used before", of(&beside)),
            ("read and copy f16", of(&floor)),
        ];
        others.into_iter().chain(stored).collect::<Vec<_>>()
    };
    let what = format!("attach {} of {} tokens", sizes.log, sizes.context);
    let mut rows = vec![
        row(what.clone(), "CPU ms", false, attaches[0].0, others(|times| times.0), None),
        row(what, "wall ms", false, attaches[0].1, others(|times| times.1), None),
    ];
    for ((stored, _), times) in STORED.iter().zip(&attaches) {
        let what = format!("prefill {} / attach {} tokens, {stored}", sizes.context, sizes.log);
        // Of a log of a few tokens most of the time is not that of its numbers.
        let goal = (sizes.log >= 1024).then_some(150.0);
        rows.push(row(what, "x CPU", true, prefill.0 / times.0, Vec::new(), goal));
    }
    for FirstToken { prompt, in_line, streamed, prefill } in first_tokens {
        let [in_line, streamed] = [in_line, streamed].map(|times| times.map(Times::medians));
        let prefill = prefill.medians();
        for (i, (stored, _)) in STORED.iter().enumerate() {
            let what = format!("first token, {} context + {} prompt, {stored}", sizes.context, prompt.len());
            let (one, two) = (in_line[i], streamed[i]);
            let peers = vec![("attach first", one.0), ("prefill", prefill.0)];
            rows.push(row(what.clone(), "CPU ms", false, two.0, peers, None));
            let peers = vec![("attach first", one.1), ("prefill", prefill.1)];
            rows.push(row(what, "wall ms", false, two.1, peers, None));
        }
        if prompt.len() == 1 {
            for (i, (stored, _)) in STORED.iter().enumerate() {
                let what = format!("first token, {} context + 1 prompt: prefill / attach, {stored}", sizes.context);
                let peers = vec![("attach first", prefill.1 / in_line[i].1)];
                rows.push(row(what, "x wall", true, prefill.1 / streamed[i].1, peers, Some(150.0)));
            }
        }
    }
    Ok(rows)
}

/// What no attach can do without: its bytes, once from the file and once to where they are used.
fn read_and_copy(file: &std::path::Path) -> std::io::Result<u8> {
    let bytes = std::fs::read(file)?;
    let copy = bytes.clone();
    Ok(std::hint::black_box(copy).iter().step_by(4096).fold(0, |all, byte| all ^ byte))
}

/// Computes context and prompt; the first token if there is a prompt.
fn prefill(generator: &Generator, context: &[u32], prompt: &[u32]) -> lagdb::Result<Option<u32>> {
    let mut session = session(generator)?;
    session.feed(context)?;
    first_token(&mut session, prompt)
}

/// Reads the log from the database and attaches it, then computes the prompt; the first token if there is a prompt.
fn attach(generator: &Generator, scope: &Scope, id: Id<Trajectory>, prompt: &[u32]) -> lagdb::Result<Option<u32>> {
    first_token(&mut attached(generator, scope, id)?, prompt)
}

/// A session with the log from the database.
fn attached(generator: &Generator, scope: &Scope, id: Id<Trajectory>) -> lagdb::Result<Session> {
    let mut session = session(generator)?;
    session.attach(&log(generator, scope, id)?)?;
    Ok(session)
}

/// As [`attach`], the prompt's first layers computed while others are still attached.
fn attach_streamed(
    generator: &Generator,
    scope: &Scope,
    id: Id<Trajectory>,
    prompt: &[u32],
) -> lagdb::Result<Option<u32>> {
    let (log, sampling) = (log(generator, scope, id)?, Sampling::greedy(1));
    let go_on = |_: NewToken<'_>| ControlFlow::Continue(());
    let (_, response) =
        session(generator)?.generate_attaching(&[&log], &AttachPolicy::default(), prompt, &sampling, go_on)?;
    Ok(response.token_ids.first().copied())
}

fn session(generator: &Generator) -> lagdb::Result<Session> {
    generator.session(SessionOptions { capture: false, ..SessionOptions::default() })
}

fn log(generator: &Generator, scope: &Scope, id: Id<Trajectory>) -> lagdb::Result<KvLogView<'static>> {
    let log = scope.snapshot()?.kv_log(id, generator.fingerprint())?;
    log.ok_or_else(|| lagdb::Error::invalid("KV log", "it was not stored"))
}

fn first_token(session: &mut Session, prompt: &[u32]) -> lagdb::Result<Option<u32>> {
    if prompt.is_empty() {
        return Ok(None);
    }
    let response = session.generate(prompt, &Sampling::greedy(1), |_| ControlFlow::Continue(()))?;
    Ok(response.token_ids.first().copied())
}
