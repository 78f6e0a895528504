//! Attaching 2,048 tokens from a database on disk, beside computing them, restoring llama.cpp's state, and the floor: reading
//! the log's bytes and copying them once.

use crate::llama::Llama;
use crate::report::{Row, cpu, median};
use crate::speed::tokens;
use lagdb::format::{ElementType, Encoding};
use lagdb::generate::{Generator, Selection, Session, SessionOptions};
use lagdb::{Database, Id, KvStorage, Scope, Trajectory};
use lagdb_peers::BenchResult;
use std::path::Path;

const ROUNDS: usize = 5;
const N_TOKENS: usize = 2048;

/// A database with the log, closed and opened again.
struct Stored {
    _database: Database,
    scope: Scope,
    id: Id<Trajectory>,
}

/// The rows of one file.
pub(crate) fn rows(name: &str, generator: &Generator, llama: &mut Llama) -> BenchResult<Vec<Row>> {
    let context = tokens(N_TOKENS);
    let directory = tempfile::tempdir()?;
    let log = {
        let mut session = generator.session(SessionOptions::default())?;
        session.feed(&context)?;
        session.capture(Selection::Tokens(0..N_TOKENS), ElementType::F16)?
    };
    let plain = stored(&log, Some(Encoding::Plain), directory.path())?;
    let int8 = stored(&log, Some(Encoding::Int8), directory.path())?;
    let default = stored(&log, None, directory.path())?;
    drop(log);
    let file = directory.path().join("bytes");
    let n_bytes = 2
        * 2
        * N_TOKENS
        * generator.config().layers.len()
        * generator.config().n_kv_heads
        * generator.config().head_dim;
    std::fs::write(&file, vec![1u8; n_bytes])?;
    let mut times: [Vec<f64>; 8] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(cpu(|| attached(generator, &plain)).0);
        times[1].push(cpu(|| attached(generator, &default)).0);
        times[2].push(cpu(|| read_and_copy(&file)).0);
        times[3].push(llama.restore(&context)?);
        times[7].push(cpu(|| attached(generator, &int8)).0);
        let (seconds, session) = cpu(|| attached(generator, &plain).and_then(|session| first_logits(session, &[7])));
        session?;
        times[4].push(seconds);
    }
    for _ in 0..2 {
        let (seconds, done) = cpu(|| prefilled(generator, &context, &[]));
        done?;
        times[5].push(seconds);
        let (seconds, done) = cpu(|| prefilled(generator, &context, &[7]));
        done?;
        times[6].push(seconds);
    }
    let [plain, default, floor, restored, first, prefill, prefill_first, int8] = times.map(median);
    let row = |what: &str, unit, higher_is_better, lagdb, peers, goal| Row {
        name: format!("{name}: {what}"),
        unit,
        higher_is_better,
        lagdb,
        peers,
        goal: Some(goal),
    };
    let others = vec![
        ("int8", int8 * 1e3),
        ("exponent_huffman", default * 1e3),
        ("read and copy", floor * 1e3),
        ("llama.cpp restores its state", restored * 1e3),
        ("prefill", prefill * 1e3),
    ];
    Ok(vec![
        row("attach 2048 tokens, plain f16", "CPU ms", false, plain * 1e3, others, 2.0 * floor * 1e3),
        row("prefill / attach 2048 tokens", "x", true, prefill / plain, Vec::new(), 150.0),
        row("prefill / attach 2048 tokens, int8", "x", true, prefill / int8, Vec::new(), 150.0),
        row("first token of 2048 + 1: prefill / attach", "x", true, prefill_first / first, Vec::new(), 150.0),
    ])
}

fn stored(log: &lagdb::format::KvLog, encoding: Option<Encoding>, directory: &Path) -> BenchResult<Stored> {
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
    Ok(Stored { _database: database, scope, id })
}

fn attached(generator: &Generator, stored: &Stored) -> lagdb::Result<Session> {
    let log = stored.scope.snapshot()?.kv_log(stored.id, generator.fingerprint())?;
    let log = log.ok_or_else(|| lagdb::Error::invalid("KV log", "it was not stored"))?;
    let mut session = generator.session(SessionOptions { capture: false, ..SessionOptions::default() })?;
    session.attach(&log)?;
    Ok(session)
}

fn prefilled(generator: &Generator, context: &[u32], prompt: &[u32]) -> lagdb::Result<Vec<f32>> {
    let mut session = generator.session(SessionOptions { capture: false, ..SessionOptions::default() })?;
    session.feed(context)?;
    first_logits(session, prompt)
}

fn first_logits(mut session: Session, prompt: &[u32]) -> lagdb::Result<Vec<f32>> {
    if prompt.is_empty() { Ok(Vec::new()) } else { session.feed(prompt) }
}

/// What no attach can do without: its bytes, once from the file and once to where they are used.
fn read_and_copy(file: &Path) -> std::io::Result<u8> {
    let bytes = std::fs::read(file)?;
    let copy = bytes.clone();
    Ok(std::hint::black_box(copy).iter().step_by(4096).fold(0, |all, byte| all ^ byte))
}
